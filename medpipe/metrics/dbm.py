"""Analysis of a reader study by Dorfman, Berbaum and Metz: analysis of variance of jackknife pseudovalues.

Factors are modality (T), reader (R) and case (C). RRRC and RRFC agree with Obuchowski and Rockette's analysis with
jackknife covariances; FRRC uses F and t instead of chi-square and z, and differs where Cov2 is below Cov3.

Components of variance may be negative and are given as they are.

References:
    DD Dorfman, KS Berbaum, CE Metz, Receiver operating characteristic rating analysis, Invest Radiol 1992.
    SL Hillis, KS Berbaum, CE Metz, Recent developments in the Dorfman-Berbaum-Metz procedure for multireader ROC
    study analysis, Acad Radiol 2008.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from medpipe.metrics._arrays import FloatArray
from medpipe.metrics.anova import excess, mean_squares, satterthwaite
from medpipe.metrics.jackknife import pseudovalues, study_leave_one_out
from medpipe.metrics.mrmc import Analysis, AnalysisName, Crossing, ErrorTerm, unavailable_reason
from medpipe.metrics.reader_study import ReaderStudy

__all__ = ["DorfmanBerbaumMetz", "dorfman_berbaum_metz"]


@dataclass(frozen=True, eq=False)
class DorfmanBerbaumMetz:
    """The analysis of given pseudovalues.

    Attributes:
        crossing: figures (modalities, readers) and how results are to be stated.
        pseudovalues: (modalities, readers, cases), with the figures as their means over cases.

    Raises:
        ValueError: when the pseudovalues do not fit the figures, or there are fewer than two per figure.
    """

    crossing: Crossing
    pseudovalues: FloatArray

    def __post_init__(self) -> None:
        shape = self.pseudovalues.shape
        if shape[:-1] != self.crossing.figures.shape or shape[-1] < 2:
            raise ValueError(
                f"pseudovalues must be (modalities, readers, cases) of figures {self.crossing.figures.shape},"
                f" with at least two cases; found shape {shape}"
            )

    @cached_property
    def mean_squares(self) -> dict[str, float]:
        """T, R, C, TR, TC, RC and TRC; NaN without degrees of freedom."""
        return mean_squares(self.pseudovalues, "TRC")

    @cached_property
    def components(self) -> dict[str, float]:
        """VarR, VarC, VarTR, VarTC, VarRC and VarErr; NaN without the readers or modalities to tell."""
        i, j, k = self.pseudovalues.shape
        ms = self.mean_squares
        return {
            "VarR": (ms["R"] - ms["TR"] - ms["RC"] + ms["TRC"]) / (i * k),
            "VarC": (ms["C"] - ms["TC"] - ms["RC"] + ms["TRC"]) / (i * j),
            "VarTR": (ms["TR"] - ms["TRC"]) / k,
            "VarTC": (ms["TC"] - ms["TRC"]) / j,
            "VarRC": (ms["RC"] - ms["TRC"]) / i,
            "VarErr": ms["TRC"],
        }

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
        i, j, k = self.pseudovalues.shape
        ms = self.mean_squares
        total = ms["TR"] + max(excess(ms["TC"], ms["TRC"]), 0.0)
        error = ErrorTerm(total, satterthwaite(total, ms["TR"], (i - 1) * (j - 1)))
        alone = []
        for one in self._within_modality:
            total = one["R"] + max(excess(one["C"], one["RC"]), 0.0)
            alone.append(ErrorTerm(total, satterthwaite(total, one["R"], j - 1)))
        return self.crossing.analysis("RRRC", error, alone, cases=k)

    def _frrc(self) -> Analysis:
        i, j, k = self.pseudovalues.shape
        error = ErrorTerm(self.mean_squares["TC"], (i - 1) * (k - 1))
        alone = [ErrorTerm(one["C"], k - 1) for one in self._within_modality]
        each = [ErrorTerm(mean_squares(self.pseudovalues[:, n], "TC")["TC"], k - 1) for n in range(j)]
        return self.crossing.analysis("FRRC", error, alone, each, cases=k)

    def _rrfc(self) -> Analysis:
        i, j, k = self.pseudovalues.shape
        error = ErrorTerm(self.mean_squares["TR"], (i - 1) * (j - 1))
        alone = [ErrorTerm(one["R"], j - 1) for one in self._within_modality]
        return self.crossing.analysis("RRFC", error, alone, cases=k)

    @cached_property
    def _within_modality(self) -> list[dict[str, float]]:
        return [mean_squares(values, "RC") for values in self.pseudovalues]


def dorfman_berbaum_metz(
    study: ReaderStudy, name: str, *, level: float = 0.95, holm: bool = False
) -> DorfmanBerbaumMetz:
    """Analyse a reader study by a figure of merit.

    Args:
        study: the readings.
        name: of the figure of merit.
        level: nominal coverage of intervals.
        holm: whether p values of differences get Holm's adjustment beside them.

    Raises:
        ValueError: when the figure or its jackknife is undefined, or for an impossible level.
    """
    crossing = Crossing(study.figures(name), study.modalities, study.readers, level, holm)
    return DorfmanBerbaumMetz(crossing, pseudovalues(crossing.figures, study_leave_one_out(study, name)))
