"""Warping volumes by displacement fields.

The convention of all registration code in this package: a displacement field u is (B, 3, X, Y, Z), lives on the grid
of the fixed image, and pulls back: ``warped(x) = moving(x + u(x))``. Component i is the displacement along array axis
i, in voxels, and index 0 and N - 1 are the centres of the first and the last voxel. So intensities go from the moving
image to the fixed grid, while a point p of the fixed image lies at p + u(p) in the moving image.

Positions are formed in float32 whatever the networks computed in: at 128 voxels an axis in bfloat16 is wrong by
up to a quarter of a voxel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..choices import choose

__all__ = ["WARP_MODES", "WARP_PADDINGS", "sample_positions", "warp"]

WARP_MODES = ("bilinear", "nearest")
WARP_PADDINGS = ("border", "zeros")


def warp(moving: Tensor, field: Tensor, *, mode: str = "bilinear", padding: str = "border") -> Tensor:
    """Pull a volume back by a displacement field: ``moving(x + u(x))``.

    A zero field gives the volume back, exactly where the sizes are powers of two, else within rounding of positions
    (a millionth of a voxel). The field may have another size than the volume: the result has the field's.

    Args:
        moving: (B, C, X', Y', Z') volume. With ``nearest`` of any type, which is kept, so that label maps stay whole
            numbers.
        field: (B, 3, X, Y, Z) displacements in voxels of ``moving``.
        mode: ``bilinear`` (linear along each of the three axes) or ``nearest``.
        padding: What lies outside the volume: the nearest voxel of its ``border``, or ``zeros``.

    Returns:
        (B, C, X, Y, Z); float32 with ``bilinear``, or float64 where an input is.

    Raises:
        ValueError: A shape, the mode or the padding is wrong.
    """
    choose("mode", mode, WARP_MODES)
    choose("padding", padding, WARP_PADDINGS)
    if field.ndim != 5 or field.shape[1] != 3:
        raise ValueError(f"expected a displacement field (B, 3, X, Y, Z), found {tuple(field.shape)}")
    if moving.ndim != 5 or moving.shape[0] != field.shape[0]:
        raise ValueError(f"expected a volume ({field.shape[0]}, C, X, Y, Z), found {tuple(moving.shape)}")
    if mode == "nearest":
        return _nearest(moving, sample_positions(field), padding)
    dtype = torch.promote_types(torch.promote_types(moving.dtype, field.dtype), torch.float32)
    grid = _grid(field.to(dtype), moving.shape[2:])
    return F.grid_sample(moving.to(dtype), grid, mode="bilinear", padding_mode=padding, align_corners=False)


def sample_positions(field: Tensor) -> Tensor:
    """The positions x + u(x), (B, 3, X, Y, Z) in voxels, float32 or float64."""
    field = field.to(torch.promote_types(field.dtype, torch.float32))
    return torch.stack([_line(field, axis) + field[:, axis] for axis in range(3)], dim=1)


def _line(field: Tensor, axis: int) -> Tensor:
    shape = [1, 1, 1, 1]
    shape[axis + 1] = -1
    return torch.arange(field.shape[axis + 2], dtype=field.dtype, device=field.device).view(shape)


def _grid(field: Tensor, sizes: torch.Size) -> Tensor:
    """grid_sample's positions: axes reversed, one pass per axis.

    The half-pixel form (2 p + 1) / N - 1 names the same voxels as the corner-aligned one, and is exact in binary for
    N a power of two, where 2 p / (N - 1) - 1 is not.
    """
    axes = [
        torch.add((2 * _line(field, i) + 1) / sizes[i] - 1, field[:, i], alpha=2 / sizes[i]) for i in reversed(range(3))
    ]
    return torch.stack(axes, dim=1).permute(0, 2, 3, 4, 1)


def _nearest(moving: Tensor, positions: Tensor, padding: str) -> Tensor:
    # grid_sample knows no integers on the CPU; labels are fetched by index, in their own type.
    flat: Tensor | None = None
    inside: Tensor | None = None
    for axis, size in enumerate(moving.shape[2:]):
        index = positions[:, axis].round()
        if padding == "zeros":
            within = (index >= 0) & (index <= size - 1)
            inside = within if inside is None else inside & within
        index = index.clamp(0, size - 1).long()
        flat = index if flat is None else flat.mul_(size).add_(index)
    assert flat is not None
    batch, channels, shape = moving.shape[0], moving.shape[1], positions.shape[2:]
    chosen = flat.reshape(batch, 1, -1).expand(-1, channels, -1)
    values = moving.flatten(2).gather(2, chosen).view(batch, channels, *shape)
    return values if inside is None else values * inside[:, None].to(values.dtype)
