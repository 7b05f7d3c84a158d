"""Overlap of the fixed labels with the warped moving ones, as weak supervision of a registration.

G. Balakrishnan et al., "VoxelMorph: a learning framework for deformable medical image registration", IEEE TMI 2019,
https://arxiv.org/abs/1809.05231, section III-D.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medpipe.networks.blocks.warp import warp

__all__ = ["WarpedLabelLoss"]


class WarpedLabelLoss(nn.Module):
    """One minus the mean Dice of labels, each warped on its own by linear interpolation.

    Args:
        labels: Which; by default all labels of the fixed maps but 0.
        most: At most so many of them at a time, drawn at random: each costs a warp.

    Raises:
        ValueError: ``most`` is not positive.
    """

    def __init__(self, labels: Sequence[int] | None = None, *, most: int = 6) -> None:
        super().__init__()
        if most < 1:
            raise ValueError(f"most must be at least 1, found {most}")
        self.labels = None if labels is None else [int(label) for label in labels]
        self.most = most

    def forward(self, field: Tensor, fixed: Tensor, moving: Tensor) -> Tensor:
        """The loss, a scalar in [0, 1]; 0 where there is no label.

        Args:
            field: (B, 3, X, Y, Z).
            fixed: Label maps (B, 1, X, Y, Z), whole numbers.
            moving: Likewise. A label that a pair has in neither map does not count for it.
        """
        labels = torch.unique(fixed) if self.labels is None else torch.tensor(self.labels, device=fixed.device)
        labels = labels[labels > 0]
        if len(labels) > self.most:
            labels = labels[torch.randperm(len(labels))[: self.most].to(labels.device)]
        if not len(labels):
            return field.sum() * 0
        values = labels.view(1, -1, 1, 1, 1)
        ours, theirs = ((volume == values).to(field.dtype) for volume in (fixed, moving))
        warped = warp(theirs, field)
        common, total = ((volume.flatten(2)).sum(dim=2) for volume in (ours * warped, ours + warped))
        there = (ours.flatten(2).amax(dim=2) + theirs.flatten(2).amax(dim=2)) > 0
        dice = (2 * common + _SMOOTH) / (total + _SMOOTH)
        return (1 - dice)[there].mean() if bool(there.any()) else field.sum() * 0


_SMOOTH = 1.0
"""A voxel, so that a label of a few voxels that misses still has a bounded gradient."""
