"""Precision against recall, and average precision: of image scores, and of the marks of a detector.

Average precision is the sum over operating points of precision * (growth of recall), as in scikit-learn; nothing is
interpolated. Of marks, precision is the share of marks that found a lesion, recall the share of lesions found; lesions
that no mark found stay missed at every threshold. Precision depends on the prevalence in the sample.

References:
    K Boyd, KH Eng, CD Page, Area under the precision-recall curve, ECML PKDD 2013.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from medpipe.metrics._arrays import FloatArray, IntArray, binary_array, check_finite, float_vector
from medpipe.metrics.curves import Curve
from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.intervals import DEFAULT_BOOTSTRAP, Bootstrap, Cohort, Estimate

__all__ = [
    "average_precision",
    "average_precision_estimate",
    "detection_average_precision_estimate",
    "detection_precision_recall_curve",
    "precision_recall_curve",
    "precision_recall_points",
]

_NO_POSITIVE = "average precision needs positives, and there are none"


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Average precision of image scores; NaN without a positive case.

    Args:
        scores: one finite number per case, higher for more suspicious.
        labels: one 0 or 1 per case.

    Raises:
        ValueError: when lengths differ, a score is not finite, or a label is neither 0 nor 1.
    """
    ranking = _of_images(scores, labels)
    return ranking.average_precision(np.ones(ranking.n_cases, dtype=np.int64))


def average_precision_estimate(
    scores: ArrayLike,
    labels: ArrayLike,
    patients: Sequence[str] | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> Estimate:
    """Average precision of image scores with an interval over patients.

    Raises:
        ValueError: as ``average_precision``, or when ``patients`` has another length.
    """
    ranking = _of_images(scores, labels)
    cohort = Cohort(binary_array(labels, "labels"), patients)
    return _estimate(ranking, cohort, bootstrap)


def detection_average_precision_estimate(data: FreeResponseData, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP) -> Estimate:
    """Average precision of marks with an interval over patients; duplicates must have been settled by the matching."""
    return _estimate(_of_marks(data), data.cohort, bootstrap)


def precision_recall_curve(scores: ArrayLike, labels: ArrayLike) -> Curve:
    """Precision against recall of image scores; its area (of steps) is the average precision.

    Raises:
        ValueError: without a positive case, or as ``average_precision``.
    """
    return _curve("PR", _of_images(scores, labels), ("recall (sensitivity)", "precision (positive predictive value)"))


def precision_recall_points(
    scores: ArrayLike, labels: ArrayLike
) -> Callable[[IntArray], tuple[FloatArray, FloatArray]]:
    """Recall and precision at each threshold, as a function of how often each case is in the sample, for a band.

    Raises:
        ValueError: as ``average_precision``.
    """
    return _of_images(scores, labels).points


def detection_precision_recall_curve(data: FreeResponseData) -> Curve:
    """Precision against recall of marks.

    Raises:
        ValueError: without a lesion.
    """
    return _curve("PR of marks", _of_marks(data), ("share of lesions found", "share of marks that found a lesion"))


@dataclass(frozen=True, eq=False)
class _Ranking:
    """Ratings from the highest down, grouped into ties; ``last`` is where each group ends."""

    case: IntArray
    positive: IntArray
    last: IntArray
    thresholds: FloatArray
    positives_per_case: IntArray

    @property
    def n_cases(self) -> int:
        return self.positives_per_case.size

    def points(self, counts: IntArray) -> tuple[FloatArray, FloatArray]:
        """Recall and precision at each threshold; NaN recall without a positive.

        Above the highest rating of the sample precision is what it is there, or 1 without any.
        """
        weight = counts[self.case]
        hits = np.cumsum(weight * self.positive)[self.last].astype(np.float64)
        marked = np.cumsum(weight)[self.last]
        total = int((counts * self.positives_per_case).sum())
        recall = hits / total if total else np.full(hits.size, math.nan)
        counted = marked > 0
        first = int(np.argmax(counted)) if counted.any() else None
        start = 1.0 if first is None else hits[first] / marked[first]
        return recall, np.divide(hits, marked, out=np.full(hits.size, start), where=counted)

    def average_precision(self, counts: IntArray) -> float:
        recall, precision = self.points(counts)
        if not recall.size:
            return 0.0 if self.positives_per_case.any() else math.nan
        return float(np.einsum("i,i->", np.diff(recall, prepend=0.0), precision))


def _of_images(scores: ArrayLike, labels: ArrayLike) -> _Ranking:
    values, positive = float_vector(scores, "scores"), binary_array(labels, "labels")
    if values.shape != positive.shape:
        raise ValueError(f"{values.size} scores for labels of shape {positive.shape}")
    check_finite(values, "scores")
    return _rank(values, np.arange(values.size), positive.astype(np.int64), positive.astype(np.int64))


def _of_marks(data: FreeResponseData) -> _Ranking:
    ratings = np.concatenate([data.ll_rating, data.nl_rating])
    cases = np.concatenate([data.n_nondiseased + data.ll_case, data.nl_case])
    positive = (np.arange(ratings.size) < data.ll_rating.size).astype(np.int64)
    lesions = np.append(np.zeros(data.n_nondiseased, dtype=np.int64), data.lesions_per_case)
    return _rank(ratings, cases, positive, lesions)


def _rank(ratings: FloatArray, cases: IntArray, positive: IntArray, positives_per_case: IntArray) -> _Ranking:
    order = np.argsort(-ratings, kind="stable")
    falling = ratings[order]
    last = np.flatnonzero(np.append(np.diff(falling) != 0, True)) if falling.size else np.zeros(0, dtype=np.int64)
    return _Ranking(cases[order], positive[order], last, falling[last], positives_per_case)


def _estimate(ranking: _Ranking, cohort: Cohort, bootstrap: Bootstrap) -> Estimate:
    if not ranking.positives_per_case.any():
        return bootstrap.undefined(cohort, _NO_POSITIVE)
    return bootstrap.estimate(ranking.average_precision, cohort)


def _curve(name: str, ranking: _Ranking, labels: tuple[str, str]) -> Curve:
    if not ranking.positives_per_case.any():
        raise ValueError(_NO_POSITIVE)
    recall, precision = ranking.points(np.ones(ranking.n_cases, dtype=np.int64))
    first = precision[0] if precision.size else 1.0
    x, y = np.append(0.0, recall), np.append(first, precision)
    return Curve(name, x, y, np.append(np.inf, ranking.thresholds), *labels, extends=False, steps=True)
