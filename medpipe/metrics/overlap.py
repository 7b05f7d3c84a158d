"""How well label maps coincide: Dice and Jaccard coefficients of every label.

A label that neither image has is undefined (NaN). One that only one of them has counts 0, or is undefined as well where
a protocol wants that; whether a label is there is asked of the moving image before it is warped, so that a field that moves
a structure out of sight scores 0.

References:
    LR Dice, Measures of the amount of ecologic association between species, Ecology 1945.
    S Zhao, Y Dong, EI-C Chang, Y Xu, Recursive cascaded networks for unsupervised medical image registration, ICCV 2019
    (masks of 0 and 255 are warped trilinearly and cut above 128).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medpipe.metrics._arrays import FloatArray, IntArray
from medpipe.metrics.resampling import FloatField, sampling_positions

__all__ = ["Overlap", "label_overlap", "soft_mask_overlap"]

Absent = Literal["zero", "undefined"]

_SOFT_LEVEL = 128.0
_MASK_VALUE = 255.0


@dataclass(frozen=True, eq=False)
class Overlap:
    """Overlap of each label, in the order of the labels asked for.

    Attributes:
        dice: 2 |A and B| / (|A| + |B|), 0..1; NaN where undefined.
        jaccard: |A and B| / |A or B|, 0..1; NaN where undefined.
        fixed_voxels, moving_voxels, warped_voxels: Voxels that have the label in the fixed image, and in the moving
            image before and after the warp.
    """

    dice: FloatArray
    jaccard: FloatArray
    fixed_voxels: IntArray
    moving_voxels: IntArray
    warped_voxels: IntArray


def label_overlap(
    fixed: NDArray[Any], warped: NDArray[Any], moving: NDArray[Any], labels: Sequence[int], absent: Absent = "zero"
) -> Overlap:
    """Overlap of a fixed and a warped label map.

    Args:
        fixed: Non-negative integers.
        warped: The same shape, on the fixed grid.
        moving: The label map before the warp, of any shape.
        labels: Those to compare.
        absent: What a label gives that only one of fixed and moving has.

    Raises:
        ValueError: Shapes differ, or a label map holds no whole numbers, or negative ones.
    """
    if fixed.shape != warped.shape:
        raise ValueError(f"fixed and warped must have one shape, found {fixed.shape} and {warped.shape}")
    common = _voxels(fixed[fixed == warped], labels)
    return _overlap(common, _voxels(fixed, labels), _voxels(moving, labels), _voxels(warped, labels), absent)


def soft_mask_overlap(
    fixed: NDArray[Any], moving: NDArray[Any], displacement: FloatField, labels: Sequence[int]
) -> Overlap:
    """Overlap by the protocol of recursive cascaded networks: each label's mask is warped on its own.

    Args:
        fixed: Label map on the fixed grid, non-negative integers.
        moving: Label map before the warp.
        displacement: (3, X, Y, Z) in voxels, on the fixed grid.
        labels: Those to compare. Warped masks may overlap or leave gaps.
    """
    from scipy.ndimage import find_objects

    positions = _inside(sampling_positions(displacement), moving.shape).reshape(3, -1)
    boxes, flat = find_objects(moving.astype(np.int64, copy=False)), fixed.reshape(-1)
    common, warped_voxels = np.zeros(len(labels), np.int64), np.zeros(len(labels), np.int64)
    for k, label in enumerate(labels):
        box = boxes[label - 1] if label <= len(boxes) else None
        if box is not None:
            places = _soft_voxels(moving, label, box, positions)
            warped_voxels[k], common[k] = places.size, (flat[places] == label).sum()
    return _overlap(common, _voxels(fixed, labels), _voxels(moving, labels), warped_voxels, "zero")


def _soft_voxels(
    moving: NDArray[Any], label: int, box: tuple[slice, ...], positions: NDArray[np.float32]
) -> NDArray[np.intp]:
    """Places in ``positions`` (3, n) where the label's mask of 0 and 255, sampled trilinearly, lies above 128.

    ``box`` is the label's. Only positions within a voxel of it can see the mask, and no others are sampled.
    """
    from scipy.ndimage import map_coordinates

    near = np.flatnonzero((positions[0] > box[0].start - 1) & (positions[0] < box[0].stop))
    for axis in (1, 2):
        along = positions[axis][near]
        near = near[(along > box[axis].start - 1) & (along < box[axis].stop)]
    start = [max(part.start - 1, 0) for part in box]
    wide = tuple(slice(first, part.stop + 1) for first, part in zip(start, box, strict=True))
    mask = (moving[wide] == label).astype(np.float32) * _MASK_VALUE
    places = positions[:, near] - np.array(start, dtype=np.float32)[:, None]
    return near[map_coordinates(mask, places, order=1, mode="nearest") > _SOFT_LEVEL]


def _inside(positions: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    for axis, size in enumerate(shape):
        np.clip(positions[axis], 0, size - 1, out=positions[axis])
    return positions


def _voxels(array: NDArray[Any], labels: Sequence[int]) -> IntArray:
    if array.dtype.kind not in "iub":
        raise ValueError(f"a label map must hold integers, found dtype {array.dtype}")
    if array.size and array.min() < 0:
        raise ValueError(f"a label map must hold no negative numbers, found {array.min()}")
    counts = np.bincount(array.reshape(-1), minlength=max(labels, default=0) + 1)
    return counts[list(labels)].astype(np.int64)


def _overlap(common: IntArray, fixed: IntArray, moving: IntArray, warped: IntArray, absent: Absent) -> Overlap:
    either, total = fixed + warped - common, fixed + warped
    dice = np.divide(2.0 * common, total, out=np.zeros(len(common)), where=total > 0)
    jaccard = np.divide(common, either, out=np.zeros(len(common)), where=either > 0)
    lacking = (fixed == 0) & (moving == 0) if absent == "zero" else (fixed == 0) | (moving == 0)
    dice[lacking] = jaccard[lacking] = np.nan
    return Overlap(dice, jaccard, fixed, moving, warped)
