"""Sampling volumes at places between their voxels, in one pass over the result, by numba.

Places are voxel indices, whole at the centres. As in ITK a volume reaches half a voxel beyond its outermost centres, where
it has their values; beyond that stands a fill value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["field_between_grids", "on_grid", "warp_through"]

Array = npt.NDArray[Any]

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
_inlined: Callable[[Any], Any] = njit(inline="always", **_OPTIONS)


def _compiled(function: Any) -> Any:
    try:
        return njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # no folder to keep compiled code in: seconds more at each start
        return njit(**_OPTIONS)(function)


def on_grid(
    array: Array, affine: Array, grid: Array, shape: Sequence[int], *, fill: float = 0.0, nearest: bool = False
) -> Array:
    """A volume on another grid.

    Args:
        array: (X, Y, Z).
        affine: (4, 4) from its voxels to world coordinates.
        grid: (4, 4) from the new voxels to the same world.
        shape: (X', Y', Z') of the new grid.
        fill: What stands outside the volume.
        nearest: Take the nearest voxel, and keep the type (label maps).

    Returns:
        (X', Y', Z') float32, interpolated linearly; of the array's own type with ``nearest``.
    """
    matrix = np.ascontiguousarray((np.linalg.inv(affine) @ grid)[:3])
    result = np.empty([int(n) for n in shape], array.dtype if nearest else np.float32)
    _resample(_usable(array), matrix, nearest, result.dtype.type(fill), result)
    return result


def warp_through(array: Array, field: Array, *, fill: float = 0.0, nearest: bool = False) -> Array:
    """A moving volume on the fixed grid: the values at x + u(x).

    Args:
        array: (X', Y', Z').
        field: (3, X, Y, Z) displacements u in voxels of ``array``.
        fill: What stands where the partner lies outside the volume.
        nearest: Take the nearest voxel, and keep the type (label maps).

    Returns:
        (X, Y, Z), of the types of ``on_grid``.
    """
    result = np.empty(field.shape[1:], array.dtype if nearest else np.float32)
    _warp(_usable(array), np.ascontiguousarray(field, np.float32), nearest, result.dtype.type(fill), result)
    return result


def field_between_grids(field: Array, to_field: Array, back: Array, shape: Sequence[int]) -> tuple[Array, Array]:
    """A displacement field on another grid, in voxels of another moving grid.

    Args:
        field: (3, x, y, z) float32, C order; continued by its border values.
        to_field: (4, 4) from voxels of the new grid to those of the field.
        back: (4, 4) from voxels that the field points to, to those that the result points to.
        shape: (X, Y, Z) of the new grid.

    Returns:
        (3, X, Y, Z) float32, and (X, Y, Z) bool: the voxels within the outermost centres of the field's grid.
    """
    sizes = [int(n) for n in shape]
    result, inside = np.empty((3, *sizes), np.float32), np.empty(sizes, np.bool_)
    parts_last = np.ascontiguousarray(np.moveaxis(field, 0, -1))  # the three are used together
    _carry_field(parts_last, np.ascontiguousarray(to_field[:3]), np.ascontiguousarray(back[:3]), result, inside)
    return result, inside


def _usable(array: Array) -> Array:
    if array.dtype == np.float16 or array.dtype == np.bool_:
        array = array.astype(np.float32 if array.dtype == np.float16 else np.uint8)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return np.ascontiguousarray(array)


@_inlined
def _is_outside(x, y, z, shape):  # type: ignore[no-untyped-def]
    # Written so that a place that is no number lies outside.
    return not (-0.5 <= x < shape[0] - 0.5 and -0.5 <= y < shape[1] - 0.5 and -0.5 <= z < shape[2] - 0.5)


@_inlined
def _below(place, size):  # type: ignore[no-untyped-def]
    """The voxel before a place, and how far beyond it that lies."""
    place = min(max(place, 0.0), size - 1.0)
    index = np.uint32(place)  # unsigned, so that no index is looked at for being negative
    return index, place - index


@_inlined
def _linear(array, x, y, z):  # type: ignore[no-untyped-def]
    i, a = _below(x, array.shape[0])
    j, b = _below(y, array.shape[1])
    k, c = _below(z, array.shape[2])
    i1, j1, k1 = min(i + 1, array.shape[0] - 1), min(j + 1, array.shape[1] - 1), min(k + 1, array.shape[2] - 1)
    near = (array[i, j, k] * (1 - c) + array[i, j, k1] * c) * (1 - b) + (
        array[i, j1, k] * (1 - c) + array[i, j1, k1] * c
    ) * b
    far = (array[i1, j, k] * (1 - c) + array[i1, j, k1] * c) * (1 - b) + (
        array[i1, j1, k] * (1 - c) + array[i1, j1, k1] * c
    ) * b
    return near * (1 - a) + far * a


@_inlined
def _between(field, part, i, j, k, i1, j1, k1, a, b, c):  # type: ignore[no-untyped-def]
    near = (field[i, j, k, part] * (1 - c) + field[i, j, k1, part] * c) * (1 - b) + (
        field[i, j1, k, part] * (1 - c) + field[i, j1, k1, part] * c
    ) * b
    far = (field[i1, j, k, part] * (1 - c) + field[i1, j, k1, part] * c) * (1 - b) + (
        field[i1, j1, k, part] * (1 - c) + field[i1, j1, k1, part] * c
    ) * b
    return near * (1 - a) + far * a


@_inlined
def _nearest_of(array, x, y, z):  # type: ignore[no-untyped-def]
    return array[
        min(int(max(x + 0.5, 0.0)), array.shape[0] - 1),
        min(int(max(y + 0.5, 0.0)), array.shape[1] - 1),
        min(int(max(z + 0.5, 0.0)), array.shape[2] - 1),
    ]


@_compiled
def _resample(array, m, nearest, fill, result):  # type: ignore[no-untyped-def]
    for i in range(result.shape[0]):
        for j in range(result.shape[1]):
            for k in range(result.shape[2]):
                x = m[0, 0] * i + m[0, 1] * j + m[0, 2] * k + m[0, 3]
                y = m[1, 0] * i + m[1, 1] * j + m[1, 2] * k + m[1, 3]
                z = m[2, 0] * i + m[2, 1] * j + m[2, 2] * k + m[2, 3]
                if _is_outside(x, y, z, array.shape):
                    result[i, j, k] = fill
                elif nearest:
                    result[i, j, k] = _nearest_of(array, x, y, z)
                else:
                    result[i, j, k] = _linear(array, x, y, z)


@_compiled
def _warp(array, field, nearest, fill, result):  # type: ignore[no-untyped-def]
    for i in range(result.shape[0]):
        for j in range(result.shape[1]):
            for k in range(result.shape[2]):
                x = i + np.float64(field[0, i, j, k])
                y = j + np.float64(field[1, i, j, k])
                z = k + np.float64(field[2, i, j, k])
                if _is_outside(x, y, z, array.shape):
                    result[i, j, k] = fill
                elif nearest:
                    result[i, j, k] = _nearest_of(array, x, y, z)
                else:
                    result[i, j, k] = _linear(array, x, y, z)


@_compiled
def _carry_field(field, m, back, result, inside):  # type: ignore[no-untyped-def]
    tolerance = 1e-6  # rounding must not put the corner voxels of an equal grid outside
    last = field.shape[0] - 1, field.shape[1] - 1, field.shape[2] - 1
    ends = last[0] + tolerance, last[1] + tolerance, last[2] + tolerance
    for i in range(result.shape[1]):
        for j in range(result.shape[2]):
            for k in range(result.shape[3]):
                x = m[0, 0] * i + m[0, 1] * j + m[0, 2] * k + m[0, 3]
                y = m[1, 0] * i + m[1, 1] * j + m[1, 2] * k + m[1, 3]
                z = m[2, 0] * i + m[2, 1] * j + m[2, 2] * k + m[2, 3]
                inside[i, j, k] = (
                    -tolerance <= x <= ends[0] and -tolerance <= y <= ends[1] and -tolerance <= z <= ends[2]
                )
                i0, a = _below(x, field.shape[0])
                j0, b = _below(y, field.shape[1])
                k0, c = _below(z, field.shape[2])
                i1, j1, k1 = min(i0 + 1, last[0]), min(j0 + 1, last[1]), min(k0 + 1, last[2])
                p = x + _between(field, 0, i0, j0, k0, i1, j1, k1, a, b, c)
                q = y + _between(field, 1, i0, j0, k0, i1, j1, k1, a, b, c)
                r = z + _between(field, 2, i0, j0, k0, i1, j1, k1, a, b, c)
                result[0, i, j, k] = back[0, 0] * p + back[0, 1] * q + back[0, 2] * r + back[0, 3] - i
                result[1, i, j, k] = back[1, 0] * p + back[1, 1] * q + back[1, 2] * r + back[1, 3] - j
                result[2, i, j, k] = back[2, 0] * p + back[2, 1] * q + back[2, 2] * r + back[2, 3] - k
