"""Operating curves of free-response data, and FROC sensitivity at fixed false positives per image.

    curve     abscissa at threshold t                     ordinate at threshold t
    ROC       share of non-diseased cases marked >= t     share of diseased cases marked >= t (inferred ROC)
    AFROC     share of non-diseased cases with NL >= t    share of lesions with LL >= t
    wAFROC    as AFROC                                    as AFROC, lesions weighted within their case
    AFROC1    share of all cases with NL >= t             as AFROC
    wAFROC1   as AFROC1                                   as wAFROC
    FROC      NLs >= t per case                           as AFROC

All but FROC end in a straight line from the last observed point to (1, 1), and the area under each equals the
figure of merit of its name (ROC: HrAuc).

Sensitivity at fixed rates is read off the FROC curve, every case being an image. Numbers of images and
lesions come from the data, not from the candidates, so that the last operating point is there also when every
lesion was found (`monai.metrics.froc` 1.6.1 then drops it: it stops at the second lowest rating).

References:
    AAA Setio et al., Med Image Anal 2017 (LUNA16); B Ehteshami Bejnordi et al., JAMA 2017 (CAMELYON16).
    DP Chakraborty, Observer Performance Methods for Diagnostic Imaging, Taylor & Francis 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from medpipe.metrics._arrays import FloatArray, IntArray
from medpipe.metrics.curves import Curve, sweep
from medpipe.metrics.free_response import FreeResponseData, check_same_cases
from medpipe.metrics.intervals import DEFAULT_BOOTSTRAP, Bootstrap, Comparison, Estimate

__all__ = [
    "CAMELYON16_RATES",
    "CURVES",
    "LUNA16_RATES",
    "NODE21_RATES",
    "FrocScore",
    "Interpolation",
    "compare_froc_scores",
    "curve_points",
    "froc_estimates",
    "froc_score",
    "froc_statistic",
    "monai_froc_score",
    "operating_curve",
]

Interpolation = Literal["linear", "step"]

LUNA16_RATES = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
"""False positives per scan of LUNA16; its score, the CPM, is the mean of the seven sensitivities."""
CAMELYON16_RATES = (1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
"""False positives per slide of CAMELYON16; its score is the mean of the six sensitivities."""
NODE21_RATES = (1 / 4,)
"""False positives per image of NODE21."""

CURVES = ("ROC", "AFROC", "wAFROC", "AFROC1", "wAFROC1", "FROC")
"""Names of the operating curves."""


@dataclass(frozen=True)
class FrocScore:
    """Sensitivities at fixed false positives per image.

    Attributes:
        rates: false positives per image.
        sensitivities: lesions found / lesions at each rate; NaN when there is no lesion.
        beyond: for each rate, whether it lies beyond the observed end-point, whose sensitivity it then has.
        mean: mean of the sensitivities (LUNA16: CPM).
        end_point: false positives per image and sensitivity when every mark counts.
        interpolation: ``linear`` between operating points, or ``step``: the best one not above the rate.
        reason: why the sensitivities are NaN; otherwise None.
    """

    rates: tuple[float, ...]
    sensitivities: tuple[float, ...]
    beyond: tuple[bool, ...]
    mean: float
    end_point: tuple[float, float]
    interpolation: Interpolation
    reason: str | None = None


def operating_curve(data: FreeResponseData, name: str) -> Curve:
    """The operating curve called ``name``.

    Args:
        data: marks of one reader in one modality.
        name: one of CURVES.

    Raises:
        ValueError: when there is no such curve, or no case that one of its axes is about.
    """
    if name not in CURVES:
        raise ValueError(f"unknown curve {name!r}; choose from {', '.join(CURVES)}")
    n = data.n_cases if name in _ALL_CASES else data.n_nondiseased
    if n == 0 or data.n_diseased == 0:
        lacking = "diseased" if data.n_diseased == 0 else "non-diseased"
        raise ValueError(f"the {name} curve needs {lacking} cases, and there are none")
    y_rating, y_weight, y_total = _ordinate(data, name)
    x, y, thresholds = sweep(_abscissa(data, name, n), y_rating, y_weight)
    x /= n
    y /= y_total
    return Curve(name, x, y, thresholds, *_LABELS[name], extends=name != "FROC")


def froc_score(
    data: FreeResponseData,
    rates: Sequence[float] = LUNA16_RATES,
    interpolation: Interpolation = "linear",
    curve: Curve | None = None,
) -> FrocScore:
    """Sensitivities at fixed false positives per image.

    Between operating points, ``linear`` interpolates on the points including (0, 0), as LUNA16 and CAMELYON16
    do; of several points above one abscissa the highest counts there. ``step`` takes the largest sensitivity
    whose rate is not above the wanted one, which is the conservative choice. Beyond the last point both stay
    at its sensitivity. Without any candidate the sensitivity is 0; without any false positive it is the
    maximum, at every rate.

    Args:
        data: marks of one reader; every case is an image, those without a mark included.
        rates: false positives per image, not negative.
        interpolation: ``linear`` or ``step``.
        curve: the FROC curve of the data, where it was made already.

    Raises:
        ValueError: for a rate that is negative or not finite, no rate, or an unknown interpolation.
    """
    wanted = _check_rates(rates, interpolation)
    end, last, reason = data.nl_case.size / data.n_cases, math.nan, None
    *values, mean = [math.nan] * (len(rates) + 1)
    if data.n_lesions == 0:
        reason = _NO_LESION
    else:
        curve = operating_curve(data, "FROC") if curve is None else curve
        *values, mean = _read_off(curve.x, curve.y, wanted, interpolation).tolist()
        last = float(curve.y[-1])
    return FrocScore(
        rates=tuple(wanted.tolist()),
        sensitivities=tuple(values),
        beyond=tuple((wanted > end).tolist()),
        mean=mean,
        end_point=(end, last),
        interpolation=interpolation,
        reason=reason,
    )


def monai_froc_score(data: FreeResponseData, rates: Sequence[float] = CAMELYON16_RATES) -> float:
    """The score as ``monai.metrics.froc`` 1.6.1 computes it, to compare with figures that were made with it.

    The same as ``froc_score(...).mean``, but when every lesion was found the lowest operating point is left out: a
    missed lesion stands in MONAI's list with rating 0, and the lowest rating of the list is never a threshold.

    Args:
        data: marks of one reader, with ratings above 0.
        rates: false positives per image.

    Raises:
        ValueError: for a rating that is not above 0, when there is no lesion, or as ``froc_score``.
    """
    wanted = _check_rates(rates, "linear")
    if data.n_lesions == 0:
        raise ValueError(_NO_LESION)
    if min(data.nl_rating.min(initial=np.inf), data.ll_rating.min(initial=np.inf)) <= 0:
        raise ValueError("MONAI tells a missed lesion from a found one by its rating 0: ratings must lie above 0")
    curve = operating_curve(data, "FROC")
    keep = curve.x.size - 1 if data.ll_rating.size == data.n_lesions else curve.x.size
    return float(_read_off(curve.x[:keep], curve.y[:keep], wanted, "linear")[-1])


def froc_estimates(
    data: FreeResponseData,
    rates: Sequence[float] = LUNA16_RATES,
    interpolation: Interpolation = "linear",
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> list[Estimate]:
    """Sensitivity at each rate, and their mean as the last entry, with bootstrap intervals.

    Images and lesions are counted anew in each resample.

    Raises:
        ValueError: as ``froc_score``.
    """
    statistic = froc_statistic(data, rates, interpolation)
    if data.n_lesions == 0:
        return [bootstrap.undefined(data.cohort, _NO_LESION)] * (len(rates) + 1)
    return bootstrap.estimates(statistic, data.cohort)


def compare_froc_scores(
    first: FreeResponseData,
    second: FreeResponseData,
    rates: Sequence[float] = LUNA16_RATES,
    interpolation: Interpolation = "linear",
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> list[Comparison]:
    """Compare two readings of the same cases at each rate and, last, by the mean, with paired resamples.

    Raises:
        ValueError: as ``froc_score``, or when the cases differ or have no lesion.
    """
    check_same_cases(first, second)
    if first.n_lesions == 0:
        raise ValueError(_NO_LESION)
    one, two = (froc_statistic(data, rates, interpolation) for data in (first, second))
    return bootstrap.compare(one, two, first.cohort)


def froc_statistic(
    data: FreeResponseData, rates: Sequence[float], interpolation: Interpolation = "linear"
) -> Callable[[IntArray], FloatArray]:
    """Sensitivity at each rate and their mean, as a function of how often each case is in the sample.

    NaN for a sample without a lesion.

    Raises:
        ValueError: as ``froc_score``.
    """
    wanted = _check_rates(rates, interpolation)
    points = curve_points(data, "FROC")
    return lambda counts: _read_off(*points(counts), wanted, interpolation)


_ALL_CASES = ("AFROC1", "wAFROC1", "FROC")
"""Curves whose abscissa is about all cases, not only the non-diseased ones."""

_NO_LESION = "sensitivity needs lesions, and there are none"

_LESIONS = "share of lesions found"
_WEIGHTED = "share of lesions found, weighted"
_HEALTHY = "share of non-diseased cases with a false positive"
_ALL = "share of all cases with a false positive"
_LABELS = {
    "ROC": ("false positive fraction", "true positive fraction"),
    "AFROC": (_HEALTHY, _LESIONS),
    "wAFROC": (_HEALTHY, _WEIGHTED),
    "AFROC1": (_ALL, _LESIONS),
    "wAFROC1": (_ALL, _WEIGHTED),
    "FROC": ("false positives per image", _LESIONS),
}


def _abscissa(data: FreeResponseData, name: str, n: int) -> FloatArray:
    """Ratings of all NLs, or the highest ones of the first n cases."""
    if name == "FROC":
        return data.nl_rating
    return (data.highest_rating if name == "ROC" else data.highest_nl)[:n]


def _ordinate(data: FreeResponseData, name: str) -> tuple[FloatArray, FloatArray | None, int]:
    """Ratings, their weights (None for 1), and what the sum of weights is divided by."""
    if name == "ROC":
        return data.highest_rating[data.n_nondiseased :], None, data.n_diseased
    if name.startswith("w"):
        return data.lesion_rating, data.lesion_weights, data.n_diseased
    return data.lesion_rating, None, data.n_lesions


def _check_rates(rates: Sequence[float], interpolation: str) -> FloatArray:
    if interpolation not in get_args(Interpolation):
        raise ValueError(f"interpolation must be one of {get_args(Interpolation)}, found {interpolation!r}")
    if not len(rates) or not all(math.isfinite(rate) and rate >= 0 for rate in rates):
        raise ValueError(f"rates must be finite and not negative, at least one; found {list(rates)}")
    return np.asarray(rates, dtype=np.float64)


def _read_off(x: FloatArray, y: FloatArray, rates: FloatArray, interpolation: Interpolation) -> FloatArray:
    """Sensitivity at each rate, and their mean as the last entry."""
    step = y[np.searchsorted(x, rates, side="right") - 1]
    values = np.interp(rates, x, y) if interpolation == "linear" else step
    return np.append(values, values.mean())


def curve_points(data: FreeResponseData, name: str) -> Callable[[IntArray], tuple[FloatArray, FloatArray]]:
    """x and y of the whole line of an operating curve, as a function of how often each case is in the sample.

    Points begin at (0, 0) and, but for FROC, end at (1, 1). They are NaN for a sample that lacks the cases of an axis.

    Raises:
        ValueError: when there is no such curve.
    """
    if name not in CURVES:
        raise ValueError(f"unknown curve {name!r}; choose from {', '.join(CURVES)}")
    x_rating, x_case, x_cases = _abscissa_by_case(data, name)
    y_rating, y_case, y_weight, y_per_case = _ordinate_by_case(data, name)
    x_order, y_order = _falling(x_rating), _falling(y_rating)
    x_case, y_case, y_weight = x_case[x_order], y_case[y_order], y_weight[y_order]
    thresholds = -np.unique(-np.concatenate([x_rating[x_order], y_rating[y_order]]))
    xs = np.append(0, np.searchsorted(-x_rating[x_order], -thresholds, side="right"))
    ys = np.append(0, np.searchsorted(-y_rating[y_order], -thresholds, side="right"))
    end = [] if name == "FROC" else [1.0]

    def points(counts: IntArray) -> tuple[FloatArray, FloatArray]:
        x = np.append(0, np.cumsum(counts[x_case]))[xs]
        y = np.append(0, np.cumsum(counts[y_case] * y_weight))[ys]
        n_x, n_y = counts[x_cases].sum(), (counts * y_per_case).sum()
        if not (n_x and n_y):
            return np.full(x.size + len(end), math.nan), np.full(x.size + len(end), math.nan)
        return np.append(x / n_x, end), np.append(y / n_y, end)

    return points


def _falling(ratings: FloatArray) -> IntArray:
    """Positions of the finite ratings, the highest first."""
    finite = np.flatnonzero(np.isfinite(ratings))
    order: IntArray = finite[np.argsort(-ratings[finite], kind="stable")]
    return order


def _abscissa_by_case(data: FreeResponseData, name: str) -> tuple[FloatArray, IntArray, slice]:
    """Ratings of the abscissa, the case of each, and the cases that it is about."""
    n = data.n_cases if name in _ALL_CASES else data.n_nondiseased
    rating = _abscissa(data, name, n)
    return rating, data.nl_case if name == "FROC" else np.arange(n), slice(n)


def _ordinate_by_case(data: FreeResponseData, name: str) -> tuple[FloatArray, IntArray, FloatArray, FloatArray]:
    """Ratings of the ordinate, the case and weight of each, and how much every case adds to the denominator."""
    rating, weight, _ = _ordinate(data, name)
    diseased = np.arange(data.n_nondiseased, data.n_cases)
    case = diseased if name == "ROC" else data.n_nondiseased + data.lesion_case
    per_case = np.zeros(data.n_cases)
    per_case[diseased] = 1.0 if name == "ROC" or weight is not None else data.lesions_per_case
    return rating, case, np.ones(rating.size) if weight is None else weight, per_case
