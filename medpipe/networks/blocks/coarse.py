"""Registration at half the size of the images: an eighth of the work, for fields that are smooth."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .cascade import Cascade, Registration
from .displacement import resample_field
from .fused_warp import halve, resample_and_warp
from .warp import warp

__all__ = ["CoarseRegistration"]


class CoarseRegistration(nn.Module):
    """Runs a cascade on images averaged over 2 x 2 x 2 voxels, and warps the full moving image once by its field.

    Unlike ``half_resolution`` of the cascade, the networks themselves see the small images.

    Args:
        network: Cascade for images of half the size.
    """

    def __init__(self, network: Cascade) -> None:
        super().__init__()
        self.network = network

    def forward(self, fixed: Tensor, moving: Tensor, *, stages: bool = True) -> Registration:
        """Register a batch of pairs (B, 1, X, Y, Z), sizes even.

        Args:
            fixed: Intensities in [0, 1].
            moving: Likewise.
            stages: Return what every stage did, at half the size.

        Returns:
            ``warped`` and ``field`` on the full grid, the rest on the small one.

        Raises:
            ValueError: A size is odd.
        """
        shape = tuple(fixed.shape[2:])
        if any(size % 2 for size in shape):
            raise ValueError(f"expected images of even sizes, found {shape}")
        moving = moving if type(moving) is Tensor else moving.as_subclass(Tensor)
        fixed = fixed if type(fixed) is Tensor else fixed.as_subclass(Tensor)
        fuses = self.network.fuses(moving) and self.network.fuses(fixed)
        small = [halve(volume) if fuses else F.avg_pool3d(volume, 2) for volume in (fixed, moving)]
        found = self.network(*small, stages=stages)
        if fuses:
            field, warped = resample_and_warp(found.field, shape, moving)
        else:
            field = resample_field(found.field, shape, align_corners=False)
            warped = warp(moving, field)
        return found._replace(warped=warped, field=field)
