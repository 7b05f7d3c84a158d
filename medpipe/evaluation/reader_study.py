"""A reader study as results.json holds it: figures of merit, and tests by Obuchowski-Rockette and Dorfman-Berbaum-Metz.

Numbers are given in full. What is undefined is null, with a reason beside it; an analysis that cannot be made is an
object with the one key "unavailable".
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, get_args

from medpipe.errors import RequestError
from medpipe.evaluation.definitions import FIGURE_DEFINITIONS
from medpipe.metrics.anova import mean_squares
from medpipe.metrics.dbm import DorfmanBerbaumMetz, dorfman_berbaum_metz
from medpipe.metrics.intervals import DEFAULT_BOOTSTRAP, Bootstrap, check_level
from medpipe.metrics.jafroc import FIGURES_OF_MERIT, canonical_name
from medpipe.metrics.mrmc import ANALYSES, Analysis, AnalysisName, Difference, ModalityMean
from medpipe.metrics.obuchowski_rockette import CovarianceMethod, ObuchowskiRockette, obuchowski_rockette
from medpipe.metrics.reader_study import ReaderStudy
from medpipe.metrics.study_size import NoErrorVarianceError, PilotStudy, cases_needed, study_power

__all__ = ["planning_results", "reader_study_results"]


def reader_study_results(
    study: ReaderStudy,
    figures: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    covariance: CovarianceMethod = "jackknife",
    holm: bool = False,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> dict[str, Any]:
    """Analyse a reader study.

    Args:
        study: Readings of the same cases in every modality by every reader.
        figures: Names of figures of merit; None for all that fit the data (ROC data: Wilcoxon).
        level: Nominal coverage of intervals.
        covariance: Of the figures, for Obuchowski-Rockette: "jackknife", "delong" (Wilcoxon and HrAuc) or "bootstrap".
        holm: Whether p values of differences get Holm's adjustment beside them ("p_holm").
        bootstrap: Number of resamples and seed, for the bootstrap covariance.

    Returns:
        The content of results.json's key "reader_study".

    Raises:
        RequestError: A figure of merit or a covariance method is unknown, or the level impossible.
    """
    names = _checked(study, figures, level, covariance)
    results: dict[str, Any] = {
        "type": "ROC" if study.is_roc else "FROC",
        "modalities": list(study.modalities),
        "readers": list(study.readers),
        "n_nondiseased": study.n_nondiseased,
        "n_diseased": study.n_diseased,
        "n_lesions": study.n_lesions,
        "level": level,
        "covariance": covariance,
        "multiplicity": "Holm" if holm else "none",
        "figures_of_merit": {},
        "unavailable": {name: _left_out(study, name) for name in FIGURES_OF_MERIT if name not in names},
        "definitions": {name: FIGURE_DEFINITIONS[name] for name in names},
        "tests": {},
    }
    if study.cohort.n_patients < study.n_cases:
        results["caution"] = _clusters(study)
    for name in names:
        reason = study.undefined_reason(name)
        if reason:
            results["unavailable"][name] = reason
            continue
        results["figures_of_merit"][name] = study.figures(name).tolist()
        results["tests"][name] = _tests(study, name, level, covariance, holm, bootstrap)
    return results


def planning_results(
    study: ReaderStudy,
    name: str,
    effect: float,
    *,
    readers: Sequence[int] = (3, 4, 5, 6, 7, 8, 10, 12, 15, 20),
    analysis: AnalysisName = "RRRC",
    power: float = 0.8,
    alpha: float = 0.05,
    covariance: CovarianceMethod = "jackknife",
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> dict[str, Any]:
    """How many cases a study of two modalities like this one would need, for several numbers of readers.

    Args:
        study: The pilot study; its variance components are taken over.
        name: Of the figure of merit.
        effect: Difference of the two modality means to be found.
        readers: Numbers of readers.
        analysis: "RRRC", "FRRC" or "RRFC".
        power: Wanted.
        alpha: Size of the test.
        covariance, bootstrap: As in ``reader_study_results``.

    Returns:
        The question, the components, and "table": one row of readers, cases and power for each number of readers; cases
        are null with a reason where 10,000 do not suffice, or no number can be told. Where the study gives no components, only "unavailable".

    Raises:
        RequestError: A number or a name is impossible.
    """
    _checked(study, [name], 1 - alpha, covariance)
    name = canonical_name(name)
    try:
        found = obuchowski_rockette(study, name, covariance=covariance, bootstrap=bootstrap)
        pilot = PilotStudy.from_analysis(found, study.n_cases)
    except ValueError as error:
        return {"unavailable": str(error)}
    try:
        rows = [_plan(pilot, effect, number, power, analysis, alpha) for number in readers]
    except ValueError as error:
        raise RequestError(str(error)) from error
    return {
        "figure_of_merit": name,
        "effect": effect,
        "analysis": analysis,
        "power": power,
        "alpha": alpha,
        "pilot": {
            "readers": study.n_readers,
            "nondiseased": study.n_nondiseased,
            "diseased": study.n_diseased,
            "or_components": found.components,
        },
        "table": rows,
    }


def _plan(
    pilot: PilotStudy, effect: float, readers: int, power: float, analysis: AnalysisName, alpha: float
) -> dict[str, Any]:
    most = 10_000
    try:
        cases = cases_needed(pilot, effect, readers, power, analysis, alpha, most)
    except NoErrorVarianceError as error:
        return {"readers": readers, "cases": None, "power": None, "reason": str(error)}
    if cases is None:
        return {"readers": readers, "cases": None, "power": None, "reason": f"not even {most:,} cases suffice"}
    return {
        "readers": readers,
        "cases": cases,
        "power": study_power(pilot, effect, readers, cases, analysis, alpha).power,
    }


def _checked(study: ReaderStudy, figures: Sequence[str] | None, level: float, covariance: str) -> list[str]:
    if covariance not in get_args(CovarianceMethod):
        raise RequestError(f"covariance must be one of {get_args(CovarianceMethod)}, found {covariance!r}")
    try:
        check_level(level)
        if figures is not None:
            return list(dict.fromkeys(canonical_name(name) for name in figures))
    except ValueError as error:
        raise RequestError(str(error)) from error
    return ["Wilcoxon"] if study.is_roc else [name for name in FIGURES_OF_MERIT if name != "Wilcoxon"]


def _left_out(study: ReaderStudy, name: str) -> str:
    if study.is_roc and name != "Wilcoxon":
        return f"not asked for: {name} is about marks, and these are ROC data, which Wilcoxon describes"
    return study.undefined_reason(name) or "not asked for"


def _clusters(study: ReaderStudy) -> str:
    return (
        f"{study.n_cases} cases of {study.cohort.n_patients} patients: the jackknife and DeLong's covariance take cases"
        " as independent, which makes intervals too narrow; the bootstrap covariance resamples patients"
    )


def _tests(
    study: ReaderStudy, name: str, level: float, covariance: CovarianceMethod, holm: bool, bootstrap: Bootstrap
) -> dict[str, Any]:
    """The entry of one figure of merit."""
    figures = study.figures(name)
    entry: dict[str, Any] = {"or_mean_squares": _numbers(mean_squares(figures, "TR"))}
    analysed: dict[str, ObuchowskiRockette | DorfmanBerbaumMetz | str] = {}
    try:
        found = obuchowski_rockette(study, name, covariance=covariance, level=level, holm=holm, bootstrap=bootstrap)
        analysed["OR"], entry["or_components"] = found, _numbers(found.components)
    except ValueError as error:
        analysed["OR"], entry["or_components"] = str(error), {"unavailable": str(error)}
    try:
        model = dorfman_berbaum_metz(study, name, level=level, holm=holm)
        analysed["DBM"] = model
        entry["dbm_mean_squares"], entry["dbm_components"] = _numbers(model.mean_squares), _numbers(model.components)
    except ValueError as error:
        analysed["DBM"] = str(error)
        entry["dbm_mean_squares"] = entry["dbm_components"] = {"unavailable": str(error)}
    entry["modality_means"] = figures.mean(axis=1).tolist()
    for method, model_or_reason in analysed.items():
        entry[method] = {kind: _analysis_entry(model_or_reason, kind) for kind in ANALYSES}
    return entry


def _analysis_entry(model: ObuchowskiRockette | DorfmanBerbaumMetz | str, kind: AnalysisName) -> dict[str, Any]:
    if isinstance(model, str):
        return {"unavailable": model}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # its text is in the reason
            found = model.analysis(kind)
    except ValueError as error:
        return {"unavailable": str(error)}
    entry = _test_entry(found)
    entry["differences"] = [_difference_entry(one, found.normal) for one in found.differences]
    entry["per_modality"] = [_mean_entry(one, found.normal) for one in found.per_modality]
    if found.name == "FRRC":
        entry["differences_each_reader"] = [
            _difference_entry(one, found.normal) for one in found.differences_each_reader
        ]
    return entry


def _test_entry(found: Analysis) -> dict[str, Any]:
    test, statistic = found.test, "chisq" if found.normal else "F"
    keys = [statistic, "df", "p"] if found.normal else [statistic, "ndf", "ddf", "p"]
    if test is None:
        empty = dict.fromkeys([*keys, "ms_numerator", "ms_denominator"])
        return {**empty, "reason": "one modality: there is nothing to compare"}
    df = {"df": test.ndf} if found.normal else {"ndf": test.ndf, "ddf": test.ddf}
    numbers = {
        statistic: test.statistic,
        **df,
        "p": test.p,
        "ms_numerator": test.ms_numerator,
        "ms_denominator": test.ms_denominator,
    }
    return _finite(numbers, found.reason)


def _difference_entry(one: Difference, normal: bool) -> dict[str, Any]:
    df = {} if normal else {"df": one.df}
    numbers = {
        "label": one.label,
        "estimate": one.estimate,
        "se": one.se,
        **df,
        "z" if normal else "t": one.statistic,
        "p": one.p,
        "ci_low": one.low,
        "ci_high": one.high,
    }
    if one.p_holm is not None:
        numbers["p_holm"] = one.p_holm
    return _interval_entry(numbers)


def _mean_entry(one: ModalityMean, normal: bool) -> dict[str, Any]:
    df = {} if normal else {"df": one.df}
    numbers = {"label": one.label, "estimate": one.estimate, "se": one.se, **df, "ci_low": one.low, "ci_high": one.high}
    return _interval_entry(numbers)


def _interval_entry(numbers: dict[str, Any]) -> dict[str, Any]:
    if numbers["se"] == 0:
        return {**_finite(numbers, None), "reason": "the standard error is 0"}
    return _finite(numbers, "infinitely many degrees of freedom: the normal distribution")


def _numbers(values: dict[str, float]) -> dict[str, Any]:
    lacking = ", ".join(name for name, value in values.items() if math.isnan(value))
    return _finite(values, f"{lacking}: undefined with one reader or one modality")


def _finite(values: dict[str, Any], reason: str | None) -> dict[str, Any]:
    """The same with null for numbers that JSON has not, and then the reason beside them."""
    entry = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }
    if None in entry.values():
        entry["reason"] = reason
    return entry
