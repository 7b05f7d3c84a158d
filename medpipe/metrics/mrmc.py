"""What the analyses of a reader study have in common: tests, differences, means of modalities.

Three analyses differ in what they generalise to: RRRC (random readers, random cases) to other readers and other cases,
FRRC (fixed readers) to other cases read by these readers, RRFC (fixed cases) to other readers of these cases. Each is
a denominator D with its degrees of freedom: F = MS(modality) / D, the standard error of a difference of two modality
means is sqrt(2 D / n), of one mean sqrt(D_i / n), with n the number of values that a modality mean is over. Infinite
degrees of freedom stand for the chi-square and the normal distribution.

References:
    SL Hillis, A comparison of denominator degrees of freedom methods for multiple observer ROC analysis,
    Stat Med 2007.
    S Holm, A simple sequentially rejective multiple test procedure, Scand J Stat 1979.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc, fdtrc, ndtr, ndtri, stdtr, stdtrit

from medpipe.metrics._arrays import FloatArray
from medpipe.metrics.anova import excess, mean_squares
from medpipe.metrics.intervals import check_level

__all__ = [
    "ANALYSES",
    "Analysis",
    "AnalysisName",
    "Crossing",
    "Difference",
    "ErrorTerm",
    "ModalityMean",
    "OverallTest",
    "holm",
    "unavailable_reason",
]

AnalysisName = Literal["RRRC", "FRRC", "RRFC"]

ANALYSES: tuple[AnalysisName, ...] = ("RRRC", "FRRC", "RRFC")
"""Random readers and cases; fixed readers and random cases; random readers and fixed cases."""


@dataclass(frozen=True)
class ErrorTerm:
    """A mean square to compare with, and its degrees of freedom (infinite: known, not estimated)."""

    mean_square: float
    df: float


@dataclass(frozen=True)
class OverallTest:
    """Test that all modalities have the same mean.

    Attributes:
        statistic: F, or chi-square where ``ddf`` is infinite by construction.
        ndf, ddf: degrees of freedom.
        p: upper tail.
        ms_numerator, ms_denominator: what F is the quotient of.
    """

    statistic: float
    ndf: int
    ddf: float
    p: float
    ms_numerator: float
    ms_denominator: float


@dataclass(frozen=True)
class Difference:
    """A difference between two modalities.

    Attributes:
        label: names of the two, first minus second.
        estimate, se: difference and its standard error.
        df: of Student's t; infinite for the normal distribution.
        statistic: estimate / se: t or z.
        p: two-sided.
        low, high: limits of the interval.
        p_holm: p after Holm's adjustment for all differences of its list; None when not asked for.
    """

    label: str
    estimate: float
    se: float
    df: float
    statistic: float
    p: float
    low: float
    high: float
    p_holm: float | None = None


@dataclass(frozen=True)
class ModalityMean:
    """Mean of one modality over readers, from its own data alone; attributes as in ``Difference``."""

    label: str
    estimate: float
    se: float
    df: float
    low: float
    high: float


@dataclass(frozen=True)
class Analysis:
    """One analysis of a reader study.

    Attributes:
        name: RRRC, FRRC or RRFC.
        normal: whether chi-square and z stand in the place of F and t.
        test: of all modalities; None when there is only one.
        differences: of all pairs of modalities, in the order (1, 2), (1, 3), ...; means over readers.
        per_modality: the means.
        differences_each_reader: the same of each reader alone, readers outermost; only in FRRC.
        reason: what needs care; None when there is nothing to say.
    """

    name: AnalysisName
    normal: bool
    test: OverallTest | None
    differences: tuple[Difference, ...]
    per_modality: tuple[ModalityMean, ...]
    differences_each_reader: tuple[Difference, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class Crossing:
    """Figures of merit of a crossed study, and how results are to be stated.

    Attributes:
        figures: (modalities, readers).
        modalities, readers: names.
        level: nominal coverage of intervals.
        holm: whether p values of differences get Holm's adjustment beside them.
    """

    figures: FloatArray
    modalities: tuple[str, ...]
    readers: tuple[str, ...]
    level: float = 0.95
    holm: bool = False

    def __post_init__(self) -> None:
        check_level(self.level)
        expected = (len(self.modalities), len(self.readers))
        if self.figures.shape != expected:
            raise ValueError(f"figures must be (modalities, readers) = {expected}, found shape {self.figures.shape}")

    def analysis(
        self,
        name: AnalysisName,
        error: ErrorTerm,
        per_modality: Sequence[ErrorTerm],
        per_reader: Sequence[ErrorTerm] = (),
        *,
        cases: int = 1,
        normal: bool = False,
    ) -> Analysis:
        """State an analysis.

        Args:
            name: RRRC, FRRC or RRFC.
            error: what the modalities are compared with.
            per_modality: the same for the mean of each modality.
            per_reader: the same for the differences of each reader.
            cases: number of values per figure that the mean squares are about: 1, or K for pseudovalues.
            normal: whether chi-square and z are used by construction.
        """
        means, n = self.figures.mean(axis=1), len(self.readers) * cases
        test, reason = None, None
        if len(self.modalities) > 1:
            numerator = cases * mean_squares(self.figures, "TR")["T"]
            test, reason = _overall(numerator, error, len(self.modalities) - 1, normal)
        each = [
            self._pairs(self.figures[:, j], term, cases, f"reader {self.readers[j]}: ")
            for j, term in enumerate(per_reader)
        ]
        return Analysis(
            name,
            normal,
            test,
            self._adjusted(self._pairs(means, error, n)),
            tuple(
                self._mean(label, float(mean), term, n)
                for label, mean, term in zip(self.modalities, means, per_modality, strict=True)
            ),
            self._adjusted(list(chain.from_iterable(each))),
            reason,
        )

    def _pairs(self, values: FloatArray, error: ErrorTerm, n: int, prefix: str = "") -> list[Difference]:
        se = math.sqrt(2 * error.mean_square / n)
        found = []
        for a, b in combinations(range(len(self.modalities)), 2):
            difference = excess(float(values[a]), float(values[b]))
            label, half = f"{prefix}{self.modalities[a]}-{self.modalities[b]}", self._half(se, error.df)
            t, p = _two_sided(difference, se, error.df)
            found.append(Difference(label, difference, se, error.df, t, p, difference - half, difference + half))
        return found

    def _mean(self, label: str, mean: float, error: ErrorTerm, n: int) -> ModalityMean:
        se = math.sqrt(error.mean_square / n)
        half = self._half(se, error.df)
        return ModalityMean(label, mean, se, error.df, mean - half, mean + half)

    def _half(self, se: float, df: float) -> float:
        """Half the width of an interval; none without error, however many degrees of freedom that has."""
        if se == 0:
            return 0.0
        tail = (1 + self.level) / 2
        return se * float(ndtri(tail) if math.isinf(df) else stdtrit(df, tail))

    def _adjusted(self, differences: list[Difference]) -> tuple[Difference, ...]:
        if not self.holm:
            return tuple(differences)
        adjusted = holm([difference.p for difference in differences])
        return tuple(replace(one, p_holm=float(p)) for one, p in zip(differences, adjusted, strict=True))


def holm(p: ArrayLike) -> FloatArray:
    """p values adjusted for their number by Holm's step-down method; NaN stays NaN and does not count."""
    values = np.asarray(p, dtype=np.float64)
    adjusted = np.full(values.shape, math.nan)
    order = np.argsort(values)[: int((~np.isnan(values)).sum())]
    steps = values[order] * np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def unavailable_reason(name: AnalysisName, n_readers: int) -> str | None:
    """Why an analysis cannot be made; None when it can."""
    if name not in ANALYSES:
        raise ValueError(f"unknown analysis {name!r}; choose from {', '.join(ANALYSES)}")
    if n_readers == 1 and name != "FRRC":
        return f"{name} generalises to other readers and needs at least two, found 1; FRRC does with one"
    return None


def _overall(numerator: float, error: ErrorTerm, ndf: int, normal: bool) -> tuple[OverallTest, str | None]:
    denominator = error.mean_square
    reason = None
    if denominator > 0:
        ratio = numerator / denominator
        p = float(chdtrc(ndf, ndf * ratio) if math.isinf(error.df) else fdtrc(ndf, error.df, ratio))
        if math.isinf(error.df) and not normal:
            reason = "readers differ alike in all modalities: the denominator has infinitely many degrees of freedom"
    else:
        ratio, p = (math.inf, 0.0) if numerator > 0 else (math.nan, 1.0)
        reason = "the denominator is 0: nothing in these data varies that the modalities could be compared with"
        warnings.warn(reason, RuntimeWarning, stacklevel=2)
    statistic = ndf * ratio if normal else ratio
    return OverallTest(statistic, ndf, error.df, p, numerator, denominator), reason


def _two_sided(estimate: float, se: float, df: float) -> tuple[float, float]:
    """t or z, and its two-sided p value."""
    if se == 0:
        return (math.copysign(math.inf, estimate), 0.0) if estimate else (math.nan, 1.0)
    statistic = estimate / se
    return statistic, 2 * float(ndtr(-abs(statistic)) if math.isinf(df) else stdtr(df, -abs(statistic)))
