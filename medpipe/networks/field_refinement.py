"""Refinement of a displacement field for one pair by a few gradient steps, as the winners of Learn2Reg do.

A Hering et al., "Learn2Reg: comprehensive multi-task medical image registration challenge, dataset and evaluation in the
era of deep learning", IEEE TMI 2022. What is optimised is a correction on a coarse lattice, interpolated linearly, which
is added to the field; so seconds buy similarity, and single voxels cannot fold.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks.displacement import jacobian_determinant
from .blocks.warp import warp

__all__ = ["FieldRefinement"]

_HALVINGS = 4


class FieldRefinement(nn.Module):
    """Adam on a lattice of corrections to a field.

    Args:
        similarity: Loss of (warped, fixed).
        smoothness: Loss of a field (B, 3, X, Y, Z) in voxels.
        steps: Gradient steps; 0 leaves the field as it is.
        weight: Of the smoothness of the whole field. A tenth of training's: at 1 a large correction is drawn back to none,
            and folds are refused in any case.
        rate: Step size in voxels.
        spacing: Voxels between the points of the lattice.

    Raises:
        ValueError: A number is out of range.
    """

    def __init__(
        self,
        similarity: Callable[[Tensor, Tensor], Tensor],
        smoothness: Callable[[Tensor], Tensor],
        *,
        steps: int = 0,
        weight: float = 0.1,
        rate: float = 0.1,
        spacing: int = 4,
    ) -> None:
        super().__init__()
        if steps < 0 or weight < 0 or rate <= 0 or spacing < 1:
            raise ValueError(
                f"steps and weight must not be negative, rate and spacing positive; got {steps}, {weight}, {rate}, {spacing}"
            )
        self.similarity, self.smoothness = similarity, smoothness
        self.steps, self.weight, self.rate, self.spacing = steps, weight, rate, spacing

    def forward(self, fixed: Tensor, moving: Tensor, field: Tensor) -> Tensor:
        """A field under which the pair is no less alike, and which folds nowhere that the given one did not.

        Args:
            fixed: (1, 1, X, Y, Z).
            moving: (1, 1, X, Y, Z).
            field: (1, 3, X, Y, Z) in voxels.
        """
        if not self.steps:
            return field
        field = field.detach()
        with torch.enable_grad():
            correction = self._optimised(fixed, moving, field)
        return self._accepted(fixed, moving, field, correction)

    def _optimised(self, fixed: Tensor, moving: Tensor, field: Tensor) -> Tensor:
        sizes = [max(2, -(-n // self.spacing)) for n in field.shape[2:]]
        lattice = torch.zeros((1, 3, *sizes), device=field.device, requires_grad=True)
        optimizer = torch.optim.Adam([lattice], lr=self.rate)
        for _ in range(self.steps):
            optimizer.zero_grad()
            moved = field + self._dense(lattice, field)
            loss = self.similarity(warp(moving, moved), fixed) + self.weight * self.smoothness(moved)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return self._dense(lattice.detach(), field)

    def _dense(self, lattice: Tensor, field: Tensor) -> Tensor:
        return F.interpolate(lattice, field.shape[2:], mode="trilinear", align_corners=True)

    def _accepted(self, fixed: Tensor, moving: Tensor, field: Tensor, correction: Tensor) -> Tensor:
        """The largest part of the correction that folds nothing and does not make the pair less alike."""
        folds, before = _folds(field), float(self.similarity(warp(moving, field), fixed))
        for halving in range(_HALVINGS):
            moved = field + correction / 2**halving
            if _folds(moved) <= folds and float(self.similarity(warp(moving, moved), fixed)) <= before:
                return moved
        return field


def _folds(field: Tensor) -> int:
    return int((jacobian_determinant(field) <= 0).sum())
