"""Sums over pairs of ratings: the kernel psi that ROC and AFROC areas are means of.

psi(x, z) = 1 if x < z, 1/2 if x = z (also minus infinity twice), else 0. Sums are taken by sorting, O(n log n).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from medpipe.metrics._arrays import FloatArray, IntArray

__all__ = ["PairSample"]


@dataclass(frozen=True, eq=False)
class PairSample:
    """Ratings x of cases against weighted ratings z of lesions.

    The figure is sum of weight * psi(x, z) over all pairs / (number of cases in ``x_cases`` * total weight of the z).
    Cases index a vector of counts over the whole sample: what belongs to a case counts as often as the case is in it.

    Attributes:
        x, x_case: ratings and their cases; a case may have several or none.
        x_cases: the cases that the abscissa is about, whether they have a rating or not.
        z, z_case, z_weight: ratings of lesions, their cases and their weights.
        n_cases: number of cases of the whole sample.
    """

    x: FloatArray
    x_case: IntArray
    x_cases: slice
    z: FloatArray
    z_case: IntArray
    z_weight: FloatArray
    n_cases: int

    def figures(self, counts: IntArray) -> FloatArray:
        """The figure in several samples.

        Args:
            counts: (..., cases), how often each case is in a sample.

        Returns:
            (...); NaN for a sample without a pair.
        """
        x_case, z_case, z_weight, below, not_above = self._in_order
        cumulated = np.zeros((*counts.shape[:-1], x_case.size + 1), dtype=np.int64)
        np.cumsum(counts[..., x_case], axis=-1, out=cumulated[..., 1:])
        twice_psi = cumulated[..., below] + cumulated[..., not_above]
        weight = counts[..., z_case] * z_weight
        pairs = 2.0 * counts[..., self.x_cases].sum(axis=-1) * weight.sum(axis=-1)
        # einsum rather than dot: see Bootstrap about BLAS.
        total = np.einsum("...l,...l->...", weight, twice_psi)
        figures: FloatArray = np.divide(total, pairs, out=np.full(pairs.shape, math.nan), where=pairs != 0)
        return figures

    def statistic(self) -> Callable[[IntArray], float]:
        """The figure as a function of how often each case is in the sample; NaN without a pair."""
        return lambda counts: float(self.figures(counts))

    @cached_property
    def _in_order(self) -> tuple[IntArray, IntArray, FloatArray, IntArray, IntArray]:
        """Cases of the x and of the z and weights of the z, by rising rating; how many x are below, not above each z."""
        x_order, z_order = np.argsort(self.x, kind="stable"), np.argsort(self.z, kind="stable")
        x_sorted, z_sorted = self.x[x_order], self.z[z_order]
        below, not_above = (np.searchsorted(x_sorted, z_sorted, side=side) for side in ("left", "right"))
        return self.x_case[x_order], self.z_case[z_order], self.z_weight[z_order], below, not_above

    def sums_by_case(self) -> tuple[FloatArray, FloatArray]:
        """For every case the sum of weight * psi over the pairs of its own x, and over those of its own z."""
        # Ratings are looked up in rising order, which is several times faster than in any other.
        x_order, z_order = np.argsort(self.x), np.argsort(self.z)
        x_sorted, z_sorted = self.x[x_order], self.z[z_order]
        twice_below = np.searchsorted(x_sorted, z_sorted) + np.searchsorted(x_sorted, z_sorted, side="right")
        weight = self.z_weight[z_order]
        above = np.append(np.cumsum(weight[::-1])[::-1], 0.0)
        of_x = above[np.searchsorted(z_sorted, x_sorted, side="right")] + above[np.searchsorted(z_sorted, x_sorted)]
        rows = np.bincount(self.x_case[x_order], of_x / 2, minlength=self.n_cases).astype(np.float64)
        columns = np.bincount(self.z_case[z_order], weight * twice_below / 2, minlength=self.n_cases).astype(np.float64)
        return rows, columns

    def influence(self) -> tuple[float, FloatArray]:
        """The figure, and how much every case moves it, to first order; the influences sum to 0.

        The figure is N / (X Z), with N the sum over pairs, X the number of cases in ``x_cases`` and Z the total
        weight; a case has (its part of N) / (X Z) - figure * (its part of X / X + its part of Z / Z). For equal numbers
        of lesions this is DeLong's variance of structural components.
        """
        rows, columns = self.sums_by_case()
        counted = np.zeros(self.n_cases)
        counted[self.x_cases] = 1.0
        weight = np.bincount(self.z_case, self.z_weight, minlength=self.n_cases)
        cases, total = counted.sum(), weight.sum()
        figure = float(rows.sum() / (cases * total))
        influence: FloatArray = (rows + columns) / (cases * total) - figure * (counted / cases + weight / total)
        return figure, influence

    def leave_one_out(self) -> FloatArray:
        """The figure without each case in turn, shape (cases,); NaN where no pair remains.

        A case takes its row and its column of the matrix of psi along; what it has in both is taken once.
        """
        rows, columns = self.sums_by_case()
        counted = np.zeros(self.n_cases)
        counted[self.x_cases] = 1.0
        weight = np.bincount(self.z_case, self.z_weight, minlength=self.n_cases)
        pairs = (counted.sum() - counted) * (weight.sum() - weight)
        total = rows.sum() - rows - columns + self._sums_within_cases()
        figures: FloatArray = np.divide(total, pairs, out=np.full(self.n_cases, math.nan), where=pairs > 0)
        return figures

    def _sums_within_cases(self) -> FloatArray:
        """For every case the sum of weight * psi over the pairs of its own x with its own z."""
        x_order = np.argsort(self.x_case, kind="stable")
        of_case = np.bincount(self.x_case, minlength=self.n_cases)
        times = of_case[self.z_case]
        first = np.cumsum(of_case) - of_case
        z = np.repeat(np.arange(self.z.size), times)
        turn = np.arange(z.size) - np.repeat(np.cumsum(times) - times, times)
        x = self.x[x_order[first[self.z_case[z]] + turn]]
        psi = (x < self.z[z]) + 0.5 * (x == self.z[z])
        return np.bincount(self.z_case[z], self.z_weight[z] * psi, minlength=self.n_cases).astype(np.float64)
