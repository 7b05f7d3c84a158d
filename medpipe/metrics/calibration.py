"""Calibration: whether scores that are meant as probabilities come true as often as they say.

    Brier score                       mean squared difference of probability and outcome (0 or 1)
    expected calibration error (ECE)  mean over bins, weighted by their cases, of |mean probability - observed share|
    calibration in the large          mean probability - observed share

Bins are equally wide. Chance makes the ECE of a sample too large, and that of a resample once more: its interval is the
basic one, which mirrors the resamples at the estimate and so takes that off, cut at 0; it covers a true value of 0 only
about half of the time. The ECE of a perfectly calibrated model is above 0 on a finite sample, the more so the fewer cases
a bin has: compare it with its interval and look at the reliability curve. Intervals draw from all patients, not from those with and
without disease separately: the share of diseased cases is what calibration is about, and is uncertain itself.

References:
    GW Brier, Monthly Weather Review 1950; MP Naeini, GF Cooper, M Hauskrecht, AAAI 2015 (ECE).
    B Van Calster et al., Calibration: the Achilles heel of predictive analytics, BMC Medicine 2019.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from medpipe.metrics._arrays import BoolArray, FloatArray, IntArray, binary_array, float_vector
from medpipe.metrics.intervals import (
    DEFAULT_BOOTSTRAP,
    Bootstrap,
    Cohort,
    Estimate,
    counted_as_independent,
    wilson,
)

__all__ = ["Calibration", "ReliabilityBin", "calibration"]


@dataclass(frozen=True)
class ReliabilityBin:
    """Cases whose probability lies in [low, high); the last bin holds 1, too.

    Attributes:
        low, high: limits of the bin.
        n: number of cases.
        mean_probability: of these cases; NaN when there is none.
        observed: share of diseased cases among them, with Wilson's interval.
    """

    low: float
    high: float
    n: int
    mean_probability: float
    observed: Estimate


@dataclass(frozen=True)
class Calibration:
    """Calibration of probabilities on a sample.

    Attributes:
        brier, ece, in_the_large: estimates with bootstrap intervals over patients.
        bins: the reliability curve, from low to high probability.
    """

    brier: Estimate
    ece: Estimate
    in_the_large: Estimate
    bins: tuple[ReliabilityBin, ...]


def calibration(
    probabilities: ArrayLike,
    labels: ArrayLike,
    n_bins: int = 10,
    patients: Sequence[str] | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> Calibration:
    """Reliability curve, Brier score, ECE and calibration in the large.

    Args:
        probabilities: one per case, in [0, 1].
        labels: one 0 or 1 per case.
        n_bins: number of equally wide bins, at least 2.
        patients: patient of each case; None when every case is a patient of its own.
        bootstrap: how the intervals are made.

    Raises:
        ValueError: when lengths differ, there is no case, a probability lies outside [0, 1], a label is neither 0 nor
            1, or n_bins is below 2.
    """
    values, diseased = _checked(probabilities, labels)
    if n_bins < 2:
        raise ValueError(f"n_bins must be at least 2, found {n_bins}")
    edges = np.arange(1, n_bins) / n_bins  # not values * n_bins, which rounds up to the next bin's edge
    place = np.searchsorted(edges, values, side="right")
    cohort = Cohort(diseased, patients, stratified=False)
    sums = _Sums(values, diseased, place, n_bins)
    brier, ece, large = sums(np.ones(values.size, dtype=np.int64)).tolist()
    drawn = bootstrap.replicates(sums, cohort)
    bins = [_bin(k, n_bins, values[place == k], diseased[place == k], bootstrap.level) for k in range(n_bins)]
    if cohort.n_patients < values.size:
        bins = [replace(part, observed=counted_as_independent(part.observed)) for part in bins]
    return Calibration(
        bootstrap.summary(brier, drawn[:, 0], cohort),
        _cut(replace(bootstrap, interval="basic").summary(ece, drawn[:, 1], cohort)),
        bootstrap.summary(large, drawn[:, 2], cohort),
        tuple(bins),
    )


def _cut(estimate: Estimate) -> Estimate:
    """The interval cut at 0, and drawn out to its own estimate where all resamples lie above that."""
    return replace(estimate, low=max(estimate.low, 0.0), high=max(estimate.high, estimate.value))


class _Sums:
    """Brier score, ECE and calibration in the large as a function of how often each case is in the sample."""

    def __init__(self, values: FloatArray, diseased: BoolArray, place: IntArray, n_bins: int) -> None:
        self.squares = (values - diseased) ** 2
        self.excess = values - diseased
        self.place, self.n_bins = place, n_bins

    def __call__(self, counts: IntArray) -> FloatArray:
        n = counts.sum()
        excess = counts * self.excess
        gaps = np.bincount(self.place, excess, minlength=self.n_bins)
        return np.array([(counts * self.squares).sum() / n, np.abs(gaps).sum() / n, excess.sum() / n])


def _bin(index: int, n_bins: int, values: FloatArray, diseased: BoolArray, level: float) -> ReliabilityBin:
    mean = float(values.mean()) if values.size else math.nan
    observed = wilson(int(diseased.sum()), values.size, level)
    return ReliabilityBin(index / n_bins, (index + 1) / n_bins, values.size, mean, observed)


def _checked(probabilities: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, BoolArray]:
    values, diseased = float_vector(probabilities, "probabilities"), binary_array(labels, "labels")
    if values.shape != diseased.shape:
        raise ValueError(f"{values.size} probabilities for labels of shape {diseased.shape}")
    if not values.size:
        raise ValueError("calibration needs at least one case")
    outside = np.flatnonzero(~((values >= 0) & (values <= 1)))
    if outside.size:
        raise ValueError(f"a probability lies between 0 and 1, found {values[outside[0]]:g} at position {outside[0]}")
    return values, diseased
