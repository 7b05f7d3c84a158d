"""Scores of any scale to probabilities: a logistic curve through what came true (Platt scaling).

    fit_logistic     slope and intercept of P(true) = 1 / (1 + exp(-(slope score + intercept)))
    cross_fitted     probabilities of cases from curves that were fitted without them, and without others of their group

References:
    J Platt, Probabilistic outputs for support vector machines, 1999, whose smoothed targets keep the curve finite where scores
    separate right from wrong; H-T Lin, C-J Lin, RC Weng, A note on Platt's probabilistic outputs, Machine Learning 2007.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from medpipe.metrics._arrays import BoolArray, FloatArray, binary_array, check_finite, float_vector

__all__ = ["cross_fitted", "fit_logistic"]


def fit_logistic(scores: ArrayLike, outcomes: ArrayLike) -> tuple[float, float]:
    """Slope and intercept of the curve that makes the outcomes most likely, with Platt's targets in place of 0 and 1.

    Args:
        scores: One per case, finite.
        outcomes: One 0 or 1 per case.

    Raises:
        ValueError: There is no case, lengths differ, or a score is not finite.
    """
    values, true = _checked(scores, outcomes)
    return _fit(values, true)


def cross_fitted(
    scores: ArrayLike, outcomes: ArrayLike, groups: Sequence[str], *, folds: int = 5, seed: int = 0
) -> FloatArray:
    """The probability of each case by a curve fitted on the other folds; a group is in one fold.

    Args:
        scores: As for ``fit_logistic``.
        outcomes: As for ``fit_logistic``.
        groups: Of each case, such as its image.
        folds: At most; as many as groups where there are fewer.
        seed: Of the division.

    Raises:
        ValueError: As ``fit_logistic``; also where there are fewer than two groups.
    """
    values, true = _checked(scores, outcomes)
    names = sorted(set(groups))
    if len(groups) != values.size or len(names) < 2:
        raise ValueError(f"{values.size} scores need as many groups, two different ones or more; found {len(names)}")
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[place]: number % folds for number, place in enumerate(order.tolist())}
    place = np.array([fold_of[group] for group in groups])
    found = np.empty(values.size)
    for fold in range(min(folds, len(names))):
        slope, intercept = _fit(values[place != fold], true[place != fold])
        found[place == fold] = _logistic(slope * values[place == fold] + intercept)
    return found


def _checked(scores: ArrayLike, outcomes: ArrayLike) -> tuple[FloatArray, BoolArray]:
    values, true = float_vector(scores, "scores"), binary_array(outcomes, "outcomes")
    check_finite(values, "scores")
    if not values.size or values.shape != true.shape:
        raise ValueError(f"expected scores and as many outcomes, found {values.size} and {true.size}")
    return values, true


def _fit(values: FloatArray, true: BoolArray) -> tuple[float, float]:
    from scipy.optimize import minimize

    right = int(true.sum())
    targets = np.where(true, (right + 1) / (right + 2), 1 / (true.size - right + 2))
    centre, spread = float(values.mean()), float(values.std()) or 1.0
    scaled = (values - centre) / spread  # so that one step suits all scales

    def loss(curve: FloatArray) -> tuple[float, FloatArray]:
        linear = curve[0] * scaled + curve[1]
        excess = _logistic(linear) - targets
        return float((np.logaddexp(0, linear) - targets * linear).sum()), np.array(
            [(excess * scaled).sum(), excess.sum()]
        )

    slope, intercept = minimize(loss, np.zeros(2), jac=True, method="BFGS", options={"gtol": 1e-8}).x.tolist()
    return slope / spread, intercept - slope * centre / spread


def _logistic(linear: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (1 + np.tanh(linear / 2)))  # which cannot overflow
