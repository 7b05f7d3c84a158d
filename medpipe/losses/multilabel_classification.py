"""Training logit maps from image labels of several classes.

The setting is the chest X-ray classifier of "Learning Visual Context by Comparison" (M Kim et al., ECCV 2020,
https://arxiv.org/abs/2007.07506) and of its code, https://github.com/mk-minchul/attend-and-compare: plain binary
cross-entropy over images and classes, and an orthogonality term. Weights of positives and unknown labels are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .orthogonality import OrthogonalityLoss

__all__ = ["MultilabelClassificationLoss"]


class MultilabelClassificationLoss(nn.Module):
    """``classification + orthogonality_weight * orthogonality``.

    - classification: binary cross-entropy between the pooled logit of each class and its label, mean over all images and
      classes whose label is known; 0 where none is.
    - orthogonality: see ``OrthogonalityLoss``; absent where the prediction is a plain tensor (evaluation).

    Args:
        pool: From maps (B, C, h, w) to logits (B, C), such as ``medpipe.networks.acm.image_logits``.
        positive_weights: Weight of the positive images of each class; None for 1.
        orthogonality_weight: The paper's lambda, at least 0.
        orthogonality_form: ``abs_total``, ``abs_each`` or ``raw``.

    Raises:
        ValueError: A weight is negative, or the form is unknown.
    """

    positive_weights: Tensor | None

    def __init__(
        self,
        pool: Callable[[Tensor], Tensor],
        positive_weights: Sequence[float] | None = None,
        orthogonality_weight: float = 0.1,
        orthogonality_form: str = "abs_total",
    ) -> None:
        super().__init__()
        if orthogonality_weight < 0 or (positive_weights is not None and min(positive_weights) < 0):
            raise ValueError(f"weights must be at least 0, found {orthogonality_weight} and {positive_weights}")
        self.pool = pool
        self.orthogonality_weight = orthogonality_weight
        self.orthogonality = OrthogonalityLoss(orthogonality_form)
        weights = None if positive_weights is None else torch.tensor(list(positive_weights), dtype=torch.float32)
        self.register_buffer("positive_weights", weights, persistent=False)

    def forward(self, prediction: Tensor | Mapping[str, Tensor], labels: Tensor) -> Tensor:
        """The weighted sum, a scalar.

        Args:
            prediction: Logit maps (B, C, h, w); or the dictionary of a network in training: ``logits``,
                ``orthogonality`` (B,) and, for ``abs_each``, ``orthogonality_per_module`` (B, M).
            labels: (B, C): 0, 1, or NaN where unknown.

        Raises:
            ValueError: A shape does not fit.
        """
        if isinstance(prediction, Tensor):
            return self._classification(prediction, labels)
        key = "orthogonality_per_module" if self.orthogonality.form == "abs_each" else "orthogonality"
        loss = self._classification(prediction["logits"], labels)
        return loss + self.orthogonality_weight * self.orthogonality(prediction[key])

    def _classification(self, maps: Tensor, labels: Tensor) -> Tensor:
        if maps.ndim != 4 or tuple(labels.shape) != tuple(maps.shape[:2]):
            raise ValueError(f"expected maps (B, C, h, w) and labels (B, C), found {maps.shape} and {labels.shape}")
        logits = self.pool(maps.float())
        known = ~labels.isnan()
        target = torch.where(known, labels, 0.0).to(logits)
        weights = None if self.positive_weights is None else self.positive_weights.to(logits)
        terms = F.binary_cross_entropy_with_logits(logits, target, pos_weight=weights, reduction="none")
        return torch.where(known, terms, 0.0).sum() / known.sum().clamp(min=1)
