"""One truth lesion, in pixels of its image.

Coordinates: x is the column, y the row, pixel centres lie at integer coordinates, the origin is the centre of
the top-left pixel. Spacing is (row, column) in millimetres, as in DICOM.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medpipe.metrics._arrays import BoolArray, FloatArray

__all__ = ["Box", "Lesion", "check_box", "crop_mask", "nearest_pixel", "split_mask"]

Box = tuple[float, float, float, float]
"""x, y, width, height; it covers x <= column < x + width and y <= row < y + height."""

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class Lesion:
    """A truth lesion, or a region to ignore. Exactly one of mask, box and circle is given.

    Attributes:
        mask: boolean image (rows, columns), or the part of it that begins at ``origin``; kept cropped.
        origin: (row, column) of the mask's first pixel in the image.
        box: (x, y, width, height).
        circle: (x, y, radius), all in pixels.
        weight: share of its case's lesions, for weighted figures of merit; None for equal shares.
        ignore: true for a region whose marks count neither as hits nor as false positives.
    """

    mask: BoolArray | None = None
    origin: tuple[int, int] = (0, 0)
    box: Box | None = None
    circle: tuple[float, float, float] | None = None
    weight: float | None = None
    ignore: bool = False

    def __post_init__(self) -> None:
        given = [name for name in ("mask", "box", "circle") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a lesion needs exactly one of mask, box and circle, found {given or 'none'}")
        if self.mask is not None:
            mask, origin = crop_mask(self.mask, self.origin)
            object.__setattr__(self, "mask", mask)
            object.__setattr__(self, "origin", origin)
        elif self.origin != (0, 0):
            raise ValueError(f"origin belongs to a mask, found {self.origin} beside a {given[0]}")
        if self.box is not None:
            check_box(self.box)
        if self.circle is not None:
            _check_circle(self.circle)
        if self.weight is not None and not (math.isfinite(self.weight) and self.weight >= 0):
            raise ValueError(f"a lesion's weight must be finite and not negative, found {self.weight}")

    @cached_property
    def centre(self) -> tuple[float, float]:
        """(x, y) of the mask's centroid, the middle of the box or the centre of the circle."""
        if self.circle is not None:
            return self.circle[0], self.circle[1]
        if self.box is not None:
            x, y, width, height = self.box
            return x + width / 2, y + height / 2
        assert self.mask is not None  # by construction
        row, column = np.argwhere(self.mask).mean(axis=0)
        return self.origin[1] + float(column), self.origin[0] + float(row)

    def contains(self, x: float, y: float) -> bool:
        """Whether the point lies in the lesion: its pixel in the mask, or the point in the box or circle.

        The box is half-open (its right and lower edges are outside), the circle closed.
        """
        if self.circle is not None:
            return math.hypot(x - self.circle[0], y - self.circle[1]) <= self.circle[2]
        if self.box is not None:
            left, top, width, height = self.box
            return left <= x < left + width and top <= y < top + height
        assert self.mask is not None  # by construction
        row, column = nearest_pixel(y) - self.origin[0], nearest_pixel(x) - self.origin[1]
        inside = 0 <= row < self.mask.shape[0] and 0 <= column < self.mask.shape[1]
        return inside and bool(self.mask[row, column])

    def centre_distance(self, x: float, y: float, spacing: tuple[float, float] = (1.0, 1.0)) -> float:
        """Distance from the point to the centre, in units of ``spacing``."""
        return math.hypot((x - self.centre[0]) * spacing[1], (y - self.centre[1]) * spacing[0])

    def distance(self, x: float, y: float, spacing: tuple[float, float] = (1.0, 1.0)) -> float:
        """Distance from the point to the nearest place of the lesion, in units of ``spacing``.

        0 inside. Outside a mask it is measured to the centre of the nearest mask pixel, outside a box or a
        circle to its edge.

        Raises:
            ValueError: for a circle with unequal spacing; in millimetres it would be an ellipse.
        """
        if self.circle is not None:
            if spacing[0] != spacing[1]:
                raise ValueError(
                    f"distance to a circle needs square pixels, found spacing {spacing}; give masks or boxes"
                )
            return max(self.centre_distance(x, y) - self.circle[2], 0.0) * spacing[0]
        if self.box is not None:
            left, top, width, height = self.box
            across = max(left - x, 0.0, x - left - width)
            down = max(top - y, 0.0, y - top - height)
            return math.hypot(across * spacing[1], down * spacing[0])
        if self.contains(x, y):
            return 0.0
        offsets = (self._edge_pixels - (y, x)) * spacing
        return float(np.sqrt((offsets**2).sum(axis=1).min()))

    @cached_property
    def _edge_pixels(self) -> FloatArray:
        # The pixel nearest to an outside point has a neighbour outside, so the inner ones can be left out.
        assert self.mask is not None  # by construction
        edge = self.mask & ~ndimage.binary_erosion(self.mask)
        return np.argwhere(edge).astype(np.float64) + self.origin


def split_mask(mask: NDArray[np.bool_], min_area: int = 1) -> list[Lesion]:
    """Split a mask into its 8-connected components, from top to bottom, then left to right.

    Args:
        mask: boolean image (rows, columns).
        min_area: components of fewer pixels are left out.

    Returns:
        One lesion per component; each keeps only its own part of the image.

    Raises:
        ValueError: when the mask is not two-dimensional and boolean, or min_area is below 1.
    """
    _check_mask(mask)
    if min_area < 1:
        raise ValueError(f"min_area must be at least 1 pixel, found {min_area}")
    labels, _ = ndimage.label(mask, structure=_EIGHT_NEIGHBOURS)
    lesions = []
    for label, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        component = labels[rows, columns] == label
        if component.sum() >= min_area:
            lesions.append(Lesion(mask=component, origin=(rows.start, columns.start)))
    return lesions


def crop_mask(mask: NDArray[np.bool_], origin: tuple[int, int] = (0, 0)) -> tuple[BoolArray, tuple[int, int]]:
    """Crop a mask to its pixels and return a read-only copy with the (row, column) where it begins.

    Raises:
        ValueError: when the mask is not two-dimensional and boolean, or has no pixel.
    """
    _check_mask(mask)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        raise ValueError("the mask has no pixel; for an image without lesions the list of lesions is empty")
    cropped = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
    cropped.setflags(write=False)
    return cropped, (origin[0] + int(rows[0]), origin[1] + int(columns[0]))


def check_box(box: Box) -> None:
    """Raise ValueError when the box is not four finite numbers with positive width and height."""
    if len(box) != 4 or not all(math.isfinite(value) for value in box) or box[2] <= 0 or box[3] <= 0:
        raise ValueError(f"a box is (x, y, width, height), finite, width and height above 0; found {box}")


def nearest_pixel(coordinate: float) -> int:
    """Index of the pixel that a coordinate lies in; halves go up."""
    return math.floor(coordinate + 0.5)


def _check_circle(circle: tuple[float, float, float]) -> None:
    if len(circle) != 3 or not all(math.isfinite(value) for value in circle) or circle[2] < 0:
        raise ValueError(f"a circle is (x, y, radius), finite, radius not negative; found {circle}")


def _check_mask(mask: NDArray[np.bool_]) -> None:
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(
            f"a mask is two-dimensional and boolean, found shape {mask.shape} and dtype {mask.dtype};"
            " write mask > 0 for an image of numbers"
        )
