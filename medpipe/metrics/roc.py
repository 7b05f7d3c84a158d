"""Area under the ROC curve (AUC) with DeLong's variance, and paired comparison.

Scores are numbers, higher for more suspicious; labels are 1 (diseased) or 0. Minus infinity is a score like
any other (a case without a mark); NaN and plus infinity are errors. For intervals that resample patients with
several cases see ``FreeResponseData.from_scores`` and the figure of merit ``Wilcoxon``: DeLong takes cases as
independent.

References:
    ER DeLong, DM DeLong, DL Clarke-Pearson, Biometrics 1988.
    X Sun, W Xu, Fast implementation of DeLong's algorithm, IEEE Signal Processing Letters 2014 (sorting).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit, ndtr, ndtri

from medpipe.metrics._arrays import BoolArray, FloatArray, binary_array, float_vector
from medpipe.metrics.curves import Curve, sweep
from medpipe.metrics.intervals import Comparison, Estimate, check_level

__all__ = [
    "AucComparison",
    "DeLong",
    "auc",
    "auc_estimate",
    "compare_aucs",
    "delong",
    "roc_curve",
    "scores_and_labels",
]

AucInterval = Literal["normal", "logit"]


@dataclass(frozen=True, eq=False)
class DeLong:
    """AUC with DeLong's structural components.

    Attributes:
        auc: area under the ROC curve; NaN when a class is missing.
        v10: for each diseased case, the share of non-diseased scores below its own (ties count half).
        v01: for each non-diseased case, the share of diseased scores above its own (ties count half).
        variance: of the AUC; NaN with fewer than two cases in a class.
        reason: why something is NaN; otherwise None.
    """

    auc: float
    v10: FloatArray
    v01: FloatArray
    variance: float
    reason: str | None = None


@dataclass(frozen=True)
class AucComparison(Comparison):
    """Comparison of two AUCs on the same cases.

    Attributes:
        covariance: of the two AUCs.
        z: difference / its standard error.
    """

    covariance: float
    z: float


def auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the ROC curve: the share of (non-diseased, diseased) pairs in order, ties counting half.

    Args:
        scores: one per case.
        labels: one 0 or 1 per case.

    Returns:
        A number in [0, 1]; NaN, with a RuntimeWarning, when only one class is there.

    Raises:
        ValueError: when lengths differ, a score is NaN or plus infinity, or a label is neither 0 nor 1.
    """
    result = delong(scores, labels)
    if math.isnan(result.auc):
        warnings.warn(f"AUC is undefined: {result.reason}", RuntimeWarning, stacklevel=2)
    return result.auc


def delong(scores: ArrayLike, labels: ArrayLike) -> DeLong:
    """AUC, structural components and variance, by sorting, O(n log n).

    Var = var(V10)/m + var(V01)/n with denominators m - 1 and n - 1 (m diseased, n non-diseased cases).

    Raises:
        ValueError: as ``auc``.
    """
    values, diseased = scores_and_labels(scores, labels)
    healthy_scores, diseased_scores = values[~diseased], values[diseased]
    n, m = healthy_scores.size, diseased_scores.size
    if n == 0 or m == 0:
        lacking = "diseased" if m == 0 else "non-diseased"
        return DeLong(math.nan, np.full(m, math.nan), np.full(n, math.nan), math.nan, f"no {lacking} case")
    v10 = _share_below(diseased_scores, healthy_scores)
    v01 = 1 - _share_below(healthy_scores, diseased_scores)
    area = float(v10.mean())
    if n < 2 or m < 2:
        reason = f"the variance needs two cases in each class, found {m} diseased and {n} non-diseased"
        return DeLong(area, v10, v01, math.nan, reason)
    return DeLong(area, v10, v01, _covariance(v10, v10, v01, v01))


def auc_estimate(
    scores: ArrayLike, labels: ArrayLike, level: float = 0.95, interval: AucInterval = "normal"
) -> Estimate:
    """AUC with DeLong's interval.

    Args:
        scores: one per case.
        labels: one 0 or 1 per case.
        level: nominal coverage.
        interval: ``normal`` (AUC +- z * standard error, clipped to [0, 1]) or ``logit`` (the same on the
            scale of log odds, which stays inside (0, 1)).

    Returns:
        The estimate; what is undefined is NaN with the reason. With AUC 0 or 1 the variance is 0: the normal
        interval is then a point, which the reason says, and the logit interval undefined. It is 0 and the interval a
        point, too, when all scores are equal.

    Raises:
        ValueError: as ``auc``, or for an unknown interval or level.
    """
    _check_interval(level, interval)
    return _estimate(delong(scores, labels), level, interval)


def compare_aucs(
    first: ArrayLike,
    second: ArrayLike,
    labels: ArrayLike,
    level: float = 0.95,
    interval: AucInterval = "normal",
) -> AucComparison:
    """Compare the AUCs of two scores on the same cases (DeLong's paired test).

    Args:
        first: one score per case.
        second: another score of the same cases, in the same order.
        labels: one 0 or 1 per case.
        level: nominal coverage.
        interval: of the two AUCs, as in ``auc_estimate``; the difference has a normal one in [-1, 1].

    Returns:
        z and two-sided normal p. A difference of 0 with variance 0 has z = 0 and p = 1; another difference
        with variance 0 has infinite z and p = 0, and a reason for care.

    Raises:
        ValueError: as ``auc_estimate``.
    """
    _check_interval(level, interval)
    a, b = delong(first, labels), delong(second, labels)
    estimates = _estimate(a, level, interval), _estimate(b, level, interval)
    difference = a.auc - b.auc
    method = "DeLong, normal interval of a paired difference"
    n = a.v10.size + a.v01.size
    if math.isnan(a.variance):
        undefined = Estimate(difference, math.nan, math.nan, level, method, n, a.reason)
        return AucComparison(*estimates, undefined, math.nan, math.nan, math.nan)
    # Equals Va + Vb - 2 Cov, but cannot become negative by rounding.
    v10, v01 = a.v10 - b.v10, a.v01 - b.v01
    error = math.sqrt(_covariance(v10, v10, v01, v01))
    reason = None
    if error > 0:
        z = difference / error
    else:
        z = math.copysign(math.inf, difference) if difference else 0.0
        reason = "the variance of the difference is 0"
    half = float(ndtri((1 + level) / 2)) * error
    low, high = max(difference - half, -1.0), min(difference + half, 1.0)
    estimate = Estimate(difference, low, high, level, method, n, reason)
    p = 2 * float(ndtr(-abs(z)))
    return AucComparison(*estimates, estimate, p, _covariance(a.v10, b.v10, a.v01, b.v01), z)


def roc_curve(scores: ArrayLike, labels: ArrayLike) -> Curve:
    """The ROC curve.

    Raises:
        ValueError: when only one class is there, or as ``auc``.
    """
    values, diseased = scores_and_labels(scores, labels)
    healthy_scores, diseased_scores = values[~diseased], values[diseased]
    n, m = healthy_scores.size, diseased_scores.size
    if n == 0 or m == 0:
        raise ValueError(f"an ROC curve needs both classes, found {m} diseased and {n} non-diseased cases")
    x, y, thresholds = sweep(healthy_scores, diseased_scores)
    labels_of_axes = "false positive fraction", "true positive fraction"
    return Curve("ROC", x / n, y / m, thresholds, *labels_of_axes, extends=True)


def scores_and_labels(scores: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, BoolArray]:
    """Scores as float64 and labels as booleans, checked as ``auc`` says."""
    values, diseased = float_vector(scores, "scores"), binary_array(labels, "labels")
    if values.shape != diseased.shape:
        raise ValueError(f"{values.size} scores for labels of shape {diseased.shape}")
    bad = np.flatnonzero(np.isnan(values) | (values == np.inf))
    if bad.size:
        found = f"{values[bad[0]]} at position {bad[0]}"
        raise ValueError(f"scores must not be NaN or plus infinity, found {found}")
    return values, diseased


def _check_interval(level: float, interval: str) -> None:
    check_level(level)
    if interval not in get_args(AucInterval):
        raise ValueError(f"interval must be one of {get_args(AucInterval)}, found {interval!r}")


def _share_below(values: FloatArray, reference: FloatArray) -> FloatArray:
    """For each value the share of the reference below it, ties counting half."""
    ordered = np.sort(reference)
    below = np.searchsorted(ordered, values, side="left")
    not_above = np.searchsorted(ordered, values, side="right")
    share: FloatArray = (below + not_above) / (2 * reference.size)
    return share


def _covariance(a10: FloatArray, b10: FloatArray, a01: FloatArray, b01: FloatArray) -> float:
    parts = ((a10, b10), (a01, b01))
    return sum(float(((a - a.mean()) * (b - b.mean())).sum()) / (a.size - 1) / a.size for a, b in parts)


def _estimate(result: DeLong, level: float, interval: AucInterval) -> Estimate:
    n = result.v10.size + result.v01.size
    method = f"DeLong, {interval} interval of independent cases"
    if math.isnan(result.variance):
        return Estimate(result.auc, math.nan, math.nan, level, method, n, result.reason)
    half = float(ndtri((1 + level) / 2)) * math.sqrt(result.variance)
    area = result.auc
    if area in (0.0, 1.0):
        reason = "the classes are perfectly separated: DeLong's variance is 0"
        limit = math.nan if interval == "logit" else area
        return Estimate(area, limit, limit, level, method, n, reason)
    if result.variance == 0:
        return Estimate(area, area, area, level, method, n, "DeLong's variance is 0, as when all scores are equal")
    if interval == "logit":
        centre, half = float(logit(area)), half / (area * (1 - area))
        return Estimate(area, float(expit(centre - half)), float(expit(centre + half)), level, method, n)
    return Estimate(area, max(area - half, 0.0), min(area + half, 1.0), level, method, n)
