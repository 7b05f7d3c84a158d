"""Warp, composition and regularity of displacement fields with their gradients, in one pass each over the voxels of a CPU.

The same numbers as ``warp``, ``compose``, ``FieldSmoothnessLoss`` and ``jacobian_determinant``, several times faster: derivatives
are formed where values are. On other devices and in other types than float32 the tensor operations are used. Gradients
have no gradients of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import fused_kernels as kernels
from .displacement import compose, jacobian_determinant
from .fused_warp import plain_array, shared, warp_alone
from .warp import warp

__all__ = ["differentiable_compose", "differentiable_warp", "folding_depth", "roughness"]


def differentiable_warp(moving: Tensor, field: Tensor) -> Tensor:
    """``warp(moving, field)``; fast where the image has one channel and needs no gradient of its own.

    Args:
        moving: (B, C, X', Y', Z').
        field: (B, 3, X, Y, Z) in voxels.
    """
    fits = moving.ndim == field.ndim == 5 and len(moving) == len(field) and moving.shape[1] == 1 and field.shape[1] == 3
    if not fits or not _on_cpu(moving, field) or moving.requires_grad:
        return warp(moving, field)
    return _Warp.apply(moving, field)


def differentiable_compose(first: Tensor, then: Tensor) -> Tensor:
    """``compose(first, then)``: then(x) + first(x + then(x)).

    Args:
        first: (B, 3, X, Y, Z) in voxels.
        then: (B, 3, X, Y, Z), applied to positions before ``first``.
    """
    if not _on_cpu(first, then) or first.ndim != 5 or first.shape != then.shape or first.shape[1] != 3:
        return compose(first, then)
    return _Compose.apply(first, then)


def roughness(field: Tensor) -> Tensor:
    """Half the sum of squared forward differences of (B, 3, X, Y, Z) over its number of entries, a scalar."""
    if not _on_cpu(field):
        return sum(field.diff(dim=axis).square().sum() for axis in (2, 3, 4)) / (2 * field.numel())  # type: ignore[return-value]
    return _Roughness.apply(field)


def folding_depth(field: Tensor, least: float) -> Tensor:
    """Mean by which Jacobian determinants fall below ``least``, a scalar.

    Args:
        field: (B, 3, X, Y, Z) in voxels, at least two along each axis.
        least: Determinants from here on cost nothing; at 0 a voxel folds.

    Raises:
        ValueError: The shape is another.
    """
    if field.ndim != 5 or field.shape[1] != 3 or min(field.shape[2:]) < 2:
        raise ValueError(
            f"expected fields (B, 3, X, Y, Z) of two voxels and more along each axis, found {tuple(field.shape)}"
        )
    if not _on_cpu(field):
        return F.relu(least - jacobian_determinant(field)).mean()
    return _FoldingDepth.apply(field, least)


def _on_cpu(*tensors: Tensor) -> bool:
    known = all((t.device.type, t.dtype) == ("cpu", torch.float32) for t in tensors)
    return known and not torch.compiler.is_compiling() and not torch.jit.is_tracing()


class _Warp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, moving: Tensor, field: Tensor) -> Tensor:
        warped, slopes = torch.empty((len(field), 1, *field.shape[2:])), torch.empty(field.shape)
        for b in range(len(field)):
            arrays = (plain_array(moving[b, 0]), plain_array(field[b]), warped[b, 0].numpy(), slopes[b].numpy())
            shared(kernels.warp_and_slopes, field.shape[2], *arrays)
        ctx.save_for_backward(slopes)
        return warped

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        (slopes,) = ctx.saved_tensors
        return None, gradients[0] * slopes


class _Compose(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, first: Tensor, then: Tensor) -> Tensor:
        ctx.save_for_backward(first, then)
        # Each component of ``first`` is an image that is warped.
        return torch.cat([warp_alone(first[b : b + 1], then[b : b + 1]) for b in range(len(then))]) + then

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        first, then = ctx.saved_tensors
        to_first, to_then = torch.zeros(first.shape), gradients[0].clone()
        for b in range(len(then)):
            arrays = (plain_array(first[b]), plain_array(then[b]), plain_array(gradients[0][b]))
            kernels.scatter(*arrays, to_first[b].numpy(), to_then[b].numpy())
        return to_first, to_then


class _Roughness(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, field: Tensor) -> Tensor:
        slope, total = torch.empty(field.shape), 0.0
        for one, out in zip(field.detach(), slope, strict=True):
            total += kernels.squared_differences(plain_array(one), out.numpy())
        ctx.save_for_backward(slope)
        return torch.tensor(total / (2 * field.numel()), dtype=torch.float32)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (slope,) = ctx.saved_tensors
        return slope * (gradients[0] / slope.numel())


class _FoldingDepth(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, field: Tensor, least: float) -> Tensor:
        slope, total = torch.zeros(field.shape), 0.0
        for one, out in zip(field.detach(), slope, strict=True):
            total += kernels.folding_depths(plain_array(one), np.float32(least), out.numpy())
        x, y, z = field.shape[2:]
        ctx.count = len(field) * (x - 1) * (y - 1) * (z - 1)
        ctx.save_for_backward(slope)
        return torch.tensor(total / ctx.count, dtype=torch.float32)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return slope * (gradients[0] / ctx.count), None
