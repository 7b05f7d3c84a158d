"""Refinement of a displacement field for one pair by a few gradient steps, as the winners of Learn2Reg do.

A Hering et al., "Learn2Reg: comprehensive multi-task medical image registration challenge, dataset and evaluation in the
era of deep learning", IEEE TMI 2022. What is optimised are corrections on coarse lattices, interpolated linearly, which
are added to the field one after the other, under a penalty of folding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks.displacement import jacobian_determinant
from .blocks.fused_gradients import differentiable_warp, folding_depth
from .blocks.warp import warp

__all__ = ["FieldRefinement"]

_HALVINGS = 4

_LEAST_VOLUME = 0.1
"""Determinants from here on down are drawn up: at 0 a voxel folds."""

_FOLDING = 1e-3
"""Share of folded voxels that a refined field may have whatever it started from."""


class FieldRefinement(nn.Module):
    """Adam on lattices of corrections to a field, from coarse to fine.

    Args:
        similarity: Loss of (warped, fixed).
        smoothness: Loss of a field (B, 3, X, Y, Z) in voxels.
        steps: Gradient steps of all lattices together; 0 leaves the field as it is.
        weight: Of the smoothness of the whole field.
        folding_weight: Of the mean by which Jacobian determinants fall below ``_LEAST_VOLUME``.
        rate: Step size, in parts of a lattice's spacing.
        spacings: Voxels between the points of each lattice.

    The defaults were chosen on ten pairs of validation subjects (hippocampi).

    Raises:
        ValueError: A number is out of range.
    """

    def __init__(
        self,
        similarity: Callable[[Tensor, Tensor], Tensor],
        smoothness: Callable[[Tensor], Tensor],
        *,
        steps: int = 0,
        weight: float = 0.3,
        folding_weight: float = 10.0,
        rate: float = 0.025,
        spacings: Sequence[int] = (16, 8, 4),
    ) -> None:
        super().__init__()
        if min(steps, weight, folding_weight) < 0 or rate <= 0 or not spacings or min(spacings) < 1:
            raise ValueError(
                "steps and weights must not be negative, rate and spacings positive; got "
                f"{steps}, {weight}, {folding_weight}, {rate}, {spacings}"
            )
        self.similarity, self.smoothness = similarity, smoothness
        self.steps, self.weight, self.folding_weight, self.rate = steps, weight, folding_weight, rate
        self.spacings = tuple(spacings)

    def forward(self, fixed: Tensor, moving: Tensor, field: Tensor) -> Tensor:
        """A field under which the pair is no less alike, and which folds no more than the given one, or than 0.1 %.

        Args:
            fixed: (1, 1, X, Y, Z).
            moving: (1, 1, X, Y, Z).
            field: (1, 3, X, Y, Z) in voxels.
        """
        if not self.steps:
            return field
        given = refined = field.detach()
        count = len(self.spacings)
        with torch.enable_grad():
            for level, spacing in enumerate(self.spacings):
                steps = self.steps * (level + 1) // count - self.steps * level // count
                refined = refined + self._correction(fixed, moving, refined, spacing, steps)
        return self._accepted(fixed, moving, given, refined - given)

    def _correction(self, fixed: Tensor, moving: Tensor, field: Tensor, spacing: int, steps: int) -> Tensor:
        sizes = [max(2, -(-n // spacing)) for n in field.shape[2:]]
        lattice = torch.zeros((1, 3, *sizes), device=field.device, requires_grad=True)
        optimizer = torch.optim.Adam([lattice], lr=self.rate * spacing)
        for _ in range(steps):
            optimizer.zero_grad()
            moved = field + self._dense(lattice, field)
            loss = self.similarity(differentiable_warp(moving, moved), fixed) + self.weight * self.smoothness(moved)
            loss = loss + self.folding_weight * folding_depth(moved, _LEAST_VOLUME)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return self._dense(lattice.detach(), field)

    def _dense(self, lattice: Tensor, field: Tensor) -> Tensor:
        """Linear interpolation, the corners of lattice and field aligned, as products with small matrices."""
        x, y, z = (_hats(n, m, field.device) for n, m in zip(field.shape[2:], lattice.shape[2:], strict=True))
        rows = y @ (lattice[0] @ z.T)
        return (x @ rows.flatten(2)).view(field.shape)

    def _accepted(self, fixed: Tensor, moving: Tensor, field: Tensor, correction: Tensor) -> Tensor:
        """The largest part of the correction that neither folds too much nor makes the pair less alike."""
        folds, before = max(_folding(field), _FOLDING), float(self.similarity(warp(moving, field), fixed))
        for halving in range(_HALVINGS):
            moved = field + correction / 2**halving
            if _folding(moved) <= folds and float(self.similarity(warp(moving, moved), fixed)) <= before:
                return moved
        return field


@lru_cache(maxsize=64)
def _hats(size: int, nodes: int, device: torch.device) -> Tensor:
    """(size, nodes): what each node counts at each voxel."""
    with torch.inference_mode(False):  # what is kept must serve a call with gradients, whoever asked first
        return _weights(size, nodes, device)


def _weights(size: int, nodes: int, device: torch.device) -> Tensor:
    places = torch.arange(size, device=device) * ((nodes - 1) / max(size - 1, 1))
    return F.relu(1 - (places[:, None] - torch.arange(nodes, device=device)).abs())


def _folding(field: Tensor) -> float:
    """Share of voxels."""
    return float((jacobian_determinant(field) <= 0).float().mean())
