"""What matched marks are worth: AFROC figures of merit, FROC sensitivities, curves with bands, subgroups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medpipe.evaluation.definitions import FIGURE_DEFINITIONS
from medpipe.evaluation.groups import subgroup_entries
from medpipe.evaluation.results import curve_entry, figure, number
from medpipe.evaluation.truth import TruthCase
from medpipe.metrics._arrays import IntArray
from medpipe.metrics.bands import few_resamples, free_response_band
from medpipe.metrics.conventions import Convention, node21_statistic
from medpipe.metrics.free_response import FreeResponseData, MatchedCase
from medpipe.metrics.froc import froc_estimates, froc_score, operating_curve
from medpipe.metrics.intervals import Bootstrap, Estimate
from medpipe.metrics.jafroc import figure_of_merit_analytic, figure_of_merit_estimate
from medpipe.metrics.precision_recall import detection_average_precision_estimate, detection_precision_recall_curve

__all__ = ["LEADING_FIGURES", "case_ratings", "free_response_results"]

LEADING_FIGURES = ("AFROC", "wAFROC")
"""Figures of merit that every evaluation of marks shows."""

_PRECISION = "average precision of marks: share of marks that found a lesion, weighted by the growth of the share of lesions found"


def free_response_results(
    matched: Sequence[MatchedCase],
    cases: Sequence[TruthCase],
    bootstrap: Bootstrap,
    convention: Convention,
    variables: Sequence[str] = (),
) -> dict[str, Any]:
    """The parts of results.json that are about marks: "headline", "froc", "curves" and, where asked for, "subgroups".

    Args:
        matched: Cases with their matched marks.
        cases: The truth of the same cases, in the same order.
        bootstrap: How intervals are made.
        convention: At which false positives per image sensitivity is read off, and how.
        variables: Columns to split by.
    """
    data = FreeResponseData.from_cases(matched)
    headline = [
        figure(name, figure_of_merit_estimate(data, name, bootstrap), FIGURE_DEFINITIONS[name])
        for name in LEADING_FIGURES
    ]
    headline.append(
        figure("Average precision of marks", detection_average_precision_estimate(data, bootstrap), _PRECISION)
    )
    if convention.name == "NODE21" and data.n_diseased and data.n_nondiseased:
        score = bootstrap.estimate(node21_statistic(data), data.cohort)
        headline.append(figure("NODE21 score", score, "0.75 * AUC of the highest rating + 0.25 * sensitivity at 1/4"))
    results = {"headline": headline, "froc": _froc(data, bootstrap, convention), "curves": _curves(data, bootstrap)}

    def of_group(places: IntArray) -> Estimate:
        part = FreeResponseData.from_cases([matched[i] for i in places])
        return figure_of_merit_analytic(part, "wAFROC", bootstrap.level)

    subgroups = subgroup_entries(cases, variables, "wAFROC", of_group)
    return {**results, "subgroups": subgroups} if subgroups else results


def _froc(data: FreeResponseData, bootstrap: Bootstrap, convention: Convention) -> dict[str, Any]:
    estimates = froc_estimates(data, convention.rates, convention.interpolation, bootstrap)
    score = froc_score(data, convention.rates, convention.interpolation)
    definition = "lesions found / all lesions, at the threshold with this many false positives per image"
    rates = ", ".join(f"{rate:g}" for rate in convention.rates)
    return {
        "convention": convention.name,
        "interpolation": score.interpolation,
        "end_point": [number(value) for value in score.end_point],
        "rates": [
            {"rate": rate, "beyond": beyond, **figure(f"Sensitivity at {rate:g} FP per image", estimate, definition)}
            for rate, beyond, estimate in zip(score.rates, score.beyond, estimates[:-1], strict=True)
        ],
        "mean": figure(
            f"Mean sensitivity at {rates} FP per image", estimates[-1], f"mean over the rates ({convention.name})"
        ),
    }


def _curves(data: FreeResponseData, bootstrap: Bootstrap) -> dict[str, Any]:
    few = few_resamples(bootstrap, max(data.n_cases, data.nl_rating.size + data.ll_rating.size))
    curves = {}
    for name in ("FROC", "AFROC", "wAFROC"):
        if data.n_diseased and (data.n_nondiseased or name == "FROC"):
            curve = operating_curve(data, name)
            curves[name] = curve_entry(curve, free_response_band(data, curve, few))
    if data.n_diseased:
        curves["PR of marks"] = curve_entry(detection_precision_recall_curve(data))
    return curves


def case_ratings(case: MatchedCase) -> dict[str, Any]:
    """What the marks of one case add to its row: enough to compute every free-response figure again."""
    lesions: list[float | None] = [None] * case.n_lesions
    for row in case.rows:
        if row.kind == "LL" and row.lesion is not None:
            lesions[row.lesion] = row.rating
    ratings: dict[str, Any] = {
        "lesions": case.n_lesions,
        "found": sum(rating is not None for rating in lesions),
        "lesion_ratings": lesions,
        "false_positive_ratings": [row.rating for row in case.rows if row.kind == "NL"],
    }
    ratings["false_positives"] = len(ratings["false_positive_ratings"])
    return ratings if case.weights is None else {**ratings, "lesion_weights": list(case.weights)}
