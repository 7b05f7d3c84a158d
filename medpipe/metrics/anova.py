"""Mean squares of a crossed design, and what analyses do with them.

References:
    SL Hillis, A comparison of denominator degrees of freedom methods for multiple observer ROC analysis,
    Stat Med 2007.
"""

from __future__ import annotations

import math
from itertools import chain, combinations

import numpy as np

from medpipe.metrics._arrays import FloatArray

__all__ = ["excess", "mean_squares", "satterthwaite"]

_ROUNDING = 1e-12  # relative to the numbers that are subtracted


def mean_squares(values: FloatArray, factors: str) -> dict[str, float]:
    """Mean squares of a crossed design without replication.

    Args:
        values: one axis per factor.
        factors: one letter per axis, such as "TR" or "TRC".

    Returns:
        The mean square of every factor and every interaction by its letters ("T", "R", "TR"); NaN without degrees of
        freedom.
    """
    axes = range(values.ndim)
    noise = _ROUNDING * float(np.abs(values).max())
    found = {}
    for effect in chain.from_iterable(combinations(axes, n) for n in range(1, values.ndim + 1)):
        others = tuple(axis for axis in axes if axis not in effect)
        part = values.mean(axis=others, keepdims=True) if others else values
        for axis in effect:
            part = part - part.mean(axis=axis, keepdims=True)
        part = np.where(np.abs(part) <= noise, 0.0, part)  # equal but for rounding is equal
        df = math.prod(values.shape[axis] - 1 for axis in effect)
        repeats = math.prod(values.shape[axis] for axis in others)
        name = "".join(factors[axis] for axis in effect)
        found[name] = repeats * float((part**2).sum()) / df if df else math.nan
    return found


def excess(first: float, second: float) -> float:
    """first - second, or 0 where the two are equal but for rounding."""
    difference = first - second
    return 0.0 if abs(difference) <= _ROUNDING * max(abs(first), abs(second)) else difference


def satterthwaite(total: float, part: float, df: float) -> float:
    """Degrees of freedom total^2 / (part^2 / df) of a sum that only ``part`` makes uncertain (Hillis 2007).

    Infinite when the part is 0, and NaN when the total is 0 too.
    """
    if part == 0:
        return math.inf if total > 0 else math.nan
    return (total / part) ** 2 * df
