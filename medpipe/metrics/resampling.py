"""Sampling images, label maps and masks through a displacement field.

A displacement u has shape (3, X, Y, Z) and lives on the grid of the fixed image: the voxel x of the fixed image corresponds
to x + u(x) in the moving image, both as array indices (index 0 is the centre of the first voxel). So intensities are pulled
from the moving image onto the fixed grid, while landmarks go from the fixed to the moving image. The moving image may have
another size than the fixed one.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FloatField",
    "Outside",
    "displacement_lengths_mm",
    "sample_displacement",
    "sampling_positions",
    "warp_image",
    "warp_labels",
]

FloatField = NDArray[np.floating[Any]]
"""A displacement (3, X, Y, Z), or positions of the same shape."""

Outside = Literal["zero", "border"]


def sampling_positions(displacement: FloatField) -> NDArray[np.float32]:
    """Indices in the moving image of every voxel of the fixed grid, shape (3, X, Y, Z), float32."""
    positions: NDArray[np.float32] = displacement.astype(np.float32)
    for axis, size in enumerate(displacement.shape[1:]):
        along = [1, 1, 1]
        along[axis] = size
        positions[axis] += np.arange(size, dtype=np.float32).reshape(along)
    return positions


def warp_image(moving: NDArray[Any], displacement: FloatField) -> NDArray[np.float32]:
    """The moving image on the fixed grid: trilinear, the border value outside the moving image."""
    from scipy.ndimage import map_coordinates

    positions = sampling_positions(displacement)
    warped: NDArray[np.float32] = map_coordinates(moving.astype(np.float32), positions, order=1, mode="nearest")
    return warped


def warp_labels(moving: NDArray[Any], displacement: FloatField) -> NDArray[Any]:
    """A label map on the fixed grid: the nearest voxel's label, 0 where that lies outside the moving image."""
    positions = sampling_positions(displacement)
    inside = np.ones(positions.shape[1:], dtype=np.bool_)
    flat = np.zeros(positions.shape[1:], dtype=np.intp)
    for axis, size in enumerate(moving.shape):
        nearest = np.floor(positions[axis] + np.float32(0.5))
        inside &= (nearest >= 0) & (nearest < size)
        flat = flat * size + nearest.clip(0, size - 1).astype(np.intp)
    labels = np.ascontiguousarray(moving).reshape(-1)[flat]
    labels[~inside] = 0
    return labels


def sample_displacement(
    displacement: FloatField, points: FloatField, order: int = 1, outside: Outside = "border"
) -> NDArray[np.float64]:
    """The displacement at points of the fixed grid.

    Args:
        displacement: (3, X, Y, Z).
        points: (n, 3) indices, with fractions.
        order: Of the spline: 1 is trilinear, 3 cubic.
        outside: What stands outside the grid: the border's displacement, or zero.

    Returns:
        (n, 3), float64.
    """
    from scipy.ndimage import map_coordinates

    mode = "constant" if outside == "zero" else "nearest"
    coordinates = np.asarray(points, dtype=np.float64).T
    # Doubles, because a spline of single precision loses five digits.
    parts = [map_coordinates(part.astype(np.float64), coordinates, order=order, mode=mode) for part in displacement]
    return np.stack(parts, axis=1)


def displacement_lengths_mm(
    displacement: FloatField, fixed_affine: NDArray[np.float64], moving_affine: NDArray[np.float64]
) -> tuple[float, float]:
    """Mean and largest length in millimetres of the way from x to x + u(x), each through its own image's affine (4, 4)."""
    apart = moving_affine - fixed_affine
    grid = np.meshgrid(*map(np.arange, displacement.shape[2:]), indexing="ij")
    total, largest = 0.0, 0.0
    for first in range(displacement.shape[1]):
        plane = displacement[:, first]
        squares = np.zeros(plane.shape[1:])
        for axis in range(3):
            way = sum((np.float64(moving_affine[axis, k]) * plane[k] for k in range(3)), start=np.zeros(()))
            if apart.any():
                way = (
                    way + apart[axis, 0] * first + apart[axis, 1] * grid[0] + apart[axis, 2] * grid[1] + apart[axis, 3]
                )
            squares += way**2
        lengths = np.sqrt(squares)
        total, largest = total + float(lengths.sum()), max(largest, float(lengths.max()))
    return total / displacement[0].size, largest
