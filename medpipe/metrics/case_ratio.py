"""A share or a rate: what the cases have in sum / what they could have in sum."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medpipe.metrics._arrays import FloatArray, IntArray

__all__ = ["CaseRatio"]


@dataclass(frozen=True, eq=False)
class CaseRatio:
    """Sum of numerators / sum of denominators.

    Attributes:
        numerator, denominator: one of each per case; a denominator of 0 says that the figure is not about this case.
    """

    numerator: IntArray
    denominator: IntArray

    def figures(self, counts: IntArray) -> FloatArray:
        """The figure in several samples.

        Args:
            counts: (..., cases), how often each case is in a sample.

        Returns:
            (...); NaN where the denominators sum to 0.
        """
        found, possible = ((counts * part).sum(axis=-1) for part in (self.numerator, self.denominator))
        figures: FloatArray = np.divide(found, possible, out=np.full(possible.shape, math.nan), where=possible != 0)
        return figures

    def statistic(self) -> Callable[[IntArray], float]:
        """The figure as a function of how often each case is in the sample."""
        return lambda counts: float(self.figures(counts))

    def leave_one_out(self) -> FloatArray:
        """The figure without each case in turn, shape (cases,); NaN where nothing it is about remains."""
        found, possible = self.numerator.sum() - self.numerator, self.denominator.sum() - self.denominator
        figures: FloatArray = np.divide(found, possible, out=np.full(possible.shape, math.nan), where=possible != 0)
        return figures
