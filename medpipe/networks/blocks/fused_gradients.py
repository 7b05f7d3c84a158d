"""Warp, composition and regularity of displacement fields with their gradients, in one pass each over the voxels of a CPU.

The same numbers as ``warp``, ``compose``, ``FieldSmoothnessLoss`` and ``jacobian_determinant``, several times faster: derivatives
are formed where values are. On other devices and in other types than float32 the tensor operations are used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .displacement import compose, jacobian_determinant
from .fused_warp import _array, _compiled, _inlined, _places, _shared, _steps, warp_alone
from .warp import warp

__all__ = ["differentiable_compose", "differentiable_warp", "folding_depth", "roughness"]


def differentiable_warp(moving: Tensor, field: Tensor) -> Tensor:
    """``warp(moving, field)``; fast where the image has one channel and needs no gradient of its own.

    Args:
        moving: (B, C, X', Y', Z').
        field: (B, 3, X, Y, Z) in voxels.
    """
    if not _on_cpu(moving, field) or moving.shape[1] != 1 or moving.requires_grad:
        return warp(moving, field)
    return _Warp.apply(moving, field)


def differentiable_compose(first: Tensor, then: Tensor) -> Tensor:
    """``compose(first, then)``: then(x) + first(x + then(x)).

    Args:
        first: (B, 3, X, Y, Z) in voxels.
        then: (B, 3, X, Y, Z), applied to positions before ``first``.
    """
    if not _on_cpu(first, then):
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
    """
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
            arrays = (_array(moving[b, 0]), _array(field[b]), warped[b, 0].numpy(), slopes[b].numpy())
            _shared(_warp_and_slopes, field.shape[2], *arrays)
        ctx.save_for_backward(slopes)
        return warped

    @staticmethod
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
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        first, then = ctx.saved_tensors
        to_first, to_then = torch.zeros(first.shape), gradients[0].clone()
        for b in range(len(then)):
            arrays = (_array(first[b]), _array(then[b]), _array(gradients[0][b]))
            _scatter(*arrays, to_first[b].numpy(), to_then[b].numpy())
        return to_first, to_then


class _Roughness(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, field: Tensor) -> Tensor:
        slope, total = torch.empty(field.shape), 0.0
        for one, out in zip(field.detach(), slope, strict=True):
            total += _squares(_array(one), out.numpy())
        ctx.save_for_backward(slope)
        return torch.tensor(total / (2 * field.numel()), dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (slope,) = ctx.saved_tensors
        return slope * (gradients[0] / slope.numel())


class _FoldingDepth(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, field: Tensor, least: float) -> Tensor:
        slope, total = torch.zeros(field.shape), 0.0
        for one, out in zip(field.detach(), slope, strict=True):
            total += _depths(_array(one), np.float32(least), out.numpy())
        x, y, z = field.shape[2:]
        ctx.count = len(field) * (x - 1) * (y - 1) * (z - 1)
        ctx.save_for_backward(slope)
        return torch.tensor(total / ctx.count, dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return slope * (gradients[0] / ctx.count), None


@_inlined
def _inside(position: Any, last: Any) -> Any:
    """1 where moving along an axis changes the place that is read; beyond the border it does not."""
    return np.float32(1) if 0 <= position <= last else np.float32(0)


@_compiled
def _warp_and_slopes(start: int, stop: int, moving: Any, field: Any, warped: Any, slopes: Any) -> None:
    flat, shape = moving.reshape(-1), moving.shape
    nx, ny, nz = shape
    sx, sy, sz = _steps(shape)
    ux, uy, uz = np.uint64(sx), np.uint64(sy), np.uint64(sz)
    length = field.shape[3]
    lowest, parts = np.empty(length, np.int64), np.empty((3, length), np.float32)
    for i in range(start, stop):
        for j in range(field.shape[2]):
            fieldx, fieldy, fieldz = field[0, i, j], field[1, i, j], field[2, i, j]
            _places(shape, i, j, fieldx, fieldy, fieldz, lowest, parts)
            out, alongx, alongy, alongz = warped[i, j], slopes[0, i, j], slopes[1, i, j], slopes[2, i, j]
            for k in range(length):
                a = np.uint64(lowest[k])
                b, c = a + uy, a + ux
                d = c + uy
                fx, fy, fz = parts[0, k], parts[1, k], parts[2, k]
                ex, ey, ez = np.float32(1) - fx, np.float32(1) - fy, np.float32(1) - fz
                rise1, rise2 = flat[a + uz] - flat[a], flat[b + uz] - flat[b]
                rise3, rise4 = flat[c + uz] - flat[c], flat[d + uz] - flat[d]
                one, two = ez * flat[a] + fz * flat[a + uz], ez * flat[b] + fz * flat[b + uz]
                three, four = ez * flat[c] + fz * flat[c + uz], ez * flat[d] + fz * flat[d + uz]
                near, far = ey * one + fy * two, ey * three + fy * four
                out[k] = ex * near + fx * far
                insidex = _inside(np.float32(i) + fieldx[k], np.float32(nx - 1))
                insidey = _inside(np.float32(j) + fieldy[k], np.float32(ny - 1))
                insidez = _inside(np.float32(k) + fieldz[k], np.float32(nz - 1))
                alongx[k] = insidex * (far - near)
                alongy[k] = insidey * (ex * (two - one) + fx * (four - three))
                alongz[k] = insidez * (ex * (ey * rise1 + fy * rise2) + fx * (ey * rise3 + fy * rise4))


@_compiled
def _scatter(first: Any, then: Any, gradient: Any, to_first: Any, to_then: Any) -> None:
    """Add to ``to_first`` and ``to_then`` what a gradient of their composition says of each."""
    shape = first.shape[1:]
    nx, ny, nz = shape
    sx, sy, sz = _steps(shape)
    ux, uy, uz = np.uint64(sx), np.uint64(sy), np.uint64(sz)
    length = then.shape[3]
    lowest, parts = np.empty(length, np.int64), np.empty((3, length), np.float32)
    sources, targets = first.reshape(3, -1), to_first.reshape(3, -1)
    for i in range(then.shape[1]):
        for j in range(then.shape[2]):
            _places(shape, i, j, then[0, i, j], then[1, i, j], then[2, i, j], lowest, parts)
            for component in range(3):
                flat, target, row = sources[component], targets[component], gradient[component, i, j]
                for k in range(length):
                    a = np.uint64(lowest[k])
                    b, c = a + uy, a + ux
                    d = c + uy
                    fx, fy, fz = parts[0, k], parts[1, k], parts[2, k]
                    ex, ey, ez = np.float32(1) - fx, np.float32(1) - fy, np.float32(1) - fz
                    rise1, rise2 = flat[a + uz] - flat[a], flat[b + uz] - flat[b]
                    rise3, rise4 = flat[c + uz] - flat[c], flat[d + uz] - flat[d]
                    one, two = ez * flat[a] + fz * flat[a + uz], ez * flat[b] + fz * flat[b + uz]
                    three, four = ez * flat[c] + fz * flat[c + uz], ez * flat[d] + fz * flat[d + uz]
                    g = row[k]
                    insidex = _inside(np.float32(i) + then[0, i, j, k], np.float32(nx - 1))
                    insidey = _inside(np.float32(j) + then[1, i, j, k], np.float32(ny - 1))
                    insidez = _inside(np.float32(k) + then[2, i, j, k], np.float32(nz - 1))
                    to_then[0, i, j, k] += insidex * g * (ey * (three - one) + fy * (four - two))
                    to_then[1, i, j, k] += insidey * g * (ex * (two - one) + fx * (four - three))
                    rise = ex * (ey * rise1 + fy * rise2) + fx * (ey * rise3 + fy * rise4)
                    to_then[2, i, j, k] += insidez * g * rise
                    target[a] += g * ex * ey * ez
                    target[a + uz] += g * ex * ey * fz
                    target[b] += g * ex * fy * ez
                    target[b + uz] += g * ex * fy * fz
                    target[c] += g * fx * ey * ez
                    target[c + uz] += g * fx * ey * fz
                    target[d] += g * fx * fy * ez
                    target[d + uz] += g * fx * fy * fz


@_compiled
def _squares(field: Any, slope: Any) -> Any:
    """Sum of squared forward differences, and half its derivative."""
    total = 0.0
    nx, ny, nz = field.shape[1:]
    for c in range(3):
        for i in range(nx):
            for j in range(ny):
                here, out = field[c, i, j], slope[c, i, j]
                # A neighbour outside counts as the voxel itself: no difference.
                left, right = field[c, max(i - 1, 0), j], field[c, min(i + 1, nx - 1), j]
                front, back = field[c, i, max(j - 1, 0)], field[c, i, min(j + 1, ny - 1)]
                row: Any = np.float32(0)
                for k in range(nz):
                    v = here[k]
                    dx, dy = right[k] - v, back[k] - v
                    row += dx * dx + dy * dy
                    out[k] = (v - left[k]) - dx + (v - front[k]) - dy
                for k in range(nz - 1):
                    d = here[k + 1] - here[k]
                    row += d * d
                    out[k] -= d
                    out[k + 1] += d
                total += row
    return total


@_compiled
def _depths(field: Any, least: Any, slope: Any) -> Any:
    """Sum of what determinants of I + grad u lack to ``least``, and its derivative, which is added to ``slope``."""
    total = 0.0
    nx, ny, nz = field.shape[1:]
    one = np.float32(1)
    determinants = np.empty(nz - 1, np.float32)
    for i in range(nx - 1):
        for j in range(ny - 1):
            u, v, w = field[0, i, j], field[1, i, j], field[2, i, j]
            ux, vx, wx = field[0, i + 1, j], field[1, i + 1, j], field[2, i + 1, j]
            uy, vy, wy = field[0, i, j + 1], field[1, i, j + 1], field[2, i, j + 1]
            for k in range(nz - 1):
                a, b, c = ux[k] - u[k] + one, uy[k] - u[k], u[k + 1] - u[k]
                d, e, f = vx[k] - v[k], vy[k] - v[k] + one, v[k + 1] - v[k]
                g, h, m = wx[k] - w[k], wy[k] - w[k], w[k + 1] - w[k] + one
                determinants[k] = a * (e * m - f * h) - b * (d * m - f * g) + c * (d * h - e * g)
            for k in range(nz - 1):
                if determinants[k] >= least:
                    continue
                total += least - determinants[k]
                a, b, c = ux[k] - u[k] + one, uy[k] - u[k], u[k + 1] - u[k]
                d, e, f = vx[k] - v[k], vy[k] - v[k] + one, v[k + 1] - v[k]
                g, h, m = wx[k] - w[k], wy[k] - w[k], w[k + 1] - w[k] + one
                # Minors with their signs: the derivative along each axis, and all three for the voxel itself.
                _fall(slope, 0, i, j, k, e * m - f * h, f * g - d * m, d * h - e * g)
                _fall(slope, 1, i, j, k, c * h - b * m, a * m - c * g, b * g - a * h)
                _fall(slope, 2, i, j, k, b * f - c * e, c * d - a * f, a * e - b * d)
    return total


@_inlined
def _fall(slope: Any, component: int, i: int, j: int, k: int, x: Any, y: Any, z: Any) -> None:
    slope[component, i + 1, j, k] -= x
    slope[component, i, j + 1, k] -= y
    slope[component, i, j, k + 1] -= z
    slope[component, i, j, k] += x + y + z
