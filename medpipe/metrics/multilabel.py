"""Areas under the ROC curve of several labels, with intervals: of each class, and of their mean.

A label may be unknown (NaN); the case is then left out for this class. A class without a positive or without a negative
case has no area: it is NaN with a reason, is listed, and is left out of the mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from medpipe.metrics._arrays import BoolArray, FloatArray, IntArray
from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.intervals import DEFAULT_BOOTSTRAP, Bootstrap, Cohort, Estimate
from medpipe.metrics.jafroc import figure_of_merit_analytic, figure_of_merit_statistic
from medpipe.metrics.roc import auc_estimate

__all__ = ["ClassAuc", "MultilabelEstimates", "multilabel_estimates", "multilabel_mean_statistic"]


@dataclass(frozen=True)
class ClassAuc:
    """One class: numbers of its positive and negative cases, and its area with an interval."""

    name: str
    positives: int
    negatives: int
    auc: Estimate


@dataclass(frozen=True)
class MultilabelEstimates:
    """All classes, and the unweighted mean over those that have an area.

    Attributes:
        classes: in the order given.
        mean: with a bootstrap interval over patients.
        undefined: names of the classes without an area.
    """

    classes: tuple[ClassAuc, ...]
    mean: Estimate
    undefined: tuple[str, ...]


def multilabel_estimates(
    scores: ArrayLike,
    labels: ArrayLike,
    names: Sequence[str],
    patients: Sequence[str] | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> MultilabelEstimates:
    """Area of each class and their mean.

    With one image per patient a class has DeLong's interval, otherwise one of structural components added up by patient.

    Args:
        scores: (cases, classes), finite.
        labels: (cases, classes), 0 or 1, NaN where unknown.
        names: one per class.
        patients: patient of each case; None when every case is a patient of its own.
        bootstrap: how the interval of the mean is made; its level holds for all.

    Raises:
        ValueError: when shapes or names do not fit, a score is not finite, or a label is neither 0, 1 nor NaN.
    """
    values, truth = _checked(scores, labels, names)
    if patients is not None and len(patients) != values.shape[0]:
        raise ValueError(f"{len(patients)} patient labels for {values.shape[0]} cases")
    classes = []
    for k, name in enumerate(names):
        known = np.flatnonzero(~np.isnan(truth[:, k]))
        positive = truth[known, k] == 1
        counts = int(positive.sum()), int((~positive).sum())
        group = None if patients is None else [patients[i] for i in known.tolist()]
        classes.append(ClassAuc(name, *counts, _area(values[known, k], positive, group, bootstrap.level)))
    undefined = tuple(entry.name for entry in classes if math.isnan(entry.auc.value))
    cohort = Cohort((truth == 1).any(axis=1), patients, stratified=False)  # no class is "the" disease
    if len(undefined) == len(classes):
        mean = bootstrap.undefined(cohort, "no class has both positive and negative cases")
    else:
        mean = bootstrap.estimate(multilabel_mean_statistic(values, truth), cohort)
    return MultilabelEstimates(tuple(classes), mean, undefined)


def multilabel_mean_statistic(scores: FloatArray, labels: FloatArray) -> Callable[[IntArray], float]:
    """Mean area over the classes that have one, as a function of how often each case is in the sample.

    NaN for a sample that lacks one of these classes (it would average others) and where no class has an area.

    Args:
        scores: (cases, classes).
        labels: (cases, classes), 0 or 1, NaN where unknown.
    """
    statistics = []
    for k in range(scores.shape[1]):
        known = np.flatnonzero(~np.isnan(labels[:, k]))
        positive = labels[known, k] == 1
        if positive.any() and not positive.all():
            statistics.append(_statistic(scores[known, k], positive, known))
    return lambda counts: float(np.mean([of_class(counts) for of_class in statistics])) if statistics else math.nan


def _area(scores: FloatArray, positive: BoolArray, patients: list[str] | None, level: float) -> Estimate:
    both = bool(positive.any()) and not bool(positive.all())
    if not both or patients is None or len(set(patients)) == len(patients):
        return auc_estimate(scores, positive, level)
    return figure_of_merit_analytic(FreeResponseData.from_scores(scores, positive, patients), "Wilcoxon", level)


def _statistic(scores: FloatArray, positive: BoolArray, known: IntArray) -> Callable[[IntArray], float]:
    """The area of one class as a function of how often each case of all is in the sample."""
    order = known[np.argsort(positive, kind="stable")]
    of_class = figure_of_merit_statistic(FreeResponseData.from_scores(scores, positive), "Wilcoxon")
    return lambda counts: of_class(counts[order])


def _checked(scores: ArrayLike, labels: ArrayLike, names: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if values.ndim != 2 or values.shape != truth.shape or not values.shape[0]:
        raise ValueError(f"scores and labels must both be (cases, classes), found {values.shape} and {truth.shape}")
    if len(names) != values.shape[1] or len(set(names)) != len(names):
        raise ValueError(f"{values.shape[1]} classes need as many different names, found {list(names)}")
    if not np.isfinite(values).all():
        raise ValueError("scores must be finite")
    wrong = ~(np.isnan(truth) | (truth == 0) | (truth == 1))
    if wrong.any():
        raise ValueError(f"labels must be 0, 1 or NaN (unknown), found {truth[wrong][0]:g}")
    return values, truth
