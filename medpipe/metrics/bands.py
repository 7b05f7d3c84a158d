"""Confidence bands of operating curves: at each abscissa the interval of the ordinate over resampled patients.

The band is pointwise: 95 % of the intervals cover, not 95 % of whole curves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from medpipe.metrics._arrays import FloatArray, IntArray
from medpipe.metrics.curves import Curve
from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.froc import curve_points
from medpipe.metrics.intervals import Bootstrap, Cohort

__all__ = ["Band", "curve_band", "few_resamples", "free_response_band"]

_PLACES = 101
_WORK = 20_000_000
_FEWEST = 200


def few_resamples(bootstrap: Bootstrap, n_cases: int) -> Bootstrap:
    """The same bootstrap with fewer resamples on large samples, whose bands are narrow and smooth anyway.

    As many as draw 20 million cases in all, but at least 200 and at most those asked for.
    """
    return replace(bootstrap, n_resamples=min(bootstrap.n_resamples, max(_FEWEST, _WORK // max(n_cases, 1))))


@dataclass(frozen=True, eq=False)
class Band:
    """A pointwise confidence band.

    Attributes:
        x: abscissae, rising.
        low, high: limits of the ordinate there; NaN where no resample has one.
        level: nominal coverage of each interval.
        method: how it was made.
        n: number of patients.
    """

    x: FloatArray
    low: FloatArray
    high: FloatArray
    level: float
    method: str
    n: int


def free_response_band(data: FreeResponseData, curve: Curve, bootstrap: Bootstrap) -> Band | None:
    """The band of an operating curve of free-response data; None where resamples do not vary.

    Args:
        data: what the curve was made from.
        curve: as ``operating_curve`` returns it.
        bootstrap: how patients are drawn.
    """
    return curve_band(curve_points(data, curve.name), curve, data.cohort, bootstrap)


def curve_band(
    points: Callable[[IntArray], tuple[FloatArray, FloatArray]], curve: Curve, cohort: Cohort, bootstrap: Bootstrap
) -> Band | None:
    """The band of any curve whose points can be had from how often each case is in the sample.

    Args:
        points: from counts to x and y of the whole line, x rising.
        curve: the curve on the sample itself; the band reaches as far as its line.
        cohort: the cases.
        bootstrap: how patients are drawn.

    Returns:
        None when a group of one patient leaves nothing to resample.
    """
    if 1 in cohort.strata:
        return None
    x = np.linspace(0.0, float(curve.line()[0].max()) or 1.0, _PLACES)

    def ordinates(counts: IntArray) -> FloatArray:
        line_x, line_y = points(counts)
        if curve.steps:
            place = np.minimum(np.searchsorted(line_x, x - 1e-12), line_x.size - 1)
            return np.where(x <= line_x[-1] + 1e-12, line_y[place], np.nan)
        return np.interp(x, line_x, line_y)

    replicates = bootstrap.replicates(ordinates, cohort)
    tail = (1 - bootstrap.level) / 2
    low, high = np.full(x.size, np.nan), np.full(x.size, np.nan)
    defined = ~np.isnan(replicates).all(axis=0)
    low[defined], high[defined] = np.nanquantile(replicates[:, defined], (tail, 1 - tail), axis=0)
    method = (
        f"pointwise percentile interval of {bootstrap.n_resamples} resamples of {cohort.n_patients} patients,"
        f" seed {bootstrap.seed}"
    )
    return Band(x, low, high, bootstrap.level, method, cohort.n_patients)
