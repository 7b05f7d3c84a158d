"""Smoothness of displacement fields, as in the recursive cascades.

S Zhao et al., ICCV 2019, https://arxiv.org/abs/1907.12353, and their code: forward differences and half the sum of
squares. MONAI's ``DiffusionLoss`` takes central differences and the mean.
"""

from __future__ import annotations

from torch import Tensor, nn

from medpipe.networks.blocks.fused_gradients import roughness

__all__ = ["FieldSmoothnessLoss"]


class FieldSmoothnessLoss(nn.Module):
    """``1 / (3 N)`` times half the sum of squared forward differences of all components along all three axes.

    N is the number of voxels. Averaged over the batch.
    """

    def forward(self, field: Tensor) -> Tensor:
        """The loss of fields (B, 3, X, Y, Z) in voxels, a scalar.

        Raises:
            ValueError: The shape is another.
        """
        if field.ndim != 5 or field.shape[1] != 3:
            raise ValueError(f"expected displacement fields (B, 3, X, Y, Z), found {tuple(field.shape)}")
        return roughness(field)
