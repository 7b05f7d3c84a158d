"""Where the body part lies in a volume: boxes for cropping before registration.

Brain: voxels above a tenth of the way between the 2nd and the 98th percentile (the "robust" threshold of S M Smith, "Fast
robust automated brain extraction", Human Brain Mapping 2002), the largest connected part of them. Serves heads with and
without skull.

Liver: the demo of https://github.com/microsoft/Recursive-Cascaded-Networks looks for the largest connected part, over a list
of intervals of Hounsfield units, after smoothing and a median within slices. Here that is done at a quarter of the usual
size of CT slices, which moves a face of the box by less than its margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.errors import CaseFailedError

__all__ = ["FOREGROUNDS", "block_means", "box_around", "box_of", "foreground"]

Array = npt.NDArray[Any]

FOREGROUNDS = ("brain", "liver", "whole")

_INTERVALS = (
    *((80, 140), (110, 160), (70, 90), (60, 80), (50, 70), (40, 60), (30, 50), (20, 40), (10, 30)),
    *((140, 180), (160, 200)),
)
_SLICE = 512
"""Columns of the slices for which the demo's numbers of pixels are meant."""

_MEDIAN_RADIUS = 35
_SMOOTHING = 2.0
_LARGEST_SIDE = 128


def block_means(array: Array, affine: Array, factors: tuple[int, int, int]) -> tuple[Array, npt.NDArray[np.float64]]:
    """Means of blocks of voxels, float32, and their affine; what does not fill a block at the far ends is left out."""
    affine = np.asarray(affine, dtype=np.float64)
    if factors == (1, 1, 1):
        return np.ascontiguousarray(array, dtype=np.float32), affine
    x, y, z = (n // f for n, f in zip(array.shape, factors, strict=True))
    a, b, c = factors
    result = np.zeros((x, y, z), np.float32)
    for i in range(a):  # one block's voxels after the other: no copy of the volume
        for j in range(b):
            for k in range(c):
                result += array[i : x * a : a, j : y * b : b, k : z * c : c]
    result /= a * b * c
    coarse = affine.copy()
    coarse[:3, :3] *= factors
    coarse[:3, 3] += affine[:3, :3] @ ((np.array(factors) - 1) / 2)
    return result, coarse


def foreground(array: Array, affine: Array, kind: str) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """A mask of the body part on a grid of at most 128 voxels a side, and the affine of that grid.

    Args:
        array: (X, Y, Z); Hounsfield units for ``liver``.
        affine: (4, 4), RAS+.
        kind: One of ``FOREGROUNDS``.

    Raises:
        CaseFailedError: There is none.
    """
    factors = tuple(max(1, -(-n // _LARGEST_SIDE)) for n in array.shape)
    small, coarse = block_means(array, affine, factors)  # type: ignore[arg-type]
    if kind == "whole":
        return np.ones(small.shape, bool), coarse
    mask = _brain(small) if kind == "brain" else _liver(small, coarse, factors)  # type: ignore[arg-type]
    if not mask.any():
        raise CaseFailedError(f"no {kind} found in it: nothing stands out from its background")
    return mask, coarse


def box_of(mask: npt.NDArray[np.bool_], affine: Array, axes: Array) -> npt.NDArray[np.float64]:
    """The box around the voxels of a mask, half a voxel beyond their centres.

    Args:
        mask: (X, Y, Z) with at least one voxel.
        affine: (4, 4) of the mask.
        axes: (3, 3), columns are the unit vectors along which the box lies.

    Returns:
        (2, 3) lower and upper ends along the axes, millimetres.
    """
    ends = []
    for axis in range(3):
        line = np.flatnonzero(mask.any(axis=tuple(k for k in range(3) if k != axis)))
        ends.append((line[0] - 0.5, line[-1] + 0.5))
    return _box(ends, affine, axes)


def box_around(shape: Sequence[int], affine: Array, axes: Array) -> npt.NDArray[np.float64]:
    """``box_of`` for all voxels of a volume."""
    return _box([(-0.5, n - 0.5) for n in shape], affine, axes)


def _box(ends: Sequence[tuple[float, float]], affine: Array, axes: Array) -> npt.NDArray[np.float64]:
    corners = np.array(np.meshgrid(*ends, indexing="ij")).reshape(3, -1)
    along = axes.T @ (affine[:3, :3] @ corners + affine[:3, 3:])
    return np.stack([along.min(axis=1), along.max(axis=1)])


def _brain(small: Array) -> npt.NDArray[np.bool_]:
    low, high = np.percentile(small, (2, 98))
    if high <= low:  # little else than background
        return _largest(small > small.min())
    return _largest(small > low + 0.1 * (high - low))


def _liver(small: Array, affine: Array, factors: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    from scipy.ndimage import gaussian_filter
    from scipy.signal import fftconvolve

    smooth = gaussian_filter(small, [_SMOOTHING / f for f in factors])
    axial = int(np.argmax(np.abs(affine[2, :3]) / np.linalg.norm(affine[:3, :3], axis=0)))
    smooth = np.moveaxis(smooth, axial, 0)
    disk = _disk(_MEDIAN_RADIUS * max(smooth.shape[1:]) / _SLICE)
    best, size = np.zeros(smooth.shape, bool), 0
    for low, high in _INTERVALS:
        mask = (smooth >= low) & (smooth <= high)
        if np.count_nonzero(mask) <= size:
            continue
        # The median of a mask: more than half of the disk is in it.
        share = fftconvolve(mask.astype(np.float32), disk[None], mode="same", axes=(1, 2))
        part = _largest(share > 0.5)
        if (count := int(np.count_nonzero(part))) > size:
            best, size = part, count
    return np.moveaxis(best, 0, axial)


def _disk(radius: float) -> Array:
    reach = max(1, round(radius))
    line = np.arange(-reach, reach + 1)
    disk = (line[:, None] ** 2 + line**2 <= reach**2).astype(np.float32)
    return np.asarray(disk / disk.sum())


def _largest(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Its largest part that is connected through faces."""
    from scipy.ndimage import label

    parts, number = label(mask)
    if number < 2:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(parts == sizes.argmax())
