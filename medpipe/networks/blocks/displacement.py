"""Arithmetic of displacement fields; conventions as in ``warp``.

Fields are (B, 3, X, Y, Z) in voxels, pull-back, on the fixed grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .warp import warp

__all__ = ["affine_field", "compose", "compose_affine", "invert", "jacobian_determinant", "resample_field"]


def compose(first: Tensor, then: Tensor) -> Tensor:
    """The single field of two warps in a row: ``u(x) = v(x) + u1(x + v(x))``.

    Warping by ``first`` and the result by ``then`` equals warping once by the returned field, without interpolating
    the image twice. The order matters.

    Args:
        first: (B, 3, X, Y, Z) field u1 that was applied to the moving image first.
        then: (B, 3, X, Y, Z) field v that was applied to the result.

    Returns:
        (B, 3, X, Y, Z).
    """
    return then + warp(first, then)


def compose_affine(weight: Tensor, first: Tensor, then: Tensor) -> Tensor:
    """``compose`` where the first field is affine: ``(I + W) v + u1``, exact and without interpolation.

    Args:
        weight: (B, 3, 3), W of the affine field; its matrix is I + W.
        first: (B, 3, X, Y, Z) the affine field itself, as of ``affine_field``.
        then: (B, 3, X, Y, Z) field v.
    """
    # Written out, because autocast would take a matrix product to bfloat16.
    field = then + first
    for axis in range(3):
        field = field + weight[:, :, axis, None, None, None] * then[:, axis : axis + 1]
    return field


def affine_field(weight: Tensor, shift: Tensor, shape: Sequence[int]) -> Tensor:
    """The displacement ``u(x) = W (x - c) + b`` about the centre c = (N - 1) / 2 of the grid.

    Args:
        weight: (B, 3, 3), row i gives component i; the matrix of the affine map is I + W.
        shift: (B, 3) in voxels.
        shape: Size (X, Y, Z) of the grid.

    Returns:
        (B, 3, X, Y, Z).
    """
    field = shift[:, :, None, None, None]
    for axis, size in enumerate(shape):
        line = torch.arange(size, dtype=weight.dtype, device=weight.device) - (size - 1) / 2
        ends = [1, 1, 1, 1, 1]
        ends[axis + 2] = size
        field = field + weight[:, :, axis, None, None, None] * line.view(ends)
    return field


def invert(field: Tensor, iterations: int = 20) -> tuple[Tensor, Tensor]:
    """The inverse field by fixed-point iteration of ``v(y) = -u(y + v(y))``.

    Converges where u changes by less than a voxel per voxel; the residual says whether it did. Near the border the
    field is continued by its border values.

    Args:
        field: (B, 3, X, Y, Z).
        iterations: Number of iterations.

    Returns:
        The inverse (B, 3, X, Y, Z), and per item (B,) the largest length of ``v(y) + u(y + v(y))`` in voxels.
    """
    inverse = -field
    for _ in range(iterations):
        inverse = -warp(field, inverse)
    residual = (inverse + warp(field, inverse)).square().sum(dim=1).sqrt()
    return inverse, residual.flatten(1).amax(dim=1)


def resample_field(field: Tensor, shape: Sequence[int], *, align_corners: bool) -> Tensor:
    """Bring a field to a grid of another size, in voxels of that grid.

    Components are interpolated linearly and scaled with the grid. The two conventions name different grids and must
    not be mixed: with ``align_corners`` the centres of the corner voxels coincide, and a voxel shrinks by
    (N_new - 1) / (N_old - 1); without, the outer edges of the volume coincide (half-pixel), by N_new / N_old.

    Args:
        field: (B, 3, X, Y, Z).
        shape: Size (X', Y', Z') of the new grid.
        align_corners: See above.
    """
    old = tuple(field.shape[2:])
    if old == tuple(shape):
        return field
    factors = [(new - 1) / max(n - 1, 1) if align_corners else new / n for new, n in zip(shape, old, strict=True)]
    resampled = F.interpolate(field, tuple(shape), mode="trilinear", align_corners=align_corners)
    return resampled * torch.tensor(factors, dtype=field.dtype, device=field.device).view(1, 3, 1, 1, 1)


def jacobian_determinant(field: Tensor) -> Tensor:
    """Determinant of I + grad u by forward differences.

    At or below 0 the map x + u(x) folds.

    Args:
        field: (B, 3, X, Y, Z) with at least two voxels along each axis.

    Returns:
        (B, X - 1, Y - 1, Z - 1).
    """
    near = field[:, :, :-1, :-1, :-1]
    columns = [
        field[:, :, 1:, :-1, :-1] - near,
        field[:, :, :-1, 1:, :-1] - near,
        field[:, :, :-1, :-1, 1:] - near,
    ]
    # (i, j) is the derivative of component i along axis j.
    (a, b, c), (d, e, f), (g, h, i) = (
        [column[:, component] + (component == axis) for axis, column in enumerate(columns)] for component in range(3)
    )
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
