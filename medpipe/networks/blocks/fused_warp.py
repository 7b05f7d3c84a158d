"""Warping and composing on a CPU in one pass over the voxels, by numba.

The same numbers as ``warp``, ``compose`` and ``compose_affine`` with borders repeated, without gradients: positions,
interpolation and sum are done row by row in the fastest memory, so that nothing but the results is written to main memory. Slabs of the
volume are shared between as many threads as torch has.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import fused_kernels as kernels

__all__ = ["compose_and_warp", "halve", "place_affine_and_warp", "resample_and_warp", "warp_alone"]


@torch.no_grad()
def warp_alone(moving: Tensor, field: Tensor) -> Tensor:
    """``warp(moving, field)`` for float32 tensors on the CPU: (B, C, X', Y', Z') by (B, 3, X, Y, Z)."""
    warped = torch.empty((*moving.shape[:2], *field.shape[2:]))
    for b in range(len(field)):
        shared(kernels.warp, field.shape[2], plain_array(moving[b]), plain_array(field[b]), warped[b].numpy())
    return warped


@torch.no_grad()
def compose_and_warp(first: Tensor, then: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
    """``compose(first, then)``, and ``moving`` warped by it.

    Args:
        first: (B, 3, X, Y, Z) float32 on the CPU.
        then: The same.
        moving: (B, C, X', Y', Z'), likewise.

    Returns:
        The field and the warped image.
    """
    field = torch.empty(then.shape)
    warped = torch.empty((*moving.shape[:2], *then.shape[2:]))
    for b in range(len(then)):
        arrays = (
            plain_array(first[b]),
            plain_array(then[b]),
            plain_array(moving[b]),
            field[b].numpy(),
            warped[b].numpy(),
        )
        shared(kernels.compose, then.shape[2], *arrays)
    return field, warped


@torch.no_grad()
def place_affine_and_warp(weight: Tensor, shift: Tensor, then: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
    """``compose_affine`` of the affine field W (x - c) + b with ``then``, and ``moving`` warped by the result.

    Args:
        weight: (B, 3, 3), W.
        shift: (B, 3), b.
        then: (B, 3, X, Y, Z) float32 on the CPU; zeros give the affine field itself.
        moving: (B, C, X', Y', Z'), likewise.

    Returns:
        The field and the warped image.
    """
    field = torch.empty(then.shape)
    warped = torch.empty((*moving.shape[:2], *then.shape[2:]))
    for b in range(len(then)):
        matrix, offset = plain_array(weight[b]), plain_array(shift[b])
        arrays = (matrix, offset, plain_array(then[b]), plain_array(moving[b]), field[b].numpy(), warped[b].numpy())
        shared(kernels.place_affine, then.shape[2], *arrays)
    return field, warped


@torch.no_grad()
def resample_and_warp(coarse: Tensor, shape: tuple[int, ...], moving: Tensor) -> tuple[Tensor, Tensor]:
    """``resample_field(coarse, shape, align_corners=False)``, and ``moving`` warped by it.

    Args:
        coarse: (B, 3, X, Y, Z) float32 on the CPU, in voxels of its own grid.
        shape: Of the field to be.
        moving: (B, C, X', Y', Z'), likewise.

    Returns:
        The field and the warped image.
    """
    field = torch.empty((len(coarse), 3, *shape))
    warped = torch.empty((*moving.shape[:2], *shape))
    steps = np.array([old / new for old, new in zip(coarse.shape[2:], shape, strict=True)], np.float32)
    for b in range(len(coarse)):
        arrays = (steps, plain_array(coarse[b]), plain_array(moving[b]), field[b].numpy(), warped[b].numpy())
        shared(kernels.resample, shape[0], *arrays)
    return field, warped


@torch.no_grad()
def halve(volume: Tensor) -> Tensor:
    """``avg_pool3d(volume, 2)`` of (B, C, X, Y, Z), sizes even, float32 on the CPU."""
    small = torch.empty((*volume.shape[:2], *(size // 2 for size in volume.shape[2:])))
    for b in range(len(volume)):
        shared(kernels.halve, small.shape[2], plain_array(volume[b]), small[b].numpy())
    return small


def plain_array(tensor: Tensor) -> np.ndarray[Any, Any]:
    return tensor.detach().to("cpu", torch.float32).contiguous().numpy()


def shared(kernel: Any, size: int, *arrays: Any) -> None:
    """Run a kernel over slabs of the first axis. It holds no lock and writes each voxel once."""
    threads = min(torch.get_num_threads(), size)
    if threads == 1:
        kernel(0, size, *arrays)
        return
    bounds = np.linspace(0, size, threads + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(partial(_run, kernel, arrays), bounds[:-1], bounds[1:]))


def _run(kernel: Any, arrays: tuple[Any, ...], start: int, stop: int) -> None:
    kernel(start, stop, *arrays)
