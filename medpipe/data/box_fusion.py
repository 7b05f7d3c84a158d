"""Boxes that several readers drew around the same lesions, fused into one box per lesion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

__all__ = ["OVERLAP", "FusedBox", "fuse_boxes", "overlaps"]

OVERLAP = 0.4
"""Boxes of one lesion overlap by more than this: the threshold of the VinBigData challenge's metric."""

Box = tuple[float, float, float, float]
Array = NDArray[Any]


@dataclass(frozen=True)
class FusedBox:
    """One lesion: the mean of the boxes drawn around it, and by how many readers."""

    box: Box  # x, y, width, height in pixels
    readers: int


def fuse_boxes(boxes: Sequence[Box], readers: Sequence[str]) -> list[FusedBox]:
    """Group the boxes of one image and one class, and average every group.

    Average linkage on the distance 1 - IoU: two groups are joined while the mean IoU of their pairs is above
    ``OVERLAP``, the nearest first. A lesion's box has the mean corners of its group. A reader who drew two
    boxes in one group counts once.

    Args:
        boxes: (x, y, width, height) in pixels, with sizes above 0.
        readers: who drew each box.

    Returns:
        the lesions, ordered by their boxes; the order of the arguments does not matter.
    """
    drawn = sorted(zip(boxes, readers, strict=True))
    corners = np.array([box for box, _ in drawn], float).reshape(-1, 4)
    groups: dict[int, list[int]] = {}
    for index, group in enumerate(_groups(corners)):
        groups.setdefault(group, []).append(index)
    fused = []
    for members in groups.values():
        x, y, width, height = corners[members].mean(0).tolist()
        fused.append(FusedBox((x, y, width, height), len({drawn[index][1] for index in members})))
    return sorted(fused, key=lambda lesion: lesion.box)


def overlaps(boxes: Array) -> Array:
    """IoU of every pair of ``boxes``, (n, 4) as x, y, width, height; (n, n)."""
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    sides = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
    shared = np.clip(sides, 0, None).prod(-1)
    areas = boxes[:, 2:].prod(-1)
    return np.asarray(shared / (areas[:, None] + areas[None] - shared))


def _groups(boxes: Array) -> list[int]:
    """The number of the group of every box."""
    if len(boxes) < 2:
        return [1] * len(boxes)
    distances = squareform(1 - overlaps(boxes), checks=False)
    limit = np.nextafter(1 - OVERLAP, 0)  # an overlap of just OVERLAP is not above it
    return [int(group) for group in hierarchy.fcluster(hierarchy.average(distances), limit, "distance")]
