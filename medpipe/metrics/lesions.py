"""One truth lesion of an image with two or three axes.

Coordinates: x is the column, y the row, z the slice; pixel centres lie at integer coordinates, the origin is the
centre of the first pixel (top left, first slice). Arrays, shapes, origins and spacing have the order of numpy:
(row, column) or (slice, row, column); spacing is in millimetres, as in DICOM. Spheres and boxes may just as well be
in millimetres of a scanner's or world frame (LUNA16): spacing is then 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medpipe.metrics._arrays import BoolArray, FloatArray

__all__ = ["Box", "Lesion", "check_box", "crop_mask", "nearest_pixel", "split_mask"]

Box = tuple[float, float, float, float] | tuple[float, float, float, float, float, float]
"""x, y, width, height, or x, y, z, width, height, depth. It covers x <= column < x + width, y <= row < y + height and
z <= slice < z + depth."""


@dataclass(frozen=True, eq=False)
class Lesion:
    """A truth lesion, or a region to ignore. Exactly one of mask, box, circle and sphere is given.

    Attributes:
        mask: boolean image (rows, columns) or (slices, rows, columns), or the part of it that begins at ``origin``;
            kept cropped.
        origin: (row, column) or (slice, row, column) of the mask's first pixel in the image; the default is the
            image's first pixel, also for three axes.
        box: (x, y, width, height) or (x, y, z, width, height, depth).
        circle: (x, y, radius), all in pixels.
        weight: share of its case's lesions, for weighted figures of merit; None for equal shares.
        ignore: true for a region whose marks count neither as hits nor as false positives.
        sphere: (x, y, z, radius), all in one unit.
    """

    mask: BoolArray | None = None
    origin: tuple[int, ...] = (0, 0)
    box: Box | None = None
    circle: tuple[float, float, float] | None = None
    weight: float | None = None
    ignore: bool = False
    sphere: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("mask", "box", "circle", "sphere") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a lesion needs exactly one of mask, box, circle and sphere, found {given or 'none'}")
        if self.mask is not None:
            mask, origin = crop_mask(self.mask, self.origin)
            object.__setattr__(self, "mask", mask)
            object.__setattr__(self, "origin", origin)
        elif self.origin != (0, 0):
            raise ValueError(f"origin belongs to a mask, found {self.origin} beside a {given[0]}")
        if self.box is not None:
            check_box(self.box)
        if self.circle is not None:
            _check_ball("circle", "x, y, radius", self.circle)
        if self.sphere is not None:
            _check_ball("sphere", "x, y, z, radius", self.sphere)
        if self.weight is not None and not (math.isfinite(self.weight) and self.weight >= 0):
            raise ValueError(f"a lesion's weight must be finite and not negative, found {self.weight}")

    @cached_property
    def ndim(self) -> int:
        """Number of axes of its image, 2 or 3."""
        if self.mask is not None:
            return self.mask.ndim
        return 2 if self.circle is not None or (self.box is not None and len(self.box) == 4) else 3

    @property
    def radius(self) -> float | None:
        """Radius of the circle or sphere; None for a mask or box."""
        ball = self.circle or self.sphere
        return None if ball is None else ball[-1]

    @cached_property
    def centre(self) -> tuple[float, ...]:
        """(x, y) or (x, y, z) of the mask's centroid, or the middle of the box, circle or sphere."""
        return tuple(float(place) for place in self._middle[::-1])

    @cached_property
    def _middle(self) -> FloatArray:
        """The centre in the order of numpy."""
        ball = self.circle or self.sphere
        if ball is not None:
            return np.array(ball[-2::-1], dtype=np.float64)
        if self.box is not None:
            low, size = self._corner
            return low + size / 2
        assert self.mask is not None  # by construction
        middle: FloatArray = np.argwhere(self.mask).mean(axis=0) + self.origin
        return middle

    @cached_property
    def _corner(self) -> tuple[FloatArray, FloatArray]:
        """First corner and size of the box, in the order of numpy."""
        assert self.box is not None  # only asked for boxes
        half = len(self.box) // 2
        return np.array(self.box[half - 1 :: -1], dtype=np.float64), np.array(self.box[: half - 1 : -1])

    def contains(self, x: float, y: float, z: float | None = None) -> bool:
        """Whether one point lies in the lesion; see :meth:`inside`."""
        return bool(self.inside(_point(x, y, z))[0])

    def centre_distance(
        self, x: float, y: float, spacing: tuple[float, ...] | None = None, z: float | None = None
    ) -> float:
        """Distance from one point to the centre; see :meth:`centre_distances`."""
        return float(self.centre_distances(_point(x, y, z), spacing)[0])

    def distance(self, x: float, y: float, spacing: tuple[float, ...] | None = None, z: float | None = None) -> float:
        """Distance from one point to the nearest place of the lesion; see :meth:`distances`."""
        return float(self.distances(_point(x, y, z), spacing)[0])

    def inside(self, points: FloatArray) -> BoolArray:
        """Which points lie in the lesion: their pixel in the mask, or the point in the box, circle or sphere.

        The box is half-open (its last edges are outside), circle and sphere are closed.

        Args:
            points: (points, axes), each row (row, column) or (slice, row, column).
        """
        if self.radius is not None:
            return np.asarray(self.centre_distances(points) <= self.radius)
        if self.box is not None:
            offsets = points - self._corner[0]
            return np.asarray(((offsets >= 0) & (offsets < self._corner[1])).all(axis=1))
        return np.array([self._has_pixel(point) for point in points.tolist()])

    def _has_pixel(self, point: Sequence[float]) -> bool:
        assert self.mask is not None  # by construction
        pixel = []
        for place, first, size in zip(point, self.origin, self.mask.shape, strict=True):
            index = nearest_pixel(place) - first
            if not 0 <= index < size:
                return False
            pixel.append(index)
        return bool(self.mask[tuple(pixel)])

    def centre_distances(self, points: FloatArray, spacing: tuple[float, ...] | None = None) -> FloatArray:
        """Distances from the points to the centre, in units of ``spacing`` (None: of the coordinates)."""
        return _length(points - self._middle, spacing)

    def distances(
        self, points: FloatArray, spacing: tuple[float, ...] | None = None, limit: float = math.inf
    ) -> FloatArray:
        """Distances from the points to the nearest place of the lesion, in units of ``spacing``.

        0 inside. Outside a mask it is measured to the centre of the nearest mask pixel, otherwise to the edge.

        Args:
            points: (points, axes), each row (row, column) or (slice, row, column).
            spacing: None for units of the coordinates.
            limit: larger distances may come out as infinity, which saves the search for them.

        Raises:
            ValueError: for a circle or sphere with unequal spacing; in millimetres it would be an ellipse.
        """
        if self.radius is not None:
            if spacing is not None and len(set(spacing)) > 1:
                raise ValueError(
                    f"distance to a circle needs square pixels, found spacing {spacing}; give masks or boxes"
                )
            scale = 1.0 if spacing is None else spacing[0]
            return np.maximum(self.centre_distances(points) - self.radius, 0.0) * scale
        if self.box is not None:
            low, size = self._corner
            return _length(_gap(points, low, low + size), spacing)
        assert self.mask is not None  # by construction
        gaps = _length(_gap(points, np.array(self.origin), np.array(self.origin) + self.mask.shape - 1), spacing)
        inside = self.inside(points)
        distances = np.where(inside, 0.0, np.inf)
        for index in np.flatnonzero((gaps <= limit) & ~inside):
            distances[index] = _length(self._edge_pixels - points[index], spacing).min()
        return distances

    @cached_property
    def _edge_pixels(self) -> FloatArray:
        # The pixel nearest to an outside point has a neighbour outside, so the inner ones can be left out.
        assert self.mask is not None  # by construction
        edge = self.mask & ~ndimage.binary_erosion(self.mask)
        return np.argwhere(edge).astype(np.float64) + self.origin


def split_mask(mask: NDArray[np.bool_], min_area: int = 1) -> list[Lesion]:
    """Split a mask into its connected components, from top to bottom, then left to right; slice by slice.

    Pixels that touch in a corner are connected: 8-connected with two axes, 26-connected with three.

    Args:
        mask: boolean image (rows, columns) or (slices, rows, columns).
        min_area: components of fewer pixels are left out.

    Returns:
        One lesion per component; each keeps only its own part of the image.

    Raises:
        ValueError: when the mask is not a boolean image, or min_area is below 1.
    """
    _check_mask(mask)
    if min_area < 1:
        raise ValueError(f"min_area must be at least 1 pixel, found {min_area}")
    labels, _ = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    lesions = []
    for label, part in enumerate(ndimage.find_objects(labels), start=1):
        component = labels[part] == label
        if component.sum() >= min_area:
            lesions.append(Lesion(mask=component, origin=tuple(axis.start for axis in part)))
    return lesions


def crop_mask(mask: NDArray[np.bool_], origin: tuple[int, ...] = (0, 0)) -> tuple[BoolArray, tuple[int, ...]]:
    """Crop a mask to its pixels and return a read-only copy with the (row, column) where it begins.

    With three axes it is (slice, row, column); the default origin is the first pixel then, too.

    Raises:
        ValueError: when the mask is not a boolean image, has no pixel, or origin has another number of axes.
    """
    _check_mask(mask)
    if len(origin) != mask.ndim:
        if any(origin):
            raise ValueError(f"origin {origin} must have one number for each of the mask's {mask.ndim} axes")
        origin = (0,) * mask.ndim
    axes = range(mask.ndim)
    filled = [np.flatnonzero(mask.any(axis=tuple(other for other in axes if other != axis))) for axis in axes]
    if not filled[0].size:
        raise ValueError("the mask has no pixel; for an image without lesions the list of lesions is empty")
    cropped = mask[tuple(slice(places[0], places[-1] + 1) for places in filled)].copy()
    cropped.setflags(write=False)
    return cropped, tuple(start + int(places[0]) for start, places in zip(origin, filled, strict=True))


def check_box(box: Box) -> None:
    """Raise ValueError unless the box is four (2-D) or six (3-D) finite numbers with positive sizes."""
    if len(box) not in (4, 6) or not all(math.isfinite(value) for value in box) or min(box[len(box) // 2 :]) <= 0:
        raise ValueError(
            "a box is (x, y, width, height) or (x, y, z, width, height, depth), finite, width and height above 0"
            f" and so is depth; found {box}"
        )


def nearest_pixel(coordinate: float) -> int:
    """Index of the pixel that a coordinate lies in; halves go up."""
    return math.floor(coordinate + 0.5)


def _point(x: float, y: float, z: float | None) -> FloatArray:
    return np.array([[y, x] if z is None else [z, y, x]], dtype=np.float64)


def _length(offsets: FloatArray, spacing: tuple[float, ...] | None) -> FloatArray:
    """Euclidean lengths of the rows, without overflow on the way."""
    return np.asarray(np.hypot.reduce(offsets if spacing is None else offsets * spacing, axis=-1))


def _gap(points: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Along each axis, how far the points lie outside [low, high]."""
    return np.maximum(np.maximum(low - points, points - high), 0.0)


def _check_ball(kind: str, parts: str, ball: tuple[float, ...]) -> None:
    if len(ball) != len(parts.split()) or not all(math.isfinite(value) for value in ball) or ball[-1] < 0:
        raise ValueError(f"a {kind} is ({parts}), finite, radius not negative; found {ball}")


def _check_mask(mask: NDArray[np.bool_]) -> None:
    if mask.ndim not in (2, 3) or mask.dtype != np.bool_:
        raise ValueError(
            f"a mask has two or three axes and is boolean, found shape {mask.shape} and dtype {mask.dtype};"
            " write mask > 0 for an image of numbers"
        )
