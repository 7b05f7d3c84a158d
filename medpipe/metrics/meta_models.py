"""How good meta-learned models are together: right on held-out images, and different from each other.

Of MMQ (T Do et al., "Multiple Meta-model Quantifying for Medical Visual Question Answering", MICCAI 2021,
https://arxiv.org/abs/2105.08913). Of an image, model c has ``S_c = g p_c + (1 - g) D_c``, where p_c is its probability of the true
class and ``D_c`` the sum over the other models j of ``1 - cos(F_c, F_j)`` of their features. The authors' code for VQA-RAD takes
tanh of D_c. A model's score is the mean over images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SELECTIONS", "ModelScores", "chosen_models", "model_scores"]

SELECTIONS = ("fuse", "accuracy", "last", "all")

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ModelScores:
    """Means over images, of each model (models,).

    Attributes:
        probability: Of the true class.
        diversity: D_c, after tanh where that is asked for.
        fuse: S_c.
    """

    probability: _Floats
    diversity: _Floats
    fuse: _Floats


def model_scores(probabilities: _Floats, features: _Floats, *, weight: float, squash: bool) -> ModelScores:
    """Score models on the same images.

    Args:
        probabilities: (models, images), of the true class.
        features: (models, images, numbers); one without length is like no other.
        weight: g, from 0 to 1; 1 leaves the probability alone.
        squash: Take tanh of the diversity.

    Raises:
        ValueError: Shapes disagree, there is no model or image, or the weight is out of range.
    """
    p, f = np.asarray(probabilities, np.float64), np.asarray(features, np.float64)
    if p.ndim != 2 or f.ndim != 3 or p.shape != f.shape[:2] or not p.size:
        raise ValueError(f"expected (models, images) and (models, images, numbers), found {p.shape} and {f.shape}")
    if not 0 <= weight <= 1:
        raise ValueError(f"the weight of the probability must be from 0 to 1, found {weight}")
    lengths = np.linalg.norm(f, axis=2, keepdims=True)
    unit = np.divide(f, lengths, out=np.zeros_like(f), where=lengths > 0)
    cosines = np.clip(np.einsum("mid,nid->imn", unit, unit), -1, 1)  # (images, models, models)
    apart = (1 - cosines) * (1 - np.eye(len(p)))
    diversity = apart.sum(axis=2).T  # (models, images)
    diversity = np.tanh(diversity) if squash else diversity
    fuse = weight * p + (1 - weight) * diversity
    return ModelScores(p.mean(axis=1), diversity.mean(axis=1), fuse.mean(axis=1))


def chosen_models(scores: ModelScores, count: int, selection: str = "fuse") -> list[int]:
    """The numbers of the models that are kept, best first; of equal ones the earlier.

    The choice of fewer is the beginning of the choice of more.

    Args:
        scores: Of the models, in order of their rounds.
        count: How many; without influence on ``all``.
        selection: ``fuse``; ``accuracy``, the probability alone; ``last``, the rounds that came last, the latest first; ``all``, by
            ``fuse``.

    Raises:
        ValueError: The selection is unknown, or there are not so many models.
    """
    models = len(scores.fuse)
    if selection not in SELECTIONS:
        raise ValueError(f"unknown selection {selection!r}, expected one of: {', '.join(SELECTIONS)}")
    count = models if selection == "all" else count
    if not 1 <= count <= models:
        raise ValueError(f"{count} of {models} models cannot be chosen")
    if selection == "last":
        return list(range(models))[::-1][:count]
    by = scores.probability if selection == "accuracy" else scores.fuse
    return np.argsort(-by, kind="stable")[:count].tolist()  # type: ignore[no-any-return]
