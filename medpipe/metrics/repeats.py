"""Repeated trainings: mean, spread, and the difference between two settings with the same seeds.

Intervals are Student's t over the repeats: they say what another seed could give on these cases, not what other cases
could. An analysis that generalises to both is that of a reader study, with repeats as readers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from medpipe.metrics.intervals import Estimate, check_level

__all__ = ["mean_over_repeats", "paired_difference", "spread"]

_ALONE = "one run has no spread"


def spread(values: ArrayLike) -> float:
    """Standard deviation over repeats, with n - 1; NaN for fewer than two."""
    found = np.asarray(values, dtype=np.float64)
    return float(found.std(ddof=1)) if found.size > 1 else math.nan


def mean_over_repeats(values: ArrayLike, level: float = 0.95) -> Estimate:
    """Mean over repeats with a t interval.

    Args:
        values: One per repeat, finite.
        level: Nominal coverage.

    Returns:
        The estimate; NaN with the reason where there are too few repeats. ``n`` is their number.
    """
    return _estimate(np.asarray(values, dtype=np.float64), level, "t interval over repeats", "no run has ended well")


def paired_difference(first: Mapping[int, float], second: Mapping[int, float], level: float = 0.95) -> Estimate:
    """First minus second over the repeats that both have, with a paired t interval.

    Args:
        first: Finite values by seed.
        second: The same of the setting to compare with.
        level: Nominal coverage.

    Returns:
        The estimate; NaN with the reason where there are too few pairs. ``n`` is their number.
    """
    common = sorted(first.keys() & second.keys())
    pairs = np.array([first[seed] - second[seed] for seed in common], dtype=np.float64)
    return _estimate(pairs, level, "paired t interval over repeats", "no seed has ended well in both")


def _estimate(values: np.ndarray, level: float, method: str, nothing: str) -> Estimate:
    check_level(level)
    if not np.isfinite(values).all():
        raise ValueError("a value is not finite; leave out repeats that do not define the figure")
    n = values.size
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, level, method, 0, nothing)
    mean = float(values.mean())
    if n == 1:
        return Estimate(mean, math.nan, math.nan, level, method, 1, _ALONE)
    half = float(stdtrit(n - 1, (1 + level) / 2)) * spread(values) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, level, method, n, None if half > 0 else "all repeats agree")
