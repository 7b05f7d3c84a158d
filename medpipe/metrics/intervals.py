"""Estimates with their intervals: the patient bootstrap, and proportions.

Intervals resample patients, not images or lesions: all cases of a drawn patient come along, and a patient
drawn twice counts twice. Patients with a diseased case and patients without one are drawn separately, so that
every resample has both; figures that depend on how many are diseased, such as calibration, draw from all at once. A resample is a vector of integer counts, one per case; a statistic turns counts into
a number. That is what makes 2,000 resamples cheap: everything is sorted once, and a replicate only weights it
anew.

Each replicate has its own random stream, derived from the seed and its number. Results therefore depend on
the seed and the data alone: not on the number of workers, and the first 100 of 2,000 replicates are those of
a run of 100.

References:
    B Efron, RJ Tibshirani, An Introduction to the Bootstrap, 1993 (chapters 13 and 16).
    AC Davison, DV Hinkley, Bootstrap Methods and their Application, 1997 (basic interval, +1 in p values).
    EB Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from medpipe.metrics._arrays import BoolArray, FloatArray, IntArray

__all__ = [
    "DEFAULT_BOOTSTRAP",
    "Bootstrap",
    "Cohort",
    "Comparison",
    "Estimate",
    "Statistic",
    "check_level",
    "counted_as_independent",
    "wilson",
]

Statistic = Callable[[IntArray], "float | FloatArray"]
"""From integer counts, one per case (how often it is in the sample), to a number or a vector of numbers."""

IntervalKind = Literal["percentile", "basic"]

_ROUNDING = 1e-12  # sums of weights in another order differ by less


def check_level(level: float) -> None:
    """Raise ValueError when ``level`` is not a coverage between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, such as 0.95, found {level}")


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: the estimate; NaN when the sample does not define it.
        low, high: limits of the interval; NaN when there is none.
        level: nominal coverage of the interval, such as 0.95.
        method: how the interval was made, in words.
        n: independent units it rests on (patients, cases or trials; ``method`` says which).
        reason: why something is NaN or needs care; None when there is nothing to say.
    """

    value: float
    low: float
    high: float
    level: float
    method: str
    n: int
    reason: str | None = None

    def __post_init__(self) -> None:
        check_level(self.level)
        if any(math.isnan(number) for number in (self.value, self.low, self.high)) and not self.reason:
            raise ValueError("an estimate or a limit is NaN: give the reason")


@dataclass(frozen=True)
class Comparison:
    """Two estimates on the same cases and their difference.

    Attributes:
        first, second: the two estimates.
        difference: first minus second.
        p: two-sided p value of "no difference"; NaN where it is undefined (``difference.reason`` says why).
    """

    first: Estimate
    second: Estimate
    difference: Estimate
    p: float


@dataclass(frozen=True, eq=False)
class Cohort:
    """Which cases belong to which patient, and which cases are diseased.

    Attributes:
        diseased: one boolean per case.
        patients: one label per case; None when every case is a patient of its own.
        stratified: whether patients with and without a diseased case are drawn separately. Where they are, the share
            of diseased patients is fixed, and an interval leaves its uncertainty out.

    Raises:
        ValueError: when there is no case, ``diseased`` holds anything but booleans, or the lengths differ.
    """

    diseased: BoolArray
    patients: Sequence[str] | None = None
    stratified: bool = True

    def __post_init__(self) -> None:
        if not len(self.diseased):
            raise ValueError("a cohort needs at least one case")
        if self.diseased.dtype != np.bool_:
            raise ValueError(f"diseased must hold booleans, found dtype {self.diseased.dtype}")
        if self.patients is not None and len(self.patients) != len(self.diseased):
            raise ValueError(f"{len(self.patients)} patient labels for {len(self.diseased)} cases")

    @cached_property
    def _patient(self) -> IntArray:
        """Patient number of each case; those of the first stratum have the lower numbers."""
        if self.patients is None:
            code = np.arange(len(self.diseased))
        else:
            code = np.unique(np.asarray(self.patients), return_inverse=True)[1]
        affected = np.zeros(int(code.max()) + 1, dtype=np.bool_)
        affected[code[self.diseased]] = self.stratified
        number = np.empty(affected.size, dtype=np.int64)
        number[np.argsort(affected, kind="stable")] = np.arange(affected.size)
        return number[code]

    @cached_property
    def strata(self) -> tuple[int, int]:
        """Numbers of patients without and with a diseased case; all patients and 0 where these are not told apart."""
        affected = np.zeros(int(self._patient.max()) + 1, dtype=np.bool_)
        affected[self._patient[self.diseased]] = self.stratified
        with_disease = int(affected.sum())
        return affected.size - with_disease, with_disease

    @property
    def n_patients(self) -> int:
        """Number of patients."""
        return sum(self.strata)

    def sum_by_patient(self, values: FloatArray) -> FloatArray:
        """Sum over each patient's cases; the patients of the first stratum come first."""
        return np.bincount(self._patient, values, minlength=self.n_patients).astype(np.float64)

    def counts(self, seed: int, replicate: int) -> IntArray:
        """How often each case is in the resample number ``replicate`` of ``seed``."""
        stream = np.random.SeedSequence(seed, spawn_key=(replicate,))
        generator = np.random.Generator(np.random.PCG64(stream))
        drawn = [np.bincount(generator.integers(0, size, size), minlength=size) for size in self.strata if size]
        times: IntArray = np.concatenate(drawn)
        return times if self._in_order else times[self._patient]

    @cached_property
    def _in_order(self) -> bool:
        # Then the draw needs no second look-up, which would cost as much as the draw itself.
        return bool(np.array_equal(self._patient, np.arange(len(self.diseased))))


@dataclass(frozen=True)
class Bootstrap:
    """Stratified patient bootstrap.

    Statistics given to it should avoid matrix products: BLAS starts threads on every long vector, which slows
    thousands of short calls down manifold. ``numpy.einsum`` and sums do not.

    Attributes:
        n_resamples: number of resamples.
        seed: non-negative integer; the same seed draws the same patients, whatever is computed on them.
        level: nominal coverage.
        interval: ``percentile`` (quantiles of the replicates) or ``basic`` (those mirrored at the estimate).
    """

    n_resamples: int = 2000
    seed: int = 0
    level: float = 0.95
    interval: IntervalKind = "percentile"

    def __post_init__(self) -> None:
        check_level(self.level)
        if self.n_resamples < 1:
            raise ValueError(f"n_resamples must be at least 1, found {self.n_resamples}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, found {self.seed}")
        if self.interval not in get_args(IntervalKind):
            raise ValueError(f"interval must be one of {get_args(IntervalKind)}, found {self.interval!r}")

    def replicates(self, statistic: Statistic, cohort: Cohort) -> FloatArray:
        """The statistic on every resample, shape (n_resamples, number of values it returns)."""
        rows = (statistic(cohort.counts(self.seed, number)) for number in range(self.n_resamples))
        return np.array([np.atleast_1d(row) for row in rows], dtype=np.float64)

    def estimate(self, statistic: Statistic, cohort: Cohort) -> Estimate:
        """Estimate and interval of a statistic that returns one number."""
        (estimate,) = self.estimates(statistic, cohort)
        return estimate

    def estimates(self, statistic: Statistic, cohort: Cohort) -> list[Estimate]:
        """Estimate and interval of each number that a statistic returns."""
        values = _on_sample(statistic, cohort)
        replicates = self.replicates(statistic, cohort)
        return [self.summary(value, replicates[:, k], cohort) for k, value in enumerate(values)]

    def compare(self, first: Statistic, second: Statistic, cohort: Cohort) -> list[Comparison]:
        """Compare two statistics on the same resamples, number by number.

        The p value is twice the smaller share of differences on one side of zero, each share (b + 1)/(B + 1).
        """
        both = self.replicates(lambda counts: np.append(first(counts), second(counts)), cohort)
        a, b = np.hsplit(both, 2)
        values = zip(_on_sample(first, cohort), _on_sample(second, cohort), strict=True)
        return [self.comparison(pair, (a[:, k], b[:, k]), cohort) for k, pair in enumerate(values)]

    def comparison(
        self, values: tuple[float, float], replicates: tuple[FloatArray, FloatArray], cohort: Cohort
    ) -> Comparison:
        """Compare two numbers by their values on the same resamples; p as in ``compare``."""
        one, two = (self.summary(value, found, cohort) for value, found in zip(values, replicates, strict=True))
        apart = replicates[0] - replicates[1]
        difference = self.summary(values[0] - values[1], apart, cohort)
        p = math.nan if math.isnan(difference.low) else _two_sided_p(apart)
        return Comparison(one, two, difference, p)

    def undefined(self, cohort: Cohort, reason: str) -> Estimate:
        """The estimate of what this sample does not define."""
        return Estimate(math.nan, math.nan, math.nan, self.level, self._method(cohort), cohort.n_patients, reason)

    def _method(self, cohort: Cohort) -> str:
        without, affected = cohort.strata
        groups = f" ({without} without and {affected} with disease)" if cohort.stratified else ", all drawn together"
        return (
            f"{self.interval} bootstrap of {cohort.n_patients} patients{groups},"
            f" {self.n_resamples} resamples, seed {self.seed}"
        )

    def summary(self, value: float, replicates: FloatArray, cohort: Cohort) -> Estimate:
        """Estimate and interval of a number, from its values on the resamples."""
        if math.isnan(value):
            return self.undefined(cohort, "the figure is undefined on this sample")
        low, high, reason = math.nan, math.nan, None
        defined = replicates[~np.isnan(replicates)]
        if 1 in cohort.strata:
            reason = "a group of one patient does not vary between resamples"
        elif not defined.size:
            reason = "no resample defines the figure"
        else:
            low, high = self._limits(value, defined)
            missing = replicates.size - defined.size
            if np.ptp(defined) <= _ROUNDING:
                reason = "all resamples give the same figure"
            elif missing:
                reason = f"{missing} of {replicates.size} resamples do not define it and were left out"
        return Estimate(value, low, high, self.level, self._method(cohort), cohort.n_patients, reason)

    def _limits(self, value: float, replicates: FloatArray) -> tuple[float, float]:
        tail = (1 - self.level) / 2
        low, high = (float(q) for q in np.quantile(replicates, (tail, 1 - tail)))
        return (low, high) if self.interval == "percentile" else (2 * value - high, 2 * value - low)


DEFAULT_BOOTSTRAP = Bootstrap()
"""2,000 resamples, seed 0, 95 % percentile interval."""


def wilson(successes: int, n: int, level: float = 0.95) -> Estimate:
    """Proportion with Wilson's score interval (without continuity correction).

    Args:
        successes: number of successes, 0..n.
        n: number of independent trials.
        level: nominal coverage.

    Raises:
        ValueError: when successes is not in 0..n.
    """
    # Here, because loading scipy.stats takes half a second that no other user of this module needs.
    from scipy.stats import binomtest

    check_level(level)
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie in 0..{n}, found {successes}")
    method = "Wilson score interval of independent trials"
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, level, method, 0, "no trials")
    limits = binomtest(successes, n).proportion_ci(level, method="wilson")
    return Estimate(successes / n, float(limits.low), float(limits.high), level, method, n)


def counted_as_independent(estimate: Estimate) -> Estimate:
    """The estimate with the reason that its interval takes several images of one patient as independent."""
    return replace(estimate, reason=estimate.reason or "several images of one patient are counted as independent")


def _on_sample(statistic: Statistic, cohort: Cohort) -> list[float]:
    once = np.ones(len(cohort.diseased), dtype=np.int64)
    return [float(value) for value in np.atleast_1d(statistic(once))]


def _two_sided_p(differences: FloatArray) -> float:
    defined = differences[~np.isnan(differences)]
    below, above = int((defined <= 0).sum()), int((defined >= 0).sum())
    return min(1.0, 2 * (min(below, above) + 1) / (defined.size + 1))
