"""Bootstrap of a reader study: patients drawn anew, the same ones for all readings; readers too when asked for.

A resample draws patients with and without disease separately (see ``intervals``), and every reading is evaluated on
it, so that differences are paired. Drawing readers as well generalises to other readers; with few of them it is
rough. Results depend on the seed and the data alone.

References:
    B Efron, RJ Tibshirani, An Introduction to the Bootstrap, 1993.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from medpipe.metrics._arrays import FloatArray, IntArray
from medpipe.metrics.intervals import DEFAULT_BOOTSTRAP, Bootstrap, Comparison, Estimate
from medpipe.metrics.jafroc import figure_parts
from medpipe.metrics.reader_study import ReaderStudy

__all__ = ["ReaderBootstrap", "bootstrap_covariance", "bootstrap_reader_study", "study_replicates"]

_COUNTS_AT_ONCE = 1 << 17  # numbers in a block of resamples: small enough to stay in the cache


@dataclass(frozen=True)
class ReaderBootstrap:
    """Estimates of one figure of merit with bootstrap intervals.

    Attributes:
        figures: of every reading, [modality][reader]; readers are not drawn here.
        modality_means: means over readers.
        differences: of the means of all pairs of modalities, in the order (1, 2), (1, 3), ...
    """

    figures: tuple[tuple[Estimate, ...], ...]
    modality_means: tuple[Estimate, ...]
    differences: tuple[Comparison, ...]


def bootstrap_reader_study(
    study: ReaderStudy, name: str, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP, *, draw_readers: bool = False
) -> ReaderBootstrap:
    """Figures of merit, their means over readers and differences of modalities, with bootstrap intervals.

    Args:
        study: the readings.
        name: of the figure of merit.
        bootstrap: number of resamples, seed, level, and kind of interval (percentile or basic).
        draw_readers: whether each resample also draws readers, the same ones in all modalities.

    Returns:
        Estimates; the p value of a difference is twice the smaller share of differences on one side of zero, each
        share (b + 1)/(B + 1).

    Raises:
        ValueError: when the figure is undefined, or readers are to be drawn and there is only one.
    """
    if draw_readers and study.n_readers < 2:
        raise ValueError("drawing readers needs at least two, found 1")
    figures, replicates, cohort = study.figures(name), study_replicates(study, name, bootstrap), study.cohort
    each = tuple(
        tuple(bootstrap.summary(float(figures[i, j]), replicates[:, i, j], cohort) for j in range(study.n_readers))
        for i in range(study.n_modalities)
    )
    means, drawn = figures.mean(axis=1).tolist(), _mean_replicates(replicates, bootstrap, draw_readers)
    comparisons = [
        bootstrap.comparison((means[a], means[b]), (drawn[:, a], drawn[:, b]), cohort)
        for a, b in combinations(range(study.n_modalities), 2)
    ]
    summaries = [bootstrap.summary(mean, drawn[:, i], cohort) for i, mean in enumerate(means)]
    note = f", {study.n_readers} readers drawn too" if draw_readers else ""
    return ReaderBootstrap(
        each,
        tuple(_noted(estimate, note) for estimate in summaries),
        tuple(
            Comparison(_noted(c.first, note), _noted(c.second, note), _noted(c.difference, note), c.p)
            for c in comparisons
        ),
    )


def study_replicates(study: ReaderStudy, name: str, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP) -> FloatArray:
    """The figure of merit of every reading on every resample of patients, shape (resamples, modalities, readers).

    NaN where a resample lacks the cases that the figure needs.

    Raises:
        ValueError: when there is no figure of this name, or a reading does not define it.
    """
    parts = [figure_parts(reading, name) for row in study.readings for reading in row]
    cohort, n = study.cohort, bootstrap.n_resamples
    replicates, block = np.empty((n, len(parts))), max(1, _COUNTS_AT_ONCE // study.n_cases)
    for first in range(0, n, block):
        numbers = range(first, min(first + block, n))
        counts = np.stack([cohort.counts(bootstrap.seed, number) for number in numbers])
        for column, part in enumerate(parts):
            replicates[numbers.start : numbers.stop, column] = part.figures(counts)
    return replicates.reshape(n, study.n_modalities, study.n_readers)


def bootstrap_covariance(study: ReaderStudy, name: str, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP) -> FloatArray:
    """Covariance matrix of a figure of merit over resamples of patients, (n, n), reading (i, j) in row i * readers + j.

    Raises:
        ValueError: when the figure is undefined, a group of patients has only one, or fewer than two resamples define
            the figure.
    """
    if 1 in study.cohort.strata:
        raise ValueError("the bootstrap covariance needs at least two patients with and two without disease")
    replicates = study_replicates(study, name, bootstrap).reshape(bootstrap.n_resamples, -1)
    defined = replicates[~np.isnan(replicates).any(axis=1)]
    if len(defined) < 2:
        raise ValueError(f"{len(defined)} of {bootstrap.n_resamples} resamples define {name}; a covariance needs two")
    deviations = defined - defined.mean(axis=0)
    covariance: FloatArray = deviations.T @ deviations / (len(defined) - 1)
    return covariance


def _mean_replicates(replicates: FloatArray, bootstrap: Bootstrap, draw_readers: bool) -> FloatArray:
    """Means over readers, shape (resamples, modalities)."""
    if not draw_readers:
        means: FloatArray = replicates.mean(axis=2)
        return means
    n = replicates.shape[2]
    drawn = np.stack([_draw(bootstrap.seed, number, n) for number in range(len(replicates))])
    chosen: FloatArray = np.take_along_axis(replicates, drawn[:, None, :], axis=2).mean(axis=2)
    return chosen


def _draw(seed: int, replicate: int, n: int) -> IntArray:
    # A stream of its own beside that of the patients, so that these are the same with and without drawn readers.
    stream = np.random.SeedSequence(seed, spawn_key=(replicate, 1))
    return np.random.Generator(np.random.PCG64(stream)).integers(0, n, n)


def _noted(estimate: Estimate, note: str) -> Estimate:
    return replace(estimate, method=estimate.method + note)
