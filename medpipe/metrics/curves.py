"""An operating curve: one axis against the other as the threshold on the ratings falls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medpipe.metrics._arrays import FloatArray, IntArray

__all__ = ["Curve", "sweep"]


@dataclass(frozen=True, eq=False)
class Curve:
    """Operating points in the order of falling thresholds.

    Attributes:
        name: what the curve is called, such as ``ROC``.
        x, y: operating points; the first is (0, 0), where nothing is called positive.
        thresholds: a point counts ratings at or above its threshold; infinity for the first.
        x_label, y_label: what the axes show, in words.
        extends: whether a straight line leads from the last observed point to (1, 1).
        steps: whether the ordinate holds its value up to each point (precision against recall) instead of being
            joined by straight lines.
    """

    name: str
    x: FloatArray
    y: FloatArray
    thresholds: FloatArray
    x_label: str
    y_label: str
    extends: bool
    steps: bool = False

    def line(self) -> tuple[FloatArray, FloatArray]:
        """x and y of the whole line, with the straight part to (1, 1) where the curve has one."""
        end = [1.0] if self.extends else []
        return np.append(self.x, end), np.append(self.y, end)

    def area(self) -> float:
        """Area under the whole line: by the trapezoidal rule, or of the steps."""
        x, y = self.line()
        if self.steps:
            return float((np.diff(x) * y[1:]).sum())
        return float((np.diff(x) * (y[1:] + y[:-1])).sum() / 2)


def sweep(
    x_rating: FloatArray, y_rating: FloatArray, y_weight: FloatArray | None = None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Count ratings at or above every distinct finite rating, from the highest down.

    Args:
        x_rating, y_rating: ratings; minus infinity never counts.
        y_weight: how much each of ``y_rating`` counts; None for 1.

    Returns:
        The counts of x and of y, and the thresholds; each begins with the point where nothing counts
        (0, 0, infinity).
    """
    y_finite = np.flatnonzero(np.isfinite(y_rating))
    y_order = y_finite[np.argsort(y_rating[y_finite])]  # looking them up in order is several times faster
    pooled = np.concatenate([x_rating[np.isfinite(x_rating)], y_rating[y_order]])
    pooled.sort()
    first = np.flatnonzero(np.diff(pooled, prepend=-np.inf))  # where each distinct rating begins
    rising = pooled[first]
    y_place = np.searchsorted(rising, y_rating[y_order])
    y = _from_the_top(np.bincount(y_place, minlength=rising.size))
    x = np.zeros(rising.size + 1)
    np.subtract(pooled.size, first[::-1], out=x[1:])
    x -= y
    if y_weight is not None:
        y = _from_the_top(np.bincount(y_place, y_weight[y_order], minlength=rising.size))
    thresholds = np.full(rising.size + 1, np.inf)
    thresholds[1:] = rising[::-1]
    return x, y, thresholds


def _from_the_top(counts: IntArray | FloatArray) -> FloatArray:
    sums = np.zeros(counts.size + 1)
    np.cumsum(counts[::-1], out=sums[1:])
    return sums
