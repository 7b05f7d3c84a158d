"""How many readers and cases a planned study of two modalities needs, from the variance components of a pilot study.

With J readers and K cases, d the difference to be found, K* the cases of the pilot, e = (K*/K)(Var - Cov1) and
m = (K*/K) max(Cov2 - Cov3, 0), the test statistic has a noncentral F distribution with 1 and df degrees of freedom
and noncentrality (J d^2 / 2) / D:

    RRRC   D = Var_TR + e + (J - 1) m    df = D^2 (J - 1) / (Var_TR + e - m)^2
    FRRC   D = e + (J - 1) m             df infinite: noncentral chi-square
    RRFC   D = Var_TR + e - m            df = J - 1

A negative estimate of Var_TR counts as 0. The planned study has the pilot's share of diseased cases.

References:
    SL Hillis, NA Obuchowski, KS Berbaum, Power estimation for multireader ROC methods: an updated and unified
    approach, Acad Radiol 2011.
    SL Hillis, KM Schartz, Multireader sample size program for diagnostic studies, J Med Imaging 2018.
    DP Chakraborty, Observer Performance Methods for Diagnostic Imaging, Taylor & Francis 2017, chapter 11.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtri, chndtr, fdtri, ncfdtr

from medpipe.metrics._arrays import FloatArray
from medpipe.metrics.mrmc import AnalysisName, unavailable_reason
from medpipe.metrics.obuchowski_rockette import ObuchowskiRockette

__all__ = ["NoErrorVarianceError", "PilotStudy", "StudyPower", "cases_needed", "study_power"]

_BLOCK = 512  # numbers of cases tried at once


class NoErrorVarianceError(ValueError):
    """The components of a pilot study leave nothing that a difference could be tested against."""


@dataclass(frozen=True)
class PilotStudy:
    """Variance components of Obuchowski and Rockette's model, as a pilot study estimates them.

    Attributes:
        var_tr: of the interaction of modality and reader; may be negative.
        cov1, cov2, cov3, var: covariances and variance of the error.
        n_cases: number of cases of the pilot study, which the covariances go with.

    Raises:
        ValueError: when a component is not finite, or there is no case.
    """

    var_tr: float
    cov1: float
    cov2: float
    cov3: float
    var: float
    n_cases: int

    def __post_init__(self) -> None:
        if self.n_cases < 1:
            raise ValueError(f"n_cases of the pilot study must be at least 1, found {self.n_cases}")
        for name in ("var_tr", "cov1", "cov2", "cov3", "var"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(
                    f"{name} must be finite, found {getattr(self, name)}:"
                    " planning needs a pilot study of at least two modalities and two readers"
                )

    @classmethod
    def from_analysis(cls, analysis: ObuchowskiRockette, n_cases: int) -> PilotStudy:
        """The components of an analysed study of ``n_cases`` cases.

        Raises:
            ValueError: when it has only one modality or one reader.
        """
        found = analysis.components
        return cls(found["VarTR"], found["Cov1"], found["Cov2"], found["Cov3"], found["Var"], n_cases)


@dataclass(frozen=True)
class StudyPower:
    """Power of a planned study.

    Attributes:
        power: probability that the test finds the difference.
        noncentrality: of the distribution of the test statistic.
        ddf: denominator degrees of freedom; infinite for chi-square.
        critical: value that the test statistic must exceed.
    """

    power: float
    noncentrality: float
    ddf: float
    critical: float


def study_power(
    pilot: PilotStudy, effect: float, readers: int, cases: int, analysis: AnalysisName = "RRRC", alpha: float = 0.05
) -> StudyPower:
    """Power of a study of two modalities.

    Args:
        pilot: variance components.
        effect: difference of the two modality means that is to be found; its sign does not matter.
        readers: number of readers, at least 2 (FRRC: 1).
        cases: number of cases, at least 2.
        analysis: RRRC, FRRC or RRFC.
        alpha: size of the test.

    Raises:
        ValueError: for numbers out of range.
        NoErrorVarianceError: for components that leave no error variance to test against.
    """
    _check(effect, readers, analysis, alpha)
    if cases < 2:
        raise ValueError(f"cases must be at least 2, found {cases}")
    power, noncentrality, ddf, critical = (
        float(part[0]) for part in _powers(pilot, effect, readers, np.array([cases]), analysis, alpha)
    )
    if math.isnan(power):
        raise NoErrorVarianceError(_no_error_variance(analysis))
    return StudyPower(power, noncentrality, ddf, critical)


def cases_needed(
    pilot: PilotStudy,
    effect: float,
    readers: int,
    power: float = 0.8,
    analysis: AnalysisName = "RRRC",
    alpha: float = 0.05,
    most: int = 10_000,
) -> int | None:
    """The smallest number of cases with which a study of so many readers has the wanted power.

    Args:
        pilot, effect, readers, analysis, alpha: as in ``study_power``.
        power: wanted, between 0 and 1.
        most: largest number of cases that is tried.

    Returns:
        Number of cases, or None when not even ``most`` cases give the power.

    Raises:
        ValueError: as ``study_power``.
    """
    _check(effect, readers, analysis, alpha)
    if not 0 < power < 1:
        raise ValueError(f"power must lie between 0 and 1, such as 0.8, found {power}")
    if most < 2:
        raise ValueError(f"most must be at least 2 cases, found {most}")
    powers = np.full(1, math.nan)
    for first in range(2, most + 1, _BLOCK):
        cases = np.arange(first, min(first + _BLOCK, most + 1))
        powers = _powers(pilot, effect, readers, cases, analysis, alpha)[0]
        enough = np.flatnonzero(powers >= power)
        if enough.size:
            return int(cases[enough[0]])
    if math.isnan(powers[-1]):
        raise NoErrorVarianceError(_no_error_variance(analysis))
    return None


def _no_error_variance(analysis: AnalysisName) -> str:
    return f"the pilot study leaves no error variance for {analysis}: its power cannot be told"


def _check(effect: float, readers: int, analysis: AnalysisName, alpha: float) -> None:
    if not (math.isfinite(effect) and effect != 0):
        raise ValueError(f"effect must be a difference other than 0, found {effect}")
    if readers < 1:
        raise ValueError(f"readers must be at least 1, found {readers}")
    reason = unavailable_reason(analysis, readers)
    if reason:
        raise ValueError(reason)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, such as 0.05, found {alpha}")


def _powers(
    pilot: PilotStudy, effect: float, readers: int, cases: ArrayLike, analysis: AnalysisName, alpha: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Power, noncentrality, denominator degrees of freedom and critical value for each number of cases."""
    scale = pilot.n_cases / np.asarray(cases, dtype=np.float64)
    error, shared = scale * (pilot.var - pilot.cov1), scale * max(pilot.cov2 - pilot.cov3, 0.0)
    interaction = max(pilot.var_tr, 0.0) + error - shared  # expected mean square of modality x reader
    if analysis == "RRRC":
        total = interaction + readers * shared
        with np.errstate(divide="ignore", invalid="ignore"):  # no interaction: infinitely many
            ddf = (total / interaction) ** 2 * (readers - 1)
    elif analysis == "FRRC":
        total, ddf = error + (readers - 1) * shared, np.full(scale.shape, math.inf)
    else:
        total, ddf = interaction, np.full(scale.shape, readers - 1.0)
    total = np.where(total > 0, total, math.nan)
    noncentrality = readers * effect**2 / 2 / total
    chi_square = np.isinf(ddf)
    finite = np.where(chi_square, 1.0, ddf)
    critical = np.where(chi_square, chdtri(1, alpha), fdtri(1, finite, 1 - alpha))
    missed = np.where(chi_square, chndtr(critical, 1, noncentrality), ncfdtr(1, finite, noncentrality, critical))
    return 1 - missed, noncentrality, ddf, critical
