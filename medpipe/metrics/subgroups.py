"""One figure in parts of the sample: by sex, age, site, scanner.

Intervals are those of each part alone. Many parts make it likely that one differs by chance: nothing here is a test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from medpipe.metrics._arrays import IntArray
from medpipe.metrics.intervals import Estimate

__all__ = ["NOT_KNOWN", "Subgroup", "age_band", "by_group"]

NOT_KNOWN = "not known"
"""Name of the part whose cases lack the variable."""

_AGE_BANDS = ((18, "0-17"), (40, "18-39"), (65, "40-64"))


@dataclass(frozen=True)
class Subgroup:
    """A part of the sample.

    Attributes:
        name: value of the variable.
        cases: positions of its cases.
        estimate: the figure on these cases alone.
    """

    name: str
    cases: IntArray
    estimate: Estimate


def by_group(names: Sequence[str], figure: Callable[[IntArray], Estimate]) -> list[Subgroup]:
    """The figure of each part.

    Args:
        names: the part of each case; empty where it is not known.
        figure: from positions of cases to the estimate on them.

    Returns:
        The parts by name, unknown last.
    """
    filled = np.array([name or NOT_KNOWN for name in names])
    order = sorted(set(filled.tolist()), key=lambda name: (name == NOT_KNOWN, name))
    places = [(name, np.flatnonzero(filled == name)) for name in order]
    return [Subgroup(name, cases, figure(cases)) for name, cases in places]


def age_band(age: float) -> str:
    """The band of an age in years: 0-17, 18-39, 40-64, 65 and over.

    Raises:
        ValueError: when the age is negative or not finite.
    """
    if not 0 <= age < float("inf"):
        raise ValueError(f"an age in years is finite and not negative, found {age}")
    return next((band for limit, band in _AGE_BANDS if age < limit), "65 and over")
