"""How good image scores are: the ROC curve and its area."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.errors import InputDataError
from medpipe.evaluation.results import curve_entry, figure
from medpipe.evaluation.truth import TruthCase, number_in
from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.intervals import Bootstrap, Estimate
from medpipe.metrics.jafroc import figure_of_merit_estimate
from medpipe.metrics.roc import auc_estimate, roc_curve
from medpipe.predictions.tables import read_table

__all__ = ["evaluate_image_scores", "image_score_results", "scores_from_table"]

_AUC = "area under the ROC curve: how often a diseased case scores higher than a non-diseased one, ties half"


def scores_from_table(path: Path) -> dict[str, float]:
    """Image scores from a CSV table with columns case and score.

    A run's cases.csv will do: rows whose status is not "done" are left out.

    Raises:
        InputDataError: A case stands twice, or a score is no finite number.
    """
    scores: dict[str, float] = {}
    for line, row in enumerate(read_table(path, ["case", "score"]), start=2):
        if row.get("status", "done") != "done":
            continue
        if row["case"] in scores:
            raise InputDataError(f"table '{path}', line {line}: case '{row['case']}' stands twice")
        scores[row["case"]] = number_in(path, line, row, "score")
    return scores


def evaluate_image_scores(scores: dict[str, float], truth: Sequence[TruthCase], bootstrap: Bootstrap) -> dict[str, Any]:
    """Score image scores against labels; the content of results.json.

    Raises:
        InputDataError: A scored case is not in the truth, or no case is left.
    """
    known = {case.case for case in truth}
    unknown = sorted(set(scores) - known)
    if unknown:
        raise InputDataError(f"{len(unknown)} scored cases are not in the truth (first: '{unknown[0]}')")
    pairs = [(case, scores[case.case]) for case in truth if case.case in scores]
    if not pairs:
        raise InputDataError("no case has both a score and a label")
    without = sorted(known - set(scores))
    cohort = {
        "listed": len(truth),
        "without_result": [{"case": case, "reason": "no score"} for case in without],
        "analysed": len(pairs),
        "diseased": sum(case.diseased for case, _ in pairs),
        "nondiseased": sum(not case.diseased for case, _ in pairs),
        "patients": len({case.patient for case, _ in pairs}),
    }
    cases = [{"case": case.case, "diseased": case.diseased, "score": score} for case, score in pairs]
    return {"task": "roc", "cohort": cohort, **image_score_results(pairs, bootstrap), "cases": cases}


def image_score_results(pairs: Sequence[tuple[TruthCase, float]], bootstrap: Bootstrap) -> dict[str, Any]:
    """AUC with DeLong's interval, also with one over patients where a patient has several images, and the ROC curve."""
    scores = np.array([score for _, score in pairs])
    labels = np.array([case.diseased for case, _ in pairs])
    patients = [case.patient for case, _ in pairs]
    estimate = auc_estimate(scores, labels, level=bootstrap.level)
    headline = [figure("AUC", estimate, _AUC)]
    if len(set(patients)) < len(patients) and not math.isnan(estimate.value):
        data = FreeResponseData.from_scores(scores, labels, patients)
        estimate = figure_of_merit_estimate(data, "Wilcoxon", bootstrap)
        headline.append(figure("AUC, patients resampled", estimate, f"{_AUC}; images of one patient stay together"))
    both = bool(labels.any()) and not bool(labels.all())
    curves = {"ROC": curve_entry(roc_curve(scores, labels))} if both else {}
    return {"headline": headline, "curves": curves, "statement": _statement(estimate)}


def _statement(estimate: Estimate) -> str:
    if math.isnan(estimate.low):
        return f"Whether the scores are better than chance cannot be said: {estimate.reason}."
    interval = f"{100 * estimate.level:g} % interval {estimate.low:.3f} to {estimate.high:.3f}"
    if estimate.low > 0.5:
        return f"On these images the scores are better than chance (AUC {estimate.value:.3f}, {interval})."
    if estimate.high < 0.5:
        return f"On these images the scores are worse than chance (AUC {estimate.value:.3f}, {interval})."
    return (
        f"On these images the scores are not shown to be better than chance "
        f"(AUC {estimate.value:.3f}, {interval}, which contains 0.5)."
    )
