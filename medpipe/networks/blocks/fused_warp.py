"""Warping and composing on a CPU in one pass over the voxels, by numba.

The same numbers as ``warp``, ``compose`` and ``compose_affine`` with borders repeated, without gradients: positions,
interpolation and sum are done row by row in the fastest memory, so that nothing but the results is written to main memory. Slabs of the
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

__all__ = ["compose_and_warp", "halve", "place_affine_and_warp", "resample_and_warp", "warp_alone"]

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


@torch.no_grad()
def halve(volume: Tensor) -> Tensor:
    """``avg_pool3d(volume, 2)`` of (B, C, X, Y, Z), sizes even, float32 on the CPU."""
    small = torch.empty((*volume.shape[:2], *(size // 2 for size in volume.shape[2:])))
    for b in range(len(volume)):
        _shared(_halve, small.shape[2], _array(volume[b]), small[b].numpy())
    return small


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
def _clamped(position: Any, last: Any) -> Any:
    """A position along an axis, the border repeated; what is no number counts as 0, so that no index can be wrong."""
    position = position if position > 0 else np.float32(0)
    return position if position < last else last


@_inlined
def _steps(shape: Any) -> Any:
    """From a voxel of a flat volume to its next along each axis; none along an axis of one voxel."""
    nx, ny, nz = shape
    return ny * nz if nx > 1 else 0, nz if ny > 1 else 0, 1 if nz > 1 else 0


@_inlined
def _places(shape: Any, i: int, j: int, ux: Any, uy: Any, uz: Any, lowest: Any, parts: Any) -> None:
    """Of a row of displaced voxels, the lowest of the eight neighbours in a flat volume, and the fractions between them."""
    nx, ny, nz = shape
    sx, sy, sz = _steps(shape)
    hx, hy, hz = np.float32(nx - 1), np.float32(ny - 1), np.float32(nz - 1)
    gx, gy = np.float32(i), np.float32(j)
    for k in range(len(ux)):
        px = _clamped(gx + ux[k], hx)
        py = _clamped(gy + uy[k], hy)
        pz = _clamped(np.float32(k) + uz[k], hz)
        # The last voxel is reached from the one before it, with the fraction 1.
        x, y, z = min(int(px), max(nx - 2, 0)), min(int(py), max(ny - 2, 0)), min(int(pz), max(nz - 2, 0))
        parts[0, k], parts[1, k], parts[2, k] = px - np.float32(x), py - np.float32(y), pz - np.float32(z)
        lowest[k] = x * sx + y * sy + z * sz


@_inlined
def _fetch(flat: Any, shape: Any, lowest: Any, parts: Any, out: Any) -> None:
    """Interpolate a row of one channel. Unsigned numbers spare the test for an index from the end."""
    sx, sy, sz = _steps(shape)
    ux, uy, uz = np.uint64(sx), np.uint64(sy), np.uint64(sz)
    for k in range(len(out)):
        a = np.uint64(lowest[k])
        b, c = a + uy, a + ux
        d = c + uy
        fx, fy, fz = parts[0, k], parts[1, k], parts[2, k]
        ex, ey, ez = np.float32(1) - fx, np.float32(1) - fy, np.float32(1) - fz  # exact where a fraction is 0 or 1
        one = ez * flat[a] + fz * flat[a + uz]
        two = ez * flat[b] + fz * flat[b + uz]
        three = ez * flat[c] + fz * flat[c + uz]
        four = ez * flat[d] + fz * flat[d + uz]
        out[k] = ex * (ey * one + fy * two) + fx * (ey * three + fy * four)


@_inlined
def _row(flat: Any, shape: Any, i: int, j: int, field: Any, lowest: Any, parts: Any, warped: Any) -> None:
    """Warp one row of all channels by the field's."""
    _places(shape, i, j, field[0, i, j], field[1, i, j], field[2, i, j], lowest, parts)
    for c in range(len(flat)):
        _fetch(flat[c], shape, lowest, parts, warped[c, i, j])


@_compiled
def _halve(start: int, stop: int, volume: Any, small: Any) -> None:
    for c in range(small.shape[0]):
        for i in range(start, stop):
            for j in range(small.shape[2]):
                one, two = volume[c, 2 * i, 2 * j], volume[c, 2 * i, 2 * j + 1]
                three, four = volume[c, 2 * i + 1, 2 * j], volume[c, 2 * i + 1, 2 * j + 1]
                row = small[c, i, j]
                for k in range(len(row)):
                    near = one[2 * k] + one[2 * k + 1] + two[2 * k] + two[2 * k + 1]
                    far = three[2 * k] + three[2 * k + 1] + four[2 * k] + four[2 * k + 1]
                    row[k] = (near + far) * np.float32(0.125)


@_compiled
def _warp(start: int, stop: int, moving: Any, field: Any, warped: Any) -> None:
    flat, shape = moving.reshape(moving.shape[0], -1), moving.shape[1:]
    lowest, parts = np.empty(field.shape[3], np.int64), np.empty((3, field.shape[3]), np.float32)
    for i in range(start, stop):
        for j in range(field.shape[2]):
            _row(flat, shape, i, j, field, lowest, parts, warped)


@_compiled
def _compose(start: int, stop: int, first: Any, then: Any, moving: Any, field: Any, warped: Any) -> None:
    flat, shape = moving.reshape(moving.shape[0], -1), moving.shape[1:]
    one, size = first.reshape(3, -1), first.shape[1:]
    lowest, parts = np.empty(field.shape[3], np.int64), np.empty((3, field.shape[3]), np.float32)
    for i in range(start, stop):
        for j in range(field.shape[2]):
            _places(size, i, j, then[0, i, j], then[1, i, j], then[2, i, j], lowest, parts)
            for c in range(3):
                row, own = field[c, i, j], then[c, i, j]
                _fetch(one[c], size, lowest, parts, row)
                for k in range(len(row)):
                    row[k] += own[k]
            _row(flat, shape, i, j, field, lowest, parts, warped)


@_compiled
def _affine(start: int, stop: int, weight: Any, shift: Any, then: Any, moving: Any, field: Any, warped: Any) -> None:
    flat, shape = moving.reshape(moving.shape[0], -1), moving.shape[1:]
    lowest, parts = np.empty(field.shape[3], np.int64), np.empty((3, field.shape[3]), np.float32)
    half = np.float32(0.5)
    cx, cy, cz = half * (then.shape[1] - 1), half * (then.shape[2] - 1), half * (then.shape[3] - 1)
    for i in range(start, stop):
        for j in range(then.shape[2]):
            vx, vy, vz = then[0, i, j], then[1, i, j], then[2, i, j]
            gx, gy = np.float32(i - cx), np.float32(j - cy)
            for c in range(3):
                row, own = field[c, i, j], then[c, i, j]
                for k in range(len(row)):
                    rx, ry, rz = gx + vx[k], gy + vy[k], np.float32(k - cz) + vz[k]
                    row[k] = own[k] + weight[c, 0] * rx + weight[c, 1] * ry + weight[c, 2] * rz + shift[c]
            _row(flat, shape, i, j, field, lowest, parts, warped)


@_inlined
def _between(position: Any, size: int) -> Any:
    """The two neighbours of a position along an axis, and the fraction between them."""
    position = _clamped(position, np.float32(size - 1))
    low = int(position)
    return low, min(low + 1, size - 1), position - np.float32(low)


@_compiled
def _resample(start: int, stop: int, steps: Any, coarse: Any, moving: Any, field: Any, warped: Any) -> None:
    flat, shape = moving.reshape(moving.shape[0], -1), moving.shape[1:]
    nx, ny, nz = coarse.shape[1:]
    length = field.shape[3]
    lowest, parts = np.empty(length, np.int64), np.empty((3, length), np.float32)
    half = np.float32(0.5)
    line = np.empty(nz, np.float32)
    low, high, share = np.empty(length, np.uint64), np.empty(length, np.uint64), np.empty(length, np.float32)
    for k in range(length):
        low[k], high[k], share[k] = _between((np.float32(k) + half) * steps[2] - half, nz)
    for i in range(start, stop):
        x, x1, fx = _between((np.float32(i) + half) * steps[0] - half, nx)
        for j in range(field.shape[2]):
            y, y1, fy = _between((np.float32(j) + half) * steps[1] - half, ny)
            for c in range(3):  # between four rows of the coarse field first, once for all voxels of this one
                a, b, d, e = coarse[c, x, y], coarse[c, x, y1], coarse[c, x1, y], coarse[c, x1, y1]
                for z in range(nz):
                    near = a[z] + fy * (b[z] - a[z])
                    line[z] = (near + fx * (d[z] + fy * (e[z] - d[z]) - near)) / steps[c]
                row = field[c, i, j]
                for k in range(length):
                    row[k] = line[low[k]] + share[k] * (line[high[k]] - line[low[k]])
            _row(flat, shape, i, j, field, lowest, parts, warped)
