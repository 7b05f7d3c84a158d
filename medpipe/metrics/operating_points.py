"""Operating points of image scores: what happens when every score at or above a threshold is called positive.

A threshold that was chosen on the cases it is judged on is flattering: ``preset`` says which of the two it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from medpipe.metrics._arrays import FloatArray
from medpipe.metrics.intervals import Estimate, wilson
from medpipe.metrics.roc import roc_curve, scores_and_labels

__all__ = ["OperatingPoint", "at_sensitivity", "at_specificity", "at_threshold", "youden"]


@dataclass(frozen=True)
class OperatingPoint:
    """Counts of cases at a threshold.

    Attributes:
        threshold: scores at or above it are called positive; infinity calls none positive, minus infinity all.
        tp, fp, tn, fn: true and false positives, true and false negatives.
    """

    threshold: float
    tp: int
    fp: int
    tn: int
    fn: int

    def sensitivity(self, level: float = 0.95) -> Estimate:
        """Positives among the diseased, with Wilson's interval."""
        return _share(self.tp, self.tp + self.fn, level, "no diseased case")

    def specificity(self, level: float = 0.95) -> Estimate:
        """Negatives among the non-diseased, with Wilson's interval."""
        return _share(self.tn, self.tn + self.fp, level, "no non-diseased case")

    def ppv(self, level: float = 0.95) -> Estimate:
        """Diseased among the positives, at the prevalence of the sample, with Wilson's interval."""
        return _share(self.tp, self.tp + self.fp, level, "no case is called positive")

    def npv(self, level: float = 0.95) -> Estimate:
        """Non-diseased among the negatives, at the prevalence of the sample, with Wilson's interval."""
        return _share(self.tn, self.tn + self.fn, level, "no case is called negative")


def at_threshold(scores: ArrayLike, labels: ArrayLike, threshold: float) -> OperatingPoint:
    """The operating point of a threshold that is given, also where only one class is there.

    Raises:
        ValueError: when the threshold is NaN, or as ``auc``.
    """
    if math.isnan(threshold):
        raise ValueError("the threshold must be a number, found NaN")
    values, diseased = scores_and_labels(scores, labels)
    called = values >= threshold
    tp, fp = int((called & diseased).sum()), int((called & ~diseased).sum())
    return OperatingPoint(threshold, tp, fp, int((~diseased).sum()) - fp, int(diseased.sum()) - tp)


def at_sensitivity(scores: ArrayLike, labels: ArrayLike, sensitivity: float) -> OperatingPoint:
    """The highest threshold whose sensitivity is at least the one given.

    Args:
        scores: one per case.
        labels: one 0 or 1 per case.
        sensitivity: in (0, 1].

    Raises:
        ValueError: for another sensitivity, when only one class is there, or as ``roc_curve``.
    """
    _check_share("sensitivity", sensitivity)
    counts = _Counts(scores, labels)
    reached = np.flatnonzero(counts.sensitivity >= sensitivity - _ROUNDING)
    return counts.point(int(reached[0])) if reached.size else counts.everything()


def at_specificity(scores: ArrayLike, labels: ArrayLike, specificity: float) -> OperatingPoint:
    """The lowest threshold whose specificity is at least the one given.

    Args:
        scores: one per case.
        labels: one 0 or 1 per case.
        specificity: in (0, 1].

    Raises:
        ValueError: for another specificity, when only one class is there, or as ``roc_curve``.
    """
    _check_share("specificity", specificity)
    counts = _Counts(scores, labels)
    return counts.point(int(np.flatnonzero(1 - counts.false_positive >= specificity - _ROUNDING)[-1]))


def youden(scores: ArrayLike, labels: ArrayLike) -> OperatingPoint:
    """The threshold with the largest sensitivity + specificity - 1; of several the highest.

    Raises:
        ValueError: when only one class is there, or as ``roc_curve``.

    References:
        WJ Youden, Index for rating diagnostic tests, Cancer 1950.
    """
    counts = _Counts(scores, labels)
    index = counts.sensitivity - counts.false_positive
    return counts.point(int(np.flatnonzero(index >= index.max() - _ROUNDING)[0]))


_ROUNDING = 1e-12  # 0.9 of ten cases are nine, whatever the last digit of a quotient


class _Counts:
    """The ROC curve as counts of cases."""

    def __init__(self, scores: ArrayLike, labels: ArrayLike) -> None:
        curve = roc_curve(scores, labels)
        self.thresholds = curve.thresholds
        self.sensitivity: FloatArray = curve.y
        self.false_positive: FloatArray = curve.x
        diseased = np.asarray(labels, dtype=np.bool_)
        self.m, self.n = int(diseased.sum()), int((~diseased).sum())

    def point(self, index: int) -> OperatingPoint:
        tp, fp = round(self.sensitivity[index] * self.m), round(self.false_positive[index] * self.n)
        return OperatingPoint(float(self.thresholds[index]), tp, fp, self.n - fp, self.m - tp)

    def everything(self) -> OperatingPoint:
        return OperatingPoint(-math.inf, self.m, self.n, 0, 0)


def _share(part: int, whole: int, level: float, reason: str) -> Estimate:
    if whole:
        return wilson(part, whole, level)
    return Estimate(math.nan, math.nan, math.nan, level, "Wilson score interval of independent cases", 0, reason)


def _check_share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"the {name} asked for must lie above 0 and not above 1, found {value}")
