"""How far the surfaces of two masks lie apart: robust Hausdorff and average distance.

Two definitions are in use, and their numbers differ:

    voxel   surface voxels are those of the mask that a face shares with the outside (also of the volume); every one counts
            alike, percentiles are interpolated linearly. MONAI's definition.
    area    the surface runs between 2 x 2 x 2 voxels, and counts by its area in each; the percentile is the first distance
            at which 95 % of the area is reached. The definition of surface-distance, which Learn2Reg uses.

One empty mask gives infinite distances: these come back as NaN with ``one_empty`` set, so that the caller decides what a
missing structure costs. Both empty is undefined.

References:
    S Nikolov et al., Deep learning to achieve clinically applicable segmentation of head and neck anatomy for radiotherapy,
    arXiv:1809.04430 (area); MJ Cardoso et al., MONAI, arXiv:2211.02701 (voxel).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medpipe.metrics._arrays import FloatArray
from medpipe.metrics._surface_elements import NEIGHBOUR_WEIGHTS, surface_areas

__all__ = ["SurfaceDistances", "hausdorff_distance", "surface_distances"]

SurfaceDefinition = Literal["voxel", "area"]


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distances from each place of one surface to the other surface, both ways.

    Attributes:
        to_second, to_first: From places of the first surface to the second, and the reverse.
        first_weights, second_weights: What each place counts; None where all count alike.
        one_empty: Whether exactly one of the masks is empty; then there are no distances.
    """

    to_second: FloatArray
    to_first: FloatArray
    first_weights: FloatArray | None = None
    second_weights: FloatArray | None = None
    one_empty: bool = False

    def hausdorff(self, percentile: float = 95.0) -> float:
        """The larger of the two directed percentiles; NaN without distances."""
        if not self.to_second.size:
            return float("nan")
        return max(
            _percentile(self.to_second, self.first_weights, percentile),
            _percentile(self.to_first, self.second_weights, percentile),
        )

    def average(self) -> float:
        """Average symmetric surface distance: the mean over the places of both surfaces; NaN without distances."""
        if not self.to_second.size:
            return float("nan")
        distances = np.concatenate([self.to_second, self.to_first])
        if self.first_weights is None or self.second_weights is None:
            return float(distances.mean())
        return float(np.average(distances, weights=np.concatenate([self.first_weights, self.second_weights])))


def surface_distances(
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    definition: SurfaceDefinition = "voxel",
) -> SurfaceDistances:
    """Distances between the surfaces of two masks.

    Args:
        first, second: (X, Y, Z).
        spacing: Distance of neighbouring voxels along each axis; gives the unit of the distances.
        definition: As the module says.

    Raises:
        ValueError: Shapes differ, or a mask is not boolean and three-dimensional.
    """
    if first.shape != second.shape or first.ndim != 3:
        raise ValueError(f"two masks of one shape (X, Y, Z) are needed, found {first.shape} and {second.shape}")
    if first.dtype != np.bool_ or second.dtype != np.bool_:
        raise ValueError(f"masks must hold booleans, found dtypes {first.dtype} and {second.dtype}")
    nothing = np.empty(0)
    there = bool(first.any()), bool(second.any())
    if not all(there):
        return SurfaceDistances(nothing, nothing, one_empty=any(there))
    box = _box(first | second)
    one, two = np.pad(first[box], 1), np.pad(second[box], 1)
    if definition == "voxel":
        edges = _edge_voxels(one), _edge_voxels(two)
        return SurfaceDistances(*_between(*edges, spacing))
    codes = _neighbour_codes(one), _neighbour_codes(two)
    surfaces = [(code > 0) & (code < 255) for code in codes]
    areas = surface_areas(spacing)
    to_second, to_first = _between(surfaces[0], surfaces[1], spacing)
    return SurfaceDistances(to_second, to_first, areas[codes[0][surfaces[0]]], areas[codes[1][surfaces[1]]])


def hausdorff_distance(
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    percentile: float = 95.0,
    definition: SurfaceDefinition = "voxel",
) -> float:
    """Robust Hausdorff distance of two masks, as :class:`SurfaceDistances` defines it; NaN where one is empty."""
    return surface_distances(first, second, spacing, definition).hausdorff(percentile)


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    ends = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))[[0, -1]] for axis in range(3)]
    return tuple(slice(int(first), int(last) + 1) for first, last in ends)


def _edge_voxels(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels of a padded mask with a neighbour across a face that is not in it."""
    core = mask.copy()
    for axis in range(3):
        core &= np.roll(mask, 1, axis) & np.roll(mask, -1, axis)  # the padding keeps the ends from meeting
    return mask & ~core


def _neighbour_codes(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Code of every 2 x 2 x 2 neighbourhood, one place fewer along each axis."""
    shape = tuple(size - 1 for size in mask.shape)
    codes = np.zeros(shape, dtype=np.uint8)
    for corner, weight in np.ndenumerate(NEIGHBOUR_WEIGHTS):
        part = tuple(slice(start, start + size) for start, size in zip(corner, shape, strict=True))
        codes |= mask[part].astype(np.uint8) * np.uint8(weight)
    return codes


def _between(
    one: NDArray[np.bool_], two: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> tuple[FloatArray, FloatArray]:
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~two, spacing)[one], distance_transform_edt(~one, spacing)[two]


def _percentile(distances: FloatArray, weights: FloatArray | None, percentile: float) -> float:
    if weights is None:
        return float(np.percentile(distances, percentile))
    order = np.argsort(distances, kind="stable")
    reached: NDArray[Any] = np.cumsum(weights[order]) / weights.sum()
    place = min(int(np.searchsorted(reached, percentile / 100)), len(order) - 1)
    return float(distances[order[place]])
