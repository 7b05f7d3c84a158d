"""Warping and composing on a CPU in one pass over the voxels, by numba.

The same numbers as ``warp``, ``compose`` and ``compose_affine`` with borders repeated, without gradients: positions,
interpolation and sum are done voxel by voxel, so that nothing but the results is written to memory. Slabs of the
volume are shared between as many threads as torch has.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

__all__ = ["compose_and_warp", "place_affine_and_warp", "resample_and_warp", "warp_alone"]

_inlined: Callable[[Any], Any] = njit(nogil=True, inline="always", error_model="numpy")


def _compiled(function: Any) -> Any:
    options: dict[str, Any] = {"nogil": True, "fastmath": {"contract", "nsz"}, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to keep compiled code in: two seconds more at each start
        return njit(**options)(function)


@torch.no_grad()
def warp_alone(moving: Tensor, field: Tensor) -> Tensor:
    """``warp(moving, field)`` for float32 tensors on the CPU: (B, C, X', Y', Z') by (B, 3, X, Y, Z)."""
    warped = torch.empty((*moving.shape[:2], *field.shape[2:]))
    for b in range(len(field)):
        _shared(_warp, field.shape[2], _array(moving[b]), _array(field[b]), warped[b].numpy())
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
        arrays = (_array(first[b]), _array(then[b]), _array(moving[b]), field[b].numpy(), warped[b].numpy())
        _shared(_compose, then.shape[2], *arrays)
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
        matrix, offset = _array(weight[b]), _array(shift[b])
        arrays = (matrix, offset, _array(then[b]), _array(moving[b]), field[b].numpy(), warped[b].numpy())
        _shared(_affine, then.shape[2], *arrays)
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
        arrays = (steps, _array(coarse[b]), _array(moving[b]), field[b].numpy(), warped[b].numpy())
        _shared(_resample, shape[0], *arrays)
    return field, warped


def _array(tensor: Tensor) -> np.ndarray[Any, Any]:
    return tensor.detach().to("cpu", torch.float32).contiguous().numpy()


def _shared(kernel: Any, size: int, *arrays: Any) -> None:
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


@_inlined
def _place(position: Any, size: int) -> Any:
    """Lower neighbour and fraction of a position along an axis, the border repeated."""
    position = min(max(position, np.float32(0)), np.float32(size - 1))
    low = int(position)
    return low, position - np.float32(low)


@_inlined
def _between(volume: Any, x: int, y: int, z: int, x1: int, y1: int, z1: int, fx: Any, fy: Any, fz: Any) -> Any:
    a = volume[x, y, z] + fz * (volume[x, y, z1] - volume[x, y, z])
    b = volume[x, y1, z] + fz * (volume[x, y1, z1] - volume[x, y1, z])
    c = volume[x1, y, z] + fz * (volume[x1, y, z1] - volume[x1, y, z])
    d = volume[x1, y1, z] + fz * (volume[x1, y1, z1] - volume[x1, y1, z])
    near = a + fy * (b - a)
    return near + fx * (c + fy * (d - c) - near)


@_inlined
def _sample(volumes: Any, px: Any, py: Any, pz: Any, out: Any, i: int, j: int, k: int) -> None:
    """Sample every channel at one position into ``out[:, i, j, k]``."""
    x, fx = _place(px, volumes.shape[1])
    y, fy = _place(py, volumes.shape[2])
    z, fz = _place(pz, volumes.shape[3])
    x1, y1, z1 = min(x + 1, volumes.shape[1] - 1), min(y + 1, volumes.shape[2] - 1), min(z + 1, volumes.shape[3] - 1)
    for c in range(volumes.shape[0]):
        out[c, i, j, k] = _between(volumes[c], x, y, z, x1, y1, z1, fx, fy, fz)


@_compiled
def _warp(start: int, stop: int, moving: Any, field: Any, warped: Any) -> None:
    for i in range(start, stop):
        for j in range(field.shape[2]):
            for k in range(field.shape[3]):
                px = np.float32(i) + field[0, i, j, k]
                py = np.float32(j) + field[1, i, j, k]
                pz = np.float32(k) + field[2, i, j, k]
                _sample(moving, px, py, pz, warped, i, j, k)


@_compiled
def _compose(start: int, stop: int, first: Any, then: Any, moving: Any, field: Any, warped: Any) -> None:
    one, two, three = first[0], first[1], first[2]
    nx, ny, nz = one.shape
    for i in range(start, stop):
        for j in range(then.shape[2]):
            for k in range(then.shape[3]):
                vx, vy, vz = then[0, i, j, k], then[1, i, j, k], then[2, i, j, k]
                gx, gy, gz = np.float32(i), np.float32(j), np.float32(k)
                x, fx = _place(gx + vx, nx)
                y, fy = _place(gy + vy, ny)
                z, fz = _place(gz + vz, nz)
                x1, y1, z1 = min(x + 1, nx - 1), min(y + 1, ny - 1), min(z + 1, nz - 1)
                ux = vx + _between(one, x, y, z, x1, y1, z1, fx, fy, fz)
                uy = vy + _between(two, x, y, z, x1, y1, z1, fx, fy, fz)
                uz = vz + _between(three, x, y, z, x1, y1, z1, fx, fy, fz)
                field[0, i, j, k], field[1, i, j, k], field[2, i, j, k] = ux, uy, uz
                _sample(moving, gx + ux, gy + uy, gz + uz, warped, i, j, k)


@_compiled
def _affine(start: int, stop: int, weight: Any, shift: Any, then: Any, moving: Any, field: Any, warped: Any) -> None:
    half = np.float32(0.5)
    cx, cy, cz = half * (then.shape[1] - 1), half * (then.shape[2] - 1), half * (then.shape[3] - 1)
    for i in range(start, stop):
        for j in range(then.shape[2]):
            for k in range(then.shape[3]):
                vx, vy, vz = then[0, i, j, k], then[1, i, j, k], then[2, i, j, k]
                gx, gy, gz = np.float32(i), np.float32(j), np.float32(k)
                rx, ry, rz = np.float32(gx - cx + vx), np.float32(gy - cy + vy), np.float32(gz - cz + vz)
                ux = vx + weight[0, 0] * rx + weight[0, 1] * ry + weight[0, 2] * rz + shift[0]
                uy = vy + weight[1, 0] * rx + weight[1, 1] * ry + weight[1, 2] * rz + shift[1]
                uz = vz + weight[2, 0] * rx + weight[2, 1] * ry + weight[2, 2] * rz + shift[2]
                field[0, i, j, k], field[1, i, j, k], field[2, i, j, k] = ux, uy, uz
                _sample(moving, gx + ux, gy + uy, gz + uz, warped, i, j, k)


@_compiled
def _resample(start: int, stop: int, steps: Any, coarse: Any, moving: Any, field: Any, warped: Any) -> None:
    nx, ny, nz = coarse.shape[1:]
    half = np.float32(0.5)
    line = np.empty((3, nz), np.float32)
    for i in range(start, stop):
        x, fx = _place((np.float32(i) + half) * steps[0] - half, nx)
        x1 = min(x + 1, nx - 1)
        for j in range(field.shape[2]):
            y, fy = _place((np.float32(j) + half) * steps[1] - half, ny)
            y1 = min(y + 1, ny - 1)
            for c in range(3):  # between four rows of the coarse field first, once for all voxels of this one
                for z in range(nz):
                    near = coarse[c, x, y, z] + fy * (coarse[c, x, y1, z] - coarse[c, x, y, z])
                    far = coarse[c, x1, y, z] + fy * (coarse[c, x1, y1, z] - coarse[c, x1, y, z])
                    line[c, z] = (near + fx * (far - near)) / steps[c]
            for k in range(field.shape[3]):
                z, fz = _place((np.float32(k) + half) * steps[2] - half, nz)
                z1 = min(z + 1, nz - 1)
                ux = line[0, z] + fz * (line[0, z1] - line[0, z])
                uy = line[1, z] + fz * (line[1, z1] - line[1, z])
                uz = line[2, z] + fz * (line[2, z1] - line[2, z])
                field[0, i, j, k], field[1, i, j, k], field[2, i, j, k] = ux, uy, uz
                _sample(moving, np.float32(i) + ux, np.float32(j) + uy, np.float32(k) + uz, warped, i, j, k)
