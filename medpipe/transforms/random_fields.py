"""Random smooth fields as tensor products of cubic B-splines, in torch.

A displacement is (3, X, Y, Z) in voxels and pulls back: the deformed volume is ``volume(x + u(x))``. Cubic B-splines whose
control points move by less than 0.403 of their distance are one-to-one: then the absolute derivatives of each component
sum to less than one (Y. Choi, S. Lee, "Injectivity conditions of 2D and 3D uniform cubic B-spline functions", Graphical
Models 2000). Those sums add up, so fields of several distances may be added as long as the parts stay below it together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["INJECTIVE", "affine_displacement", "one_to_one_displacement", "spline_noise"]

INJECTIVE = 0.4
"""Largest movement of control points in parts of their distance, summed over all distances."""


def spline_noise(
    shape: Sequence[int], spacing: float, channels: int, generator: torch.Generator, *, kind: str = "normal"
) -> Tensor:
    """Cubic B-splines with random control points.

    Args:
        shape: (X, Y, Z).
        spacing: Voxels between control points.
        channels: How many.
        generator: Of the random numbers.
        kind: "normal" for standard normal control points, "uniform" for ones in [-1, 1].

    Returns:
        (channels, X, Y, Z) float32.
    """
    x, y, z = (_spline_weights(size, float(spacing)) for size in shape)
    controls = (channels, x.shape[1], y.shape[1], z.shape[1])
    if kind == "normal":
        noise = torch.randn(controls, generator=generator)
    else:
        noise = torch.rand(controls, generator=generator) * 2 - 1
    noise = y @ (noise @ z.T)  # last axis first: it is then long, and products are plain matrix products
    return (x @ noise.flatten(2)).view(channels, *shape)


def one_to_one_displacement(
    shape: Sequence[int], spacings: Sequence[float], strength: float, generator: torch.Generator
) -> Tensor:
    """A random displacement that neither folds nor tears, the sum of splines with control points at several distances.

    Args:
        shape: (X, Y, Z).
        spacings: Voxels between control points; each gets a random share.
        strength: In [0, 1]; at 1 the control points move as far as is certain not to fold.
        generator: Of the random numbers.

    Returns:
        (3, X, Y, Z).

    Raises:
        ValueError: The strength lies outside.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must lie in [0, 1], found {strength}")
    drawn = torch.rand(len(spacings), generator=generator)
    shares = (INJECTIVE * strength * drawn / drawn.sum()).tolist()
    displacement = torch.zeros(3, *shape)
    for space, share in zip(spacings, shares, strict=True):
        displacement.add_(spline_noise(shape, space, 3, generator, kind="uniform"), alpha=share * space)
    return displacement


def affine_displacement(displacement: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
    """Place an affine map after a displacement: ``(I + W) u + W (x - c) + b``, c the centre of the grid.

    Args:
        displacement: (3, X, Y, Z), u.
        weight: (3, 3), W.
        shift: (3,), b in voxels.

    Returns:
        (3, X, Y, Z); one-to-one where u is and the determinant of I + W is positive.
    """
    shape = displacement.shape[1:]
    result = displacement + shift.view(3, 1, 1, 1)
    for axis, size in enumerate(shape):
        line = torch.arange(size, dtype=displacement.dtype) - (size - 1) / 2
        ends = [1, 1, 1]
        ends[axis] = size
        result.addcmul_(weight[:, axis].view(3, 1, 1, 1), line.view(ends) + displacement[axis])
    return result


@lru_cache(maxsize=64)
def _spline_weights(size: int, spacing: float) -> Tensor:
    """(size, controls) weights of uniform cubic B-splines; one control point lies before the first voxel."""
    controls = int((size - 1) / spacing) + 4
    distance = (torch.arange(size)[:, None] / spacing - (torch.arange(controls)[None, :] - 1)).abs()
    near, far = 2 / 3 - distance**2 + distance**3 / 2, (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far)
