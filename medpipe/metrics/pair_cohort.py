"""Resampling pairs of images whose pairs share subjects.

Pairs that share a subject are not independent. How subjects are resampled depends on how pairs overlap:

    all pairs have one fixed (or one moving) subject, an atlas    it stays; the others are drawn
    pairs fall into groups that share nobody with another group   groups are drawn whole (two scans of one patient)
    subjects meet in many pairs                                   subjects are drawn, and a pair counts as often as both its
                                                                  subjects are drawn, multiplied; fixed and moving ones
                                                                  apart where nobody is on both sides

The last is the bootstrap of crossed data; it errs on the wide side.

References:
    AB Owen, The pigeonhole bootstrap, Ann Appl Stat 2007; TAB Snijders, SP Borgatti, Non-parametric standard errors and tests
    for network statistics, Connections 1999.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from medpipe.metrics._arrays import FloatArray, IntArray
from medpipe.metrics.intervals import Bootstrap, Cohort, Comparison, Estimate

__all__ = ["PairCohort", "comparisons_over_pairs", "estimates_over_pairs", "mean_over_pairs"]

Subjects = Sequence[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class PairCohort(Cohort):
    """Pairs and their subjects, in place of cases and their patients.

    Make it with :meth:`of`.
    """

    crossed: tuple[IntArray, IntArray] | None = None
    """Number of the fixed and of the moving subject of each pair, where both are drawn."""
    words: str = "pairs"

    @classmethod
    def of(cls, subjects: Subjects) -> PairCohort:
        """The cohort of pairs with the given (fixed, moving) subjects.

        Raises:
            ValueError: There is no pair.
        """
        nothing = np.zeros(len(subjects), dtype=np.bool_)
        fixed, moving = ({pair[side] for pair in subjects} for side in (0, 1))
        if len(fixed) == 1 or len(moving) == 1:
            side = 1 if len(fixed) == 1 else 0
            names = [pair[side] for pair in subjects]
            return cls(nothing, names, False, words="subjects" if len(set(names)) < len(names) else "pairs")
        groups = _groups(subjects)
        if _is_nested(subjects, groups):
            same = len(set(groups)) == len(groups)
            return cls(nothing, groups, False, words="pairs" if same else "groups of pairs that share subjects")
        # Subjects of the fixed images have the lower numbers, which parts the two sides where nobody is on both.
        names = [*sorted(fixed), *sorted(moving - fixed)]
        number = {name: place for place, name in enumerate(names)}
        crossed = tuple(np.array([number[pair[side]] for pair in subjects]) for side in (0, 1))
        return cls(nothing, _names_of_pairs(subjects), False, (crossed[0], crossed[1]), "subjects")

    @cached_property
    def strata(self) -> tuple[int, int]:
        """Numbers of units that are drawn: on the fixed and the moving side where nobody is on both, else of all, and 0."""
        if self.crossed is None:
            return super().strata
        fixed, moving = self.crossed
        size, first = int(max(fixed.max(), moving.max())) + 1, int(fixed.max()) + 1
        return (first, size - first) if moving.min() >= first else (size, 0)

    def counts(self, seed: int, replicate: int) -> IntArray:
        """How often each pair is in the resample number ``replicate`` of ``seed``."""
        if self.crossed is None:
            return super().counts(seed, replicate)
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(replicate,))))
        drawn = np.concatenate(
            [np.bincount(generator.integers(0, size, size), minlength=size) for size in self.strata if size]
        )
        fixed, moving = self.crossed
        # A pair within one subject is drawn with it, not with its square.
        times: IntArray = np.where(fixed == moving, drawn[fixed], drawn[fixed] * drawn[moving])
        return times

    def described(self, estimate: Estimate) -> Estimate:
        """The estimate with a method in terms of pairs, and their number."""
        n = len(self.diseased)
        unit = f"{self.words} ({self.n_patients}, in {n} pairs)"
        plain = "1 pair" if self.n_patients == 1 else f"{self.n_patients} pairs"
        drawn = plain if self.words == "pairs" else unit
        head, tail = estimate.method.split(" of ", 1)
        rest = tail.split(", all drawn together", 1)[-1]
        product = ", a pair counting as often as both its subjects" if self.crossed is not None else ""
        # One subject on a side, or one group of pairs, is one patient to the bootstrap.
        reason = estimate.reason and estimate.reason.replace("a group of one patient", "what is drawn once")
        return replace(estimate, method=f"{head} of {drawn}{product}{rest}", n=n, reason=reason)


def _names_of_pairs(subjects: Subjects) -> list[str]:
    """A name for every pair of subjects, the same in both directions."""
    return ["\t".join(sorted(pair)) for pair in subjects]


def _groups(subjects: Subjects) -> list[str]:
    """For every pair the name of the group of subjects that it is connected with."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for fixed, moving in subjects:
        leader[find(fixed)] = find(moving)
    return [find(fixed) for fixed, _ in subjects]


def _is_nested(subjects: Subjects, groups: list[str]) -> bool:
    """Whether every group is one pair of subjects, or one subject, whatever the number and direction of its pairs."""
    names = _names_of_pairs(subjects)
    return len(set(zip(groups, names, strict=True))) == len(set(groups))


def mean_over_pairs(values: FloatArray) -> Callable[[IntArray], FloatArray]:
    """The mean of each column as a function of how often each pair counts; NaN cells are left out.

    Args:
        values: (pairs, measures).

    Returns:
        From counts (pairs,) to means (measures,), NaN where no pair that is drawn has a value.
    """
    known = ~np.isnan(values)
    filled, present = np.where(known, values, 0.0), known.astype(np.float64)

    def statistic(counts: IntArray) -> FloatArray:
        weights = counts.astype(np.float64)
        total, n = np.einsum("p,pm->m", weights, filled), np.einsum("p,pm->m", weights, present)
        means: FloatArray = np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)
        return means

    return statistic


def estimates_over_pairs(values: FloatArray, cohort: PairCohort, bootstrap: Bootstrap) -> list[Estimate]:
    """Mean and interval of each column of ``values`` (pairs, measures); n is the number of pairs with a value."""
    found = bootstrap.estimates(mean_over_pairs(values), cohort)
    known = (~np.isnan(values)).sum(axis=0)
    return [replace(cohort.described(one), n=int(n)) for one, n in zip(found, known, strict=True)]


def comparisons_over_pairs(
    first: FloatArray, second: FloatArray, cohort: PairCohort, bootstrap: Bootstrap
) -> list[Comparison]:
    """Compare two methods column by column on the pairs where both have a value; arrays (pairs, measures)."""
    both = np.where(np.isnan(first) | np.isnan(second), np.nan, 0.0)
    found = bootstrap.compare(mean_over_pairs(first + both), mean_over_pairs(second + both), cohort)
    return [
        Comparison(cohort.described(one.first), cohort.described(one.second), cohort.described(one.difference), one.p)
        for one in found
    ]
