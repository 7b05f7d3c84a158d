"""How good image scores are: ROC and precision-recall curves, operating points, calibration, subgroups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.errors import InputDataError, RequestError
from medpipe.evaluation.groups import chosen_variables, subgroup_entries
from medpipe.evaluation.results import (
    calibration_entry,
    curve_entry,
    figure,
    operating_point_entry,
    patient_numbers,
    settings_entry,
)
from medpipe.evaluation.truth import TruthCase, number_in
from medpipe.metrics._arrays import BoolArray, FloatArray
from medpipe.metrics.bands import curve_band, few_resamples, free_response_band
from medpipe.metrics.calibration import calibration
from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.intervals import Bootstrap, Cohort, Estimate, counted_as_independent
from medpipe.metrics.jafroc import figure_of_merit_analytic, figure_of_merit_estimate
from medpipe.metrics.operating_points import OperatingPoint, at_sensitivity, at_specificity, at_threshold, youden
from medpipe.metrics.precision_recall import (
    average_precision_estimate,
    precision_recall_curve,
    precision_recall_points,
)
from medpipe.metrics.roc import auc_estimate, roc_curve
from medpipe.predictions.tables import numbered_rows

__all__ = ["evaluate_image_scores", "image_score_results", "scores_from_table"]

_AUC = "area under the ROC curve: how often a diseased case scores higher than a non-diseased one, ties half"
_AP = "average precision: precision weighted by the growth of sensitivity; chance is the prevalence"
_NEAR_ONE = 0.9
_FEWEST_PATIENTS = 5
"""With fewer patients in a group an interval says too little for a verdict."""
_TARGET = 0.9
"""Sensitivity and specificity at which operating points are shown."""


def scores_from_table(path: Path) -> dict[str, float]:
    """Image scores from a CSV table with columns case and score.

    A run's cases.csv will do: rows whose status is not "done" are left out.

    Raises:
        InputDataError: A case stands twice, or a score is no finite number.
    """
    scores: dict[str, float] = {}
    for line, row in numbered_rows(path, ["case", "score"]):
        if row.get("status", "done") != "done":
            continue
        if row["case"] in scores:
            raise InputDataError(f"table '{path}', line {line}: case '{row['case']}' stands twice")
        scores[row["case"]] = number_in(path, line, row, "score")
    return scores


def evaluate_image_scores(
    scores: dict[str, float],
    truth: Sequence[TruthCase],
    bootstrap: Bootstrap,
    *,
    thresholds: Sequence[float] = (),
    variables: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Score image scores against labels; the content of results.json.

    Args:
        scores: One per case; cases of the truth without one are counted and left out.
        truth: Label of every case.
        bootstrap: How intervals are made.
        thresholds: Thresholds fixed before, shown as operating points.
        variables: Columns of the truth to split by; None for the usual ones.

    Raises:
        InputDataError: A scored case is not in the truth, no case is left, or a variable is unknown.
        RequestError: A threshold is NaN or infinite.
    """
    for threshold in thresholds:
        if not math.isfinite(threshold):
            raise RequestError(f"a threshold must be a finite number, found {threshold}")
    known = {case.case for case in truth}
    unknown = sorted(set(scores) - known)
    if unknown:
        raise InputDataError(f"{len(unknown)} scored cases are not in the truth (first: '{unknown[0]}')")
    pairs = [(case, scores[case.case]) for case in truth if case.case in scores]
    if not pairs:
        raise InputDataError("no case has both a score and a label")
    variables = chosen_variables([case for case, _ in pairs], variables)
    without = sorted(known - set(scores))
    patients = patient_numbers(case.patient for case, _ in pairs)
    cohort = {
        "listed": len(truth),
        "without_result": [{"case": case, "reason": "no score"} for case in without],
        "analysed": len(pairs),
        "diseased": sum(case.diseased for case, _ in pairs),
        "nondiseased": sum(not case.diseased for case, _ in pairs),
        "patients": len({case.patient for case, _ in pairs}),
    }
    return {
        "task": "roc",
        "settings": settings_entry(bootstrap),
        "cohort": cohort,
        **image_score_results(pairs, bootstrap, thresholds=thresholds, variables=variables),
        "cases": [
            {
                "case": case.case,
                "patient": patients[case.patient],
                "diseased": case.diseased,
                "score": score,
                "groups": {name: case.groups.get(name, "") for name in variables},
            }
            for case, score in pairs
        ],
    }


def image_score_results(
    pairs: Sequence[tuple[TruthCase, float]],
    bootstrap: Bootstrap,
    *,
    thresholds: Sequence[float] = (),
    variables: Sequence[str] = (),
) -> dict[str, Any]:
    """The parts of results.json that are about one score per image.

    AUC has DeLong's interval. Where a patient has several images, it has one over patients, and DeLong's, which takes
    images as independent, stands second. Near 1, where the normal interval is too narrow, one on the logit scale is added.
    """
    scores = np.array([score for _, score in pairs])
    labels = np.array([case.diseased for case, _ in pairs])
    patients = [case.patient for case, _ in pairs]
    clustered = len(set(patients)) < len(patients)
    data = FreeResponseData.from_scores(scores, labels, patients)
    headline = _areas(scores, labels, data, bootstrap, clustered)
    estimate = headline[0][1]
    results: dict[str, Any] = {
        "headline": [figure(*entry) for entry in headline],
        "curves": {},
        "statement": _statement(estimate, min(data.cohort.strata)),
        "operating_points": _preset_points(scores, labels, thresholds, bootstrap.level, clustered),
    }
    if labels.any() and not labels.all():
        precision = average_precision_estimate(scores, labels, patients, bootstrap)
        results["headline"].append(figure("Average precision", precision, _AP))
        results["curves"] = _curves(scores, labels, patients, data, bootstrap)
        results["operating_points"] += _chosen_points(scores, labels, bootstrap.level, clustered)
    results["calibration"] = _calibration(scores, labels, patients, bootstrap)
    cases = [case for case, _ in pairs]

    def of_group(places: Any) -> Estimate:
        part = FreeResponseData.from_scores(scores[places], labels[places], [patients[i] for i in places])
        return figure_of_merit_analytic(part, "Wilcoxon", bootstrap.level)

    subgroups = subgroup_entries(cases, variables, "AUC", of_group)
    return {**results, "subgroups": subgroups} if subgroups else results


def _curves(
    scores: FloatArray, labels: BoolArray, patients: list[str], data: FreeResponseData, bootstrap: Bootstrap
) -> dict[str, Any]:
    few = few_resamples(bootstrap, scores.size)
    roc, precision = roc_curve(scores, labels), precision_recall_curve(scores, labels)
    points = precision_recall_points(scores, labels)
    return {
        "ROC": curve_entry(roc, free_response_band(data, roc, few)),
        "PR": curve_entry(precision, curve_band(points, precision, Cohort(labels, patients), few)),
    }


def _areas(
    scores: FloatArray, labels: BoolArray, data: FreeResponseData, bootstrap: Bootstrap, clustered: bool
) -> list[tuple[str, Estimate, str]]:
    """AUC with its intervals, the one to rely on first."""
    delong = auc_estimate(scores, labels, level=bootstrap.level)
    if clustered and not math.isnan(delong.value):
        patients = figure_of_merit_estimate(data, "Wilcoxon", bootstrap)
        return [
            ("AUC", patients, f"{_AUC}; images of one patient stay together"),
            ("AUC, images taken as independent", counted_as_independent(delong), _AUC),
        ]
    areas = [("AUC", delong, _AUC)]
    if _NEAR_ONE <= delong.value < 1:
        near = auc_estimate(scores, labels, level=bootstrap.level, interval="logit")
        areas.append(("AUC, logit interval", near, "the same on the scale of log odds, which covers better near 1"))
    return areas


def _preset_points(
    scores: FloatArray, labels: BoolArray, thresholds: Sequence[float], level: float, clustered: bool
) -> list[dict[str, Any]]:
    points = [(f"Threshold {t:g}", "fixed before scoring", at_threshold(scores, labels, t)) for t in thresholds]
    return [operating_point_entry(*entry, level, preset=True, clustered=clustered) for entry in points]


def _chosen_points(scores: FloatArray, labels: BoolArray, level: float, clustered: bool) -> list[dict[str, Any]]:
    here = "chosen on these cases, which flatters it"
    chosen: list[tuple[str, str, OperatingPoint]] = [
        ("Youden index", f"largest sensitivity + specificity - 1, {here}", youden(scores, labels)),
        (
            f"Sensitivity {_TARGET:g}",
            f"highest threshold with a sensitivity of at least {_TARGET:g}, {here}",
            at_sensitivity(scores, labels, _TARGET),
        ),
        (
            f"Specificity {_TARGET:g}",
            f"lowest threshold with a specificity of at least {_TARGET:g}, {here}",
            at_specificity(scores, labels, _TARGET),
        ),
    ]
    return [operating_point_entry(*entry, level, clustered=clustered) for entry in chosen]


def _calibration(scores: FloatArray, labels: BoolArray, patients: list[str], bootstrap: Bootstrap) -> dict[str, Any]:
    if scores.min() < 0 or scores.max() > 1:
        reason = f"scores from {scores.min():g} to {scores.max():g} are no probabilities"
        return {"figures": [], "bins": [], "reason": reason}
    return calibration_entry(calibration(scores, labels, patients=patients, bootstrap=bootstrap))


def _statement(estimate: Estimate, fewest: int) -> str:
    """The finding; ``fewest`` is the number of patients in the smaller group."""
    if estimate.value in (0.0, 1.0):
        above, better = ("above", "better") if estimate.value else ("below", "worse")
        # By chance alone 5 of 10 cases stand so once in 252 times.
        verdict = f"the scores are {better} than chance: " if fewest >= _FEWEST_PATIENTS else ""
        return (
            f"On these images {verdict}every diseased case scores {above} every other"
            f" (AUC {estimate.value:.3f}); perfect separation leaves no interval."
        )
    if math.isnan(estimate.low) or estimate.low == estimate.high:
        return f"Whether the scores are better than chance cannot be said: {estimate.reason}."
    if fewest < _FEWEST_PATIENTS:
        return (
            f"Whether the scores are better than chance cannot be said: a group has only {fewest} patients"
            f" (AUC {estimate.value:.3f})."
        )
    interval = f"{100 * estimate.level:g} % interval {estimate.low:.3f} to {estimate.high:.3f}"
    if estimate.low > 0.5:
        return f"On these images the scores are better than chance (AUC {estimate.value:.3f}, {interval})."
    if estimate.high < 0.5:
        return f"On these images the scores are worse than chance (AUC {estimate.value:.3f}, {interval})."
    return (
        f"On these images the scores are not shown to be better than chance "
        f"(AUC {estimate.value:.3f}, {interval}, which contains 0.5)."
    )
