"""Analysis of a reader study by Obuchowski and Rockette's model, with Hillis' degrees of freedom.

The figure of merit of modality i and reader j is a mean plus effects of modality, reader and both, plus an error whose
covariance between two readings has one of four values: Var (the reading itself), Cov1 (same reader, other modality),
Cov2 (same modality, other reader), Cov3 (both others). They are averages over the covariance matrix of the figures,
which comes from the jackknife, from DeLong's structural components, or from a bootstrap of patients.

Components of variance may be negative and are given as they are.

References:
    NA Obuchowski, HE Rockette, Hypothesis testing of diagnostic accuracy for multiple readers and multiple tests,
    Commun Stat Simul Comput 1995.
    SL Hillis, Stat Med 2007 (degrees of freedom); SL Hillis, KS Berbaum, CE Metz, Acad Radiol 2008.
    DP Chakraborty, Observer Performance Methods for Diagnostic Imaging, Taylor & Francis 2017, chapter 10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from medpipe.metrics._arrays import BoolArray, FloatArray, IntArray
from medpipe.metrics.anova import excess, mean_squares, satterthwaite
from medpipe.metrics.intervals import DEFAULT_BOOTSTRAP, Bootstrap
from medpipe.metrics.jackknife import jackknife_covariance, study_leave_one_out
from medpipe.metrics.jafroc import canonical_name
from medpipe.metrics.mrmc import Analysis, AnalysisName, Crossing, ErrorTerm, unavailable_reason
from medpipe.metrics.reader_bootstrap import bootstrap_covariance
from medpipe.metrics.reader_study import ReaderStudy
from medpipe.metrics.roc import delong

__all__ = ["CovarianceMethod", "ObuchowskiRockette", "figure_covariance", "obuchowski_rockette"]

CovarianceMethod = Literal["jackknife", "delong", "bootstrap"]


@dataclass(frozen=True, eq=False)
class ObuchowskiRockette:
    """The analysis of given figures of merit.

    Attributes:
        crossing: figures (modalities, readers) and how results are to be stated.
        covariance: of the figures, (n, n) with reading (i, j) in row i * readers + j.

    Raises:
        ValueError: when the matrix does not fit the figures, or is not finite.
    """

    crossing: Crossing
    covariance: FloatArray

    def __post_init__(self) -> None:
        n = self.crossing.figures.size
        if self.covariance.shape != (n, n):
            raise ValueError(f"{n} figures need a covariance matrix of shape {(n, n)}, found {self.covariance.shape}")
        if not np.isfinite(self.covariance).all():
            raise ValueError("the covariance matrix has an entry that is not finite")

    @cached_property
    def mean_squares(self) -> dict[str, float]:
        """T, R and TR of the figures; NaN without degrees of freedom."""
        return mean_squares(self.crossing.figures, "TR")

    @cached_property
    def components(self) -> dict[str, float]:
        """VarR, VarTR, Cov1, Cov2, Cov3 and Var; NaN without the readers or modalities to tell."""
        i = len(self.crossing.modalities)
        var, cov1, cov2, cov3 = self._averages(np.ones(self.crossing.figures.size, dtype=np.bool_))
        var_tr = self.mean_squares["TR"] - var + cov1 + max(excess(cov2, cov3), 0.0)
        var_r = (self.mean_squares["R"] - var_tr - var + cov2 - (i - 1) * (cov1 - cov3)) / i
        return {"VarR": var_r, "VarTR": var_tr, "Cov1": cov1, "Cov2": cov2, "Cov3": cov3, "Var": var}

    def analysis(self, name: AnalysisName) -> Analysis:
        """The analysis called ``name``: RRRC, FRRC or RRFC.

        With one modality it has no test and no differences. With one reader there is FRRC only.

        Raises:
            ValueError: when there is no such analysis, or it needs more readers.
        """
        reason = unavailable_reason(name, len(self.crossing.readers))
        if reason:
            raise ValueError(reason)
        return {"RRRC": self._rrrc, "FRRC": self._frrc, "RRFC": self._rrfc}[name]()

    def _rrrc(self) -> Analysis:
        i, j = self.crossing.figures.shape
        ms, found = self.mean_squares["TR"], self.components
        total = ms + max(j * excess(found["Cov2"], found["Cov3"]), 0.0)
        error = ErrorTerm(total, satterthwaite(total, ms, (i - 1) * (j - 1)))
        alone = []
        for row in range(i):
            ms, cov2 = self._reader_ms[row], self._averages(self._modality == row)[2]
            total = ms + max(j * cov2, 0.0)
            alone.append(ErrorTerm(total, satterthwaite(total, ms, j - 1)))
        return self.crossing.analysis("RRRC", error, alone)

    def _frrc(self) -> Analysis:
        i, j = self.crossing.figures.shape
        found = self.components
        total = excess(found["Var"], found["Cov1"]) + (j - 1) * max(excess(found["Cov2"], found["Cov3"]), 0.0)
        alone, each = [], []
        for row in range(i):
            var, _, cov2, _ = self._averages(self._modality == row)
            alone.append(ErrorTerm(var + (j - 1) * max(cov2, 0.0), math.inf))
        for column in range(j):
            var, cov1, _, _ = self._averages(self._reader == column)
            each.append(ErrorTerm(max(excess(var, cov1), 0.0), math.inf))
        return self.crossing.analysis("FRRC", ErrorTerm(max(total, 0.0), math.inf), alone, each, normal=True)

    def _rrfc(self) -> Analysis:
        i, j = self.crossing.figures.shape
        alone = [ErrorTerm(ms, j - 1) for ms in self._reader_ms]
        return self.crossing.analysis("RRFC", ErrorTerm(self.mean_squares["TR"], (i - 1) * (j - 1)), alone)

    @cached_property
    def _reader_ms(self) -> list[float]:
        """Mean square of readers within each modality."""
        return [mean_squares(row, "R")["R"] for row in self.crossing.figures]

    @cached_property
    def _modality(self) -> IntArray:
        i, j = self.crossing.figures.shape
        return np.repeat(np.arange(i), j)

    @cached_property
    def _reader(self) -> IntArray:
        i, j = self.crossing.figures.shape
        return np.tile(np.arange(j), i)

    def _averages(self, chosen: BoolArray) -> tuple[float, float, float, float]:
        """Var, Cov1, Cov2 and Cov3 among the chosen readings; a mean over no pairs is 0."""
        modality, reader = self._modality[chosen], self._reader[chosen]
        values = self.covariance[np.ix_(chosen, chosen)]
        same_modality, same_reader = modality[:, None] == modality, reader[:, None] == reader
        kinds = (
            same_modality & same_reader,
            ~same_modality & same_reader,
            same_modality & ~same_reader,
            ~same_modality & ~same_reader,
        )
        var, cov1, cov2, cov3 = (float(values[kind].mean()) if kind.any() else 0.0 for kind in kinds)
        return var, cov1, cov2, cov3


def obuchowski_rockette(
    study: ReaderStudy,
    name: str,
    *,
    covariance: CovarianceMethod = "jackknife",
    level: float = 0.95,
    holm: bool = False,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> ObuchowskiRockette:
    """Analyse a reader study by a figure of merit.

    Args:
        study: the readings.
        name: of the figure of merit.
        covariance: how the covariance of the figures is estimated, see ``figure_covariance``.
        level: nominal coverage of intervals.
        holm: whether p values of differences get Holm's adjustment beside them.
        bootstrap: number of resamples and seed, for ``covariance="bootstrap"``.

    Raises:
        ValueError: when the figure or its covariance is undefined (see ``figure_covariance``), or for an impossible
            level.
    """
    crossing = Crossing(study.figures(name), study.modalities, study.readers, level, holm)
    return ObuchowskiRockette(crossing, figure_covariance(study, name, covariance, bootstrap))


def figure_covariance(
    study: ReaderStudy,
    name: str,
    method: CovarianceMethod = "jackknife",
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> FloatArray:
    """Covariance matrix of a figure of merit over all readings, (n, n), reading (i, j) in row i * readers + j.

    Args:
        study: the readings.
        name: of the figure of merit.
        method: ``jackknife`` leaves cases out; ``delong`` takes structural components, for Wilcoxon and HrAuc alone;
            ``bootstrap`` resamples patients. The first two take cases as independent.
        bootstrap: number of resamples and seed.

    Raises:
        ValueError: when the figure is undefined, the method is unknown or not made for it, or there are too few cases.
    """
    name = canonical_name(name)
    if method not in get_args(CovarianceMethod):
        raise ValueError(f"covariance must be one of {get_args(CovarianceMethod)}, found {method!r}")
    if method == "bootstrap":
        return bootstrap_covariance(study, name, bootstrap)
    if method == "jackknife":
        return jackknife_covariance(study_leave_one_out(study, name))
    if name not in ("Wilcoxon", "HrAuc"):
        raise ValueError(f"DeLong's covariance is of Wilcoxon and HrAuc alone, not of {name}; use the jackknife")
    return _delong_covariance(study, name)


def _delong_covariance(study: ReaderStudy, name: str) -> FloatArray:
    reason = study.undefined_reason(name)
    if reason:
        raise ValueError(reason)
    if min(study.n_diseased, study.n_nondiseased) < 2:
        found = f"{study.n_diseased} diseased and {study.n_nondiseased} non-diseased"
        raise ValueError(f"DeLong's covariance needs at least two cases of each kind, found {found}")
    diseased = study.cohort.diseased
    results = [delong(reading.highest_rating, diseased) for row in study.readings for reading in row]
    covariance = np.zeros((len(results), len(results)))
    for parts in (np.array([result.v10 for result in results]), np.array([result.v01 for result in results])):
        deviations = parts - parts.mean(axis=1, keepdims=True)
        covariance += deviations @ deviations.T / (parts.shape[1] - 1) / parts.shape[1]
    return covariance
