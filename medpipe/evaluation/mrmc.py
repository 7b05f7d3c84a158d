"""A whole reader study (multi-reader multi-case, MRMC) as results.json: cohort, means, tests, curves, planning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from medpipe.evaluation.definitions import FIGURE_DEFINITIONS
from medpipe.evaluation.reader_study import planning_results, reader_study_results
from medpipe.evaluation.results import comparison_entry, curve_entry, figure, patient_numbers, settings_entry
from medpipe.metrics.froc import operating_curve
from medpipe.metrics.intervals import Bootstrap, Estimate
from medpipe.metrics.jafroc import canonical_name
from medpipe.metrics.obuchowski_rockette import CovarianceMethod
from medpipe.metrics.reader_bootstrap import bootstrap_reader_study
from medpipe.metrics.reader_study import ReaderStudy

__all__ = ["evaluate_reader_study", "main_figure"]


def main_figure(study: ReaderStudy, figures: Sequence[str] | None = None) -> str:
    """The figure of merit that stands first: the first one asked for, else Wilcoxon for ROC data and wAFROC for marks."""
    if figures:
        return canonical_name(figures[0])
    if study.is_roc:
        return "Wilcoxon"
    return "wAFROC" if study.n_nondiseased else "wAFROC1"


def evaluate_reader_study(
    study: ReaderStudy,
    bootstrap: Bootstrap,
    figures: Sequence[str] | None = None,
    *,
    covariance: CovarianceMethod = "jackknife",
    holm: bool = False,
    resample: bool = False,
    effect: float = 0.05,
) -> dict[str, Any]:
    """Analyse a reader study; the content of results.json.

    Args:
        study: Readings of the same cases in every modality by every reader.
        bootstrap: Level of all intervals; resamples and seed where something is resampled.
        figures: Figures of merit; None for all that fit the data.
        covariance: "jackknife", "delong" or "bootstrap", for Obuchowski-Rockette.
        holm: Whether p values of differences get Holm's adjustment beside them.
        resample: Whether means and differences also get bootstrap intervals, over cases and over cases and readers.
        effect: Difference between modalities for which cases and readers of a future study are planned.

    Raises:
        RequestError: A figure of merit, a covariance method or a number is impossible.
    """
    content = reader_study_results(
        study, figures, level=bootstrap.level, covariance=covariance, holm=holm, bootstrap=bootstrap
    )
    name = main_figure(study, figures)
    content["main_figure"] = name
    content["curves"] = _curves(study)
    if resample and name in content["tests"]:
        content["bootstrap"] = _resampled(study, name, bootstrap)
    if study.n_modalities > 1 and study.n_readers > 1 and name in content["tests"]:
        content["planning"] = _planning(study, name, effect, covariance, bootstrap)
    return {
        "task": "mrmc",
        "settings": settings_entry(bootstrap),
        "cohort": _cohort(study),
        "headline": _headline(content, name, bootstrap.level, study.n_cases),
        "statement": _statement(content, name),
        "curves": {},
        "reader_study": content,
        "cases": _cases(study),
    }


def _cohort(study: ReaderStudy) -> dict[str, Any]:
    readings = [reading for row in study.readings for reading in row]
    return {
        "listed": study.n_cases,
        "without_result": [],
        "analysed": study.n_cases,
        "diseased": study.n_diseased,
        "nondiseased": study.n_nondiseased,
        "patients": study.cohort.n_patients,
        "lesions": study.n_lesions,
        "readings": study.n_modalities * study.n_readers * study.n_cases,
        "marks": sum(reading.nl_rating.size + reading.ll_rating.size for reading in readings),
    }


def _cases(study: ReaderStudy) -> list[dict[str, Any]]:
    first = study.readings[0][0]
    names = first.case_ids or [str(place + 1) for place in range(study.n_cases)]
    numbers = patient_numbers(first.patients or names)
    lesions = [0] * study.n_nondiseased + first.lesions_per_case.tolist()
    return [
        {
            "case": name,
            "patient": numbers[first.patients[place] if first.patients else name],
            "diseased": place >= study.n_nondiseased,
            "score": None,
            "lesions": lesions[place],
        }
        for place, name in enumerate(names)
    ]


def _chosen(content: dict[str, Any], name: str) -> tuple[str, dict[str, Any]] | None:
    """The most general analysis that the study allows, with its name."""
    analyses = content["tests"].get(name, {}).get("OR", {})
    return next(((kind, found) for kind, found in analyses.items() if "unavailable" not in found), None)


_GENERAL = {
    "RRRC": "random readers and cases",
    "FRRC": "these readers, random cases",
    "RRFC": "random readers, these cases",
}


def _unavailable(content: dict[str, Any], name: str) -> str:
    """Why there is no analysis at all."""
    if name in content["unavailable"]:
        return str(content["unavailable"][name])
    return str(content["tests"][name]["OR"]["FRRC"]["unavailable"])  # it asks for the least


_UNBOUNDED = ("FROC", "MaxNLF", "MaxNLFAllCases")
"""Figures of merit that may exceed 1."""


def _headline(content: dict[str, Any], name: str, level: float, n: int) -> list[dict[str, Any]]:
    """Means of the modalities, and the differences of at most three of them."""
    chosen = _chosen(content, name)
    if chosen is None:
        return []
    kind, found = chosen
    caution = content.get("caution") if content["covariance"] != "bootstrap" else None
    method = f"Obuchowski-Rockette, {content['covariance']} covariance, {_GENERAL[kind]} ({kind})"

    top = math.inf if name in _UNBOUNDED else 1.0

    def estimate(row: dict[str, Any], lowest: float = 0.0) -> Estimate:
        low, high = (math.nan if row[key] is None else row[key] for key in ("ci_low", "ci_high"))
        beyond = low < lowest or high > top
        reasons = [
            row.get("reason") or caution or "",
            "no interval" if math.isnan(low) or math.isnan(high) else "",
            "the interval reached beyond what is possible and was cut there" if beyond else "",
        ]
        low, high = (max(low, lowest), min(high, top)) if beyond else (low, high)
        reason = "; ".join(filter(None, reasons)) or None
        return Estimate(row["estimate"], low, high, level, method, n, reason)

    definition = FIGURE_DEFINITIONS[name]
    rows = zip(content["modalities"], found["per_modality"], strict=True)
    entries = [
        figure(f"{name}, {modality}", estimate(row), f"mean over readers of: {definition}") for modality, row in rows
    ]
    pairs = list(combinations(content["modalities"], 2))
    if len(pairs) <= 3:
        entries += [
            figure(f"{name}, {one} - {two}", estimate(row, -top), "difference of the means over readers")
            for (one, two), row in zip(pairs, found["differences"], strict=True)
        ]
    return entries


def _statement(content: dict[str, Any], name: str) -> str:
    if len(content["modalities"]) < 2:
        return f"One modality was read: {name} is described, and there is nothing to compare."
    chosen = _chosen(content, name)
    if chosen is None:
        return f"Whether the modalities differ in {name} cannot be said: {_unavailable(content, name)}."
    kind, found = chosen
    statistic = found["chisq"] if "chisq" in found else found["F"]
    if statistic is None:
        return f"Whether the modalities differ in {name} cannot be said: {found['reason']}."
    if "chisq" in found:
        test = f"chi-square({found['df']:g}) = {statistic:.2f}"
    else:
        ddf = "infinity" if found["ddf"] is None else f"{found['ddf']:.1f}"
        test = f"F({found['ndf']:g}, {ddf}) = {statistic:.2f}"
    alpha = 1 - content["level"]
    verdict = "differ" if found["p"] < alpha else "are not shown to differ"
    p = f"p = {found['p']:.4f}" if found["p"] >= 0.0001 else "p < 0.0001"
    return f"For {_GENERAL[kind]} the modalities {verdict} in {name}: {test}, {p}."


def _curves(study: ReaderStudy) -> dict[str, list[dict[str, Any]]]:
    """Curves of every reading, by name of the curve."""
    names = ["ROC"] if study.is_roc else ["wAFROC", "AFROC", "ROC", "FROC"]
    if not study.n_nondiseased:
        names = ["wAFROC1", "AFROC1", "FROC"]
    if not study.n_diseased:
        names = []
    return {
        name: [
            {"modality": modality, "reader": reader, **curve_entry(operating_curve(reading, name), most=200)}
            for modality, row in zip(study.modalities, study.readings, strict=True)
            for reader, reading in zip(study.readers, row, strict=True)
        ]
        for name in names
    }


def _resampled(study: ReaderStudy, name: str, bootstrap: Bootstrap) -> dict[str, Any]:
    definition = f"mean over readers of: {FIGURE_DEFINITIONS[name]}"
    kinds = {"cases": False, "cases and readers": True} if study.n_readers > 1 else {"cases": False}
    content: dict[str, Any] = {"figure_of_merit": name}
    for drawn, draw_readers in kinds.items():
        found = bootstrap_reader_study(study, name, bootstrap, draw_readers=draw_readers)
        pairs = combinations(study.modalities, 2)
        means = zip(study.modalities, found.modality_means, strict=True)
        content[drawn] = {
            "modality_means": [figure(f"{name}, {modality}", mean, definition) for modality, mean in means],
            "differences": [
                comparison_entry(f"{name}, {one} - {two}", comparison, definition, f"bootstrap of {drawn}, two-sided")
                for (one, two), comparison in zip(pairs, found.differences, strict=True)
            ],
        }
    return content


def _planning(
    study: ReaderStudy, name: str, effect: float, covariance: CovarianceMethod, bootstrap: Bootstrap
) -> dict[str, Any]:
    plan = planning_results(study, name, effect, alpha=1 - bootstrap.level, covariance=covariance, bootstrap=bootstrap)
    if "unavailable" in plan:
        return plan
    assumptions = (
        f"Two modalities that differ by {effect:g} in {name}; variance components, and the share of diseased cases, as in "
        f"this study; random readers and cases (RRRC); power {plan['power']:g} at a two-sided level of {plan['alpha']:.3g}. "
        "An effect observed in the pilot itself should not be planned with."
    )
    rows = plan.pop("table")
    return {**plan, "rows": rows, "assumptions": assumptions}
