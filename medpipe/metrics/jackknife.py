"""Leave-one-case-out values of figures of merit, their pseudovalues and covariance.

Only cases that a figure is about are left out: the non-diseased ones for MaxNLF and HrSp, the diseased ones for MaxLLF
and HrSe, all cases otherwise. Lesions and marks of a case go with it. Cases count as independent, also those of one
patient; the bootstrap resamples patients.

References:
    DD Dorfman, KS Berbaum, CE Metz, Invest Radiol 1992 (pseudovalues).
    SL Hillis, KS Berbaum, CE Metz, Recent developments in the Dorfman-Berbaum-Metz procedure, Acad Radiol 2008.
"""

from __future__ import annotations

import numpy as np

from medpipe.metrics._arrays import FloatArray
from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.jafroc import canonical_name, figure_parts
from medpipe.metrics.reader_study import ReaderStudy

__all__ = ["jackknife_covariance", "leave_one_out", "pseudovalues", "study_leave_one_out"]

_NONDISEASED_ONLY = ("MaxNLF", "HrSp")
_DISEASED_ONLY = ("MaxLLF", "HrSe")


def leave_one_out(data: FreeResponseData, name: str) -> FloatArray:
    """The figure of merit without each case in turn, by sorting once.

    Args:
        data: marks of one reader in one modality.
        name: of the figure of merit.

    Returns:
        One value per case that the figure is about, in the order of the cases.

    Raises:
        ValueError: when there is no figure of this name, the data do not define it, or it is undefined without one of
            the cases.
    """
    name, n = canonical_name(name), data.n_nondiseased
    values = figure_parts(data, name).leave_one_out()
    values = values[:n] if name in _NONDISEASED_ONLY else values[n:] if name in _DISEASED_ONLY else values
    if np.isnan(values).any():
        found = f"{data.n_diseased} diseased and {n} non-diseased cases"
        raise ValueError(f"the jackknife of {name} needs at least two cases of each kind, found {found}")
    return values


def study_leave_one_out(study: ReaderStudy, name: str) -> FloatArray:
    """``leave_one_out`` of every reading, shape (modalities, readers, cases).

    Raises:
        ValueError: as ``leave_one_out``.
    """
    return study.each(lambda reading: leave_one_out(reading, name))


def pseudovalues(figures: FloatArray, without: FloatArray) -> FloatArray:
    """Jackknife pseudovalues, centred so that their mean over cases is the figure itself.

    Args:
        figures: (...), figures of merit of all cases.
        without: (..., cases), the same without each case.

    Returns:
        (..., cases): K figure - (K - 1) figure without the case, shifted.
    """
    n = without.shape[-1]
    raw = n * figures[..., None] - (n - 1) * without
    centred: FloatArray = raw + (figures - raw.mean(axis=-1))[..., None]
    return centred


def jackknife_covariance(without: FloatArray) -> FloatArray:
    """Covariance matrix of figures of merit: (K - 1)/K times the sum of products of deviations over the K cases.

    Args:
        without: (..., cases), figures without each case, such as ``study_leave_one_out`` gives.

    Returns:
        (n, n), with the leading axes of ``without`` flattened to n.
    """
    n = without.shape[-1]
    deviations = without.reshape(-1, n) - without.reshape(-1, n).mean(axis=1, keepdims=True)
    covariance: FloatArray = (n - 1) / n * (deviations @ deviations.T)
    return covariance
