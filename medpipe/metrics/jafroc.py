"""Figures of merit of free-response (FROC) data: AFROC (JAFROC), wAFROC and their relatives.

Notation: f_k highest NL rating of case k, z_kl rating of lesion l of case k (both minus infinity when there
is none), W_kl lesion weights, K1 and K2 numbers of non-diseased and diseased cases, K their sum, L_T number
of lesions, and psi(x, y) = 1 if x < y, 1/2 if x = y (also minus infinity twice), else 0.

    Wilcoxon        mean of psi over (non-diseased, diseased) pairs of cases; only for ROC data
    HrAuc           the same for the highest rating of each case (inferred ROC)
    AFROC           mean of psi(f_n, z_kl) over non-diseased cases n and lesions; also called JAFROC, JAFROC-2
    wAFROC          the same with lesions weighted, so that every diseased case counts once; also wJAFROC
    AFROC1          as AFROC, n over all cases; also JAFROC-1
    wAFROC1         as wAFROC, n over all cases
    FROC            sum of psi over all NL marks and lesions / (K L_T): area under the FROC curve up to the
                    observed end-point; not bounded by 1, a description only
    MaxLLF          share of lesions found
    MaxNLF          NL marks on non-diseased cases / K1
    MaxNLFAllCases  NL marks on all cases / K
    HrSe            share of diseased cases with a mark
    HrSp            share of non-diseased cases without a mark

wAFROC is the recommended default where cases have several lesions. Sums of psi are taken by sorting.

References:
    DP Chakraborty, KS Berbaum, Observer studies involving detection and localization, Med Phys 2004 (JAFROC).
    DP Chakraborty, Observer Performance Methods for Diagnostic Imaging, Taylor & Francis 2017; names follow
    RJafroc.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import ndtri

from medpipe.metrics._arrays import FloatArray, IntArray
from medpipe.metrics.case_ratio import CaseRatio
from medpipe.metrics.free_response import FreeResponseData, check_same_cases
from medpipe.metrics.intervals import DEFAULT_BOOTSTRAP, Bootstrap, Cohort, Comparison, Estimate, check_level
from medpipe.metrics.pairs import PairSample

__all__ = [
    "ALIASES",
    "FIGURES_OF_MERIT",
    "canonical_name",
    "compare_figures_of_merit",
    "figure_of_merit",
    "figure_of_merit_analytic",
    "figure_of_merit_estimate",
    "figure_of_merit_statistic",
    "figure_parts",
    "figures_of_merit",
    "undefined_reason",
]

ALIASES = {"JAFROC": "AFROC", "JAFROC-2": "AFROC", "JAFROC-1": "AFROC1", "wJAFROC": "wAFROC"}
"""Other names in the literature."""

_ROUNDING = 1e-12  # influences that cancel leave less

Figure = Callable[[IntArray], float]
"""A figure of merit as a function of how often each case is in the sample."""


def figure_of_merit(data: FreeResponseData, name: str) -> float:
    """The figure of merit called ``name``.

    Args:
        data: marks of one reader in one modality.
        name: one of FIGURES_OF_MERIT or ALIASES.

    Raises:
        ValueError: when there is no such figure, or the data do not define it (see ``undefined_reason``).
    """
    return float(figure_of_merit_statistic(data, name)(np.ones(data.n_cases, dtype=np.int64)))


def figures_of_merit(data: FreeResponseData) -> dict[str, float]:
    """Every figure of merit by name; NaN where ``undefined_reason`` has something to say."""
    return {
        name: math.nan if undefined_reason(data, name) else figure_of_merit(data, name) for name in FIGURES_OF_MERIT
    }


def undefined_reason(data: FreeResponseData, name: str) -> str | None:
    """Why the data do not define the figure of merit; None when they do.

    Nothing is defined without diseased cases; without non-diseased ones only AFROC1 and wAFROC1 are. Wilcoxon
    needs ROC data.
    """
    name = canonical_name(name)
    if data.n_diseased == 0:
        return f"{name} needs diseased cases, and there are none"
    if data.n_nondiseased == 0 and name not in ("AFROC1", "wAFROC1"):
        return f"{name} needs non-diseased cases, and there are none; AFROC1 and wAFROC1 do without"
    if name == "Wilcoxon" and not data.is_roc:
        return "Wilcoxon needs ROC data: exactly one rating per case; use HrAuc for the highest rating"
    return None


def canonical_name(name: str) -> str:
    """The name in FIGURES_OF_MERIT that a name or alias stands for, or ValueError."""
    name = ALIASES.get(name, name)
    if name not in FIGURES_OF_MERIT:
        raise ValueError(f"unknown figure of merit {name!r}; choose from {', '.join([*FIGURES_OF_MERIT, *ALIASES])}")
    return name


def figure_of_merit_statistic(data: FreeResponseData, name: str) -> Figure:
    """The figure of merit as a function of how often each case is in the sample, for the bootstrap.

    Cases, lesions and marks are counted anew in each sample. NaN for a sample without the cases it needs.

    Raises:
        ValueError: as ``figure_of_merit``.
    """
    return figure_parts(data, name).statistic()


def figure_parts(data: FreeResponseData, name: str) -> PairSample | CaseRatio:
    """What the figure of merit is made of: pairs of ratings, or a ratio of sums for the shares MaxLLF to HrSp.

    Raises:
        ValueError: as ``figure_of_merit``.
    """
    reason = undefined_reason(data, name)
    if reason:
        raise ValueError(reason)
    name = canonical_name(name)
    return _PAIRS[name](data) if name in _PAIRS else _RATIOS[name](data)


def figure_of_merit_estimate(data: FreeResponseData, name: str, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP) -> Estimate:
    """The figure of merit with its bootstrap interval; NaN with the reason where it is undefined.

    Raises:
        ValueError: when there is no figure of this name.
    """
    reason = undefined_reason(data, name)
    if reason:
        return bootstrap.undefined(data.cohort, reason)
    return bootstrap.estimate(figure_of_merit_statistic(data, name), data.cohort)


def figure_of_merit_analytic(data: FreeResponseData, name: str, level: float = 0.95) -> Estimate:
    """The figure of merit with a normal interval from its structural components, without resampling.

    The influences of a patient's cases are added; patients with and without a diseased case are independent groups,
    as in the bootstrap. For Wilcoxon with one case per patient it is DeLong's variance.

    Raises:
        ValueError: for an unknown name, or MaxLLF, MaxNLF, MaxNLFAllCases, HrSe and HrSp, which are no areas.

    References:
        ER DeLong, DM DeLong, DL Clarke-Pearson, Biometrics 1988; NA Obuchowski, Nonparametric analysis of clustered
        ROC curve data, Biometrics 1997.
    """
    check_level(level)
    cohort, method = data.cohort, f"structural components, normal interval, {data.cohort.n_patients} patients"
    if canonical_name(name) not in _PAIRS:
        raise ValueError(f"{name} has no structural components; use figure_of_merit_estimate")
    reason = undefined_reason(data, name)
    if reason:
        return Estimate(math.nan, math.nan, math.nan, level, method, cohort.n_patients, reason)
    value, influence = _PAIRS[canonical_name(name)](data).influence()
    variance = _variance(influence, cohort)
    if math.isnan(variance):
        alone = "a group of one patient has no variance"
        return Estimate(value, math.nan, math.nan, level, method, cohort.n_patients, alone)
    half = float(ndtri((1 + level) / 2)) * math.sqrt(variance)
    low, high = max(value - half, 0.0), value + half
    if canonical_name(name) != "FROC":
        high = min(high, 1.0)
    reason = None if half > _ROUNDING else "the variance is 0"
    return Estimate(value, low, high, level, method, cohort.n_patients, reason)


def _variance(influence: FloatArray, cohort: Cohort) -> float:
    """Sum over the two groups of patients of n / (n - 1) * sum of squared deviations; NaN for a group of one."""
    influence, patient = cohort.sum_by_patient(influence), np.arange(cohort.n_patients)
    variance = 0.0
    for group in (influence[patient < cohort.strata[0]], influence[patient >= cohort.strata[0]]):
        if group.size == 1:
            return math.nan
        if group.size:
            variance += group.size / (group.size - 1) * float(((group - group.mean()) ** 2).sum())
    return variance


def compare_figures_of_merit(
    first: FreeResponseData, second: FreeResponseData, name: str, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> Comparison:
    """Compare two readings of the same cases by a figure of merit, with paired resamples.

    Raises:
        ValueError: when the cases differ, there is no figure of this name, or the data do not define it.
    """
    check_same_cases(first, second)
    one, two = (figure_of_merit_statistic(data, name) for data in (first, second))
    (comparison,) = bootstrap.compare(one, two, first.cohort)
    return comparison


def _hr_auc(data: FreeResponseData) -> PairSample:
    cases, n, rating = np.arange(data.n_cases), data.n_nondiseased, data.highest_rating
    return PairSample(rating[:n], cases[:n], slice(n), rating[n:], cases[n:], np.ones(data.n_diseased), data.n_cases)


def _afroc(data: FreeResponseData, *, weighted: bool, all_cases: bool) -> PairSample:
    n = data.n_cases if all_cases else data.n_nondiseased
    weight = data.lesion_weights if weighted else np.ones(data.n_lesions)
    lesion_case = data.n_nondiseased + data.lesion_case
    return PairSample(
        data.highest_nl[:n], np.arange(n), slice(n), data.lesion_rating, lesion_case, weight, data.n_cases
    )


def _froc(data: FreeResponseData) -> PairSample:
    lesion_case, ones = data.n_nondiseased + data.lesion_case, np.ones(data.n_lesions)
    every = slice(data.n_cases)
    return PairSample(data.nl_rating, data.nl_case, every, data.lesion_rating, lesion_case, ones, data.n_cases)


def _max_llf(data: FreeResponseData) -> CaseRatio:
    healthy = np.zeros(data.n_nondiseased, dtype=np.int64)
    found = np.bincount(data.ll_case, minlength=data.n_diseased)
    return CaseRatio(np.concatenate([healthy, found]), np.concatenate([healthy, data.lesions_per_case]))


def _max_nlf(data: FreeResponseData, *, all_cases: bool) -> CaseRatio:
    counting = np.arange(data.n_cases) < (data.n_cases if all_cases else data.n_nondiseased)
    marks = np.bincount(data.nl_case, minlength=data.n_cases)
    return CaseRatio(marks * counting, counting.astype(np.int64))


def _hr_se(data: FreeResponseData) -> CaseRatio:
    diseased = data.cohort.diseased
    marked = np.isfinite(data.highest_rating) & diseased
    return CaseRatio(marked.astype(np.int64), diseased.astype(np.int64))


def _hr_sp(data: FreeResponseData) -> CaseRatio:
    healthy = ~data.cohort.diseased
    unmarked = ~np.isfinite(data.highest_rating) & healthy
    return CaseRatio(unmarked.astype(np.int64), healthy.astype(np.int64))


_PAIRS: dict[str, Callable[[FreeResponseData], PairSample]] = {
    "Wilcoxon": _hr_auc,  # in ROC data the highest rating of a case is its only one
    "HrAuc": _hr_auc,
    "AFROC": lambda data: _afroc(data, weighted=False, all_cases=False),
    "wAFROC": lambda data: _afroc(data, weighted=True, all_cases=False),
    "AFROC1": lambda data: _afroc(data, weighted=False, all_cases=True),
    "wAFROC1": lambda data: _afroc(data, weighted=True, all_cases=True),
    "FROC": _froc,
}

_RATIOS: dict[str, Callable[[FreeResponseData], CaseRatio]] = {
    "MaxLLF": _max_llf,
    "MaxNLF": lambda data: _max_nlf(data, all_cases=False),
    "MaxNLFAllCases": lambda data: _max_nlf(data, all_cases=True),
    "HrSe": _hr_se,
    "HrSp": _hr_sp,
}

FIGURES_OF_MERIT: tuple[str, ...] = (*_PAIRS, *_RATIOS)
"""Names of all figures of merit."""
