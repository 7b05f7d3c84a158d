"""The unsupervised loss of a registration cascade: alike images, smooth fields, a nearly rigid affine.

S Zhao et al., "Recursive Cascaded Networks for Unsupervised Medical Image Registration", ICCV 2019,
https://arxiv.org/abs/1907.12353.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from medpipe.networks.blocks.cascade import Registration
from medpipe.networks.choices import choose

from .affine_regularity import AffineDeterminantLoss, AffineOrthogonalityLoss
from .field_smoothness import FieldSmoothnessLoss
from .volume_similarity import volume_similarity

__all__ = ["SIMILARITY_ON", "RegistrationLoss"]

SIMILARITY_ON = ("last", "all")


class RegistrationLoss(nn.Module):
    """Similarity of the warped image, smoothness of each dense stage's own field, regularity of the affine.

    Args:
        similarity: A name of ``medpipe.losses.volume_similarity``.
        similarity_args: Options of that loss.
        similarity_on: ``last``: the final warped image alone, as in the recursive cascades; ``all``: the sum over the
            images after every stage, as in the volume tweening network.
        smoothness: Weight of the smoothness of the stages' fields, summed over the stages.
        determinant: Weight of the determinant loss of an initial affine.
        orthogonality: Weight of its orthogonality loss.

    Raises:
        ValueError: A name is unknown, or a weight is negative.
    """

    def __init__(
        self,
        *,
        similarity: str = "pearson",
        similarity_args: Mapping[str, Any] | None = None,
        similarity_on: str = "last",
        smoothness: float = 1.0,
        determinant: float = 0.1,
        orthogonality: float = 0.1,
    ) -> None:
        super().__init__()
        self.weights = {
            "similarity": 1.0,
            "smoothness": smoothness,
            "determinant": determinant,
            "orthogonality": orthogonality,
        }
        if min(self.weights.values()) < 0:
            raise ValueError(f"weights must not be negative, found {self.weights}")
        self.similarity = volume_similarity(similarity, **(similarity_args or {}))
        self.similarity_on = choose("similarity_on", similarity_on, SIMILARITY_ON)
        self.smoothness = FieldSmoothnessLoss()
        self.determinant = AffineDeterminantLoss()
        self.orthogonality = AffineOrthogonalityLoss()

    def forward(self, result: Registration, fixed: Tensor) -> Tensor:
        """The weighted sum of ``parts``, a scalar."""
        return torch.stack([self.weights[name] * value for name, value in self.parts(result, fixed).items()]).sum()

    def parts(self, result: Registration, fixed: Tensor) -> dict[str, Tensor]:
        """The terms without their weights: ``similarity``, ``smoothness``, with an affine its two; all scalars.

        Args:
            result: What the cascade returned, with its stages.
            fixed: (B, 1, X, Y, Z).
        """
        images = [result.warped] if self.similarity_on == "last" else list(result.images)
        parts = {"similarity": torch.stack([self.similarity(image, fixed) for image in images]).sum()}
        if result.stage_fields:
            parts["smoothness"] = torch.stack([self.smoothness(field) for field in result.stage_fields]).sum()
        if result.affine is not None:
            parts["determinant"] = self.determinant(result.affine.weight)
            parts["orthogonality"] = self.orthogonality(result.affine.weight)
        return parts
