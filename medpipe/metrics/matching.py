"""Which mark found which lesion: the marks of one image against its truth.

A mark becomes one of
    LL          lesion localisation: it found a lesion, and it is the one mark that counts for this lesion
    NL          non-lesion localisation: a false positive
    duplicate   it found a lesion for which a mark of higher rating counts already
    ignored     it met a region to ignore and no lesion; it counts neither way

Criteria
    radius          the mark point lies within a distance of the lesion's centre (LUNA16)
    containment     the mark point lies in the lesion (CAMELYON16)
    mask_distance   the mark point lies within a distance of the nearest place of the lesion
    iou             box or mask of the mark overlaps that of the lesion (NODE21 0.2, VinDr-CXR 0.4, PI-CAI 0.1)

Images have two or three axes. All places are in pixels, or all in millimetres of one frame (LUNA16), which then count as
pixels of 1 mm.

The rule biases every figure computed from it, so it is an explicit object that a report can put into words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from medpipe.metrics._arrays import BoolArray, FloatArray
from medpipe.metrics.lesions import Box, Lesion, check_box, crop_mask

__all__ = ["HitRule", "Mark", "MatchRow", "match_marks"]

Criterion = Literal["radius", "containment", "mask_distance", "iou"]
Unit = Literal["px", "mm", "fraction"]
Duplicates = Literal["drop", "nl"]
Assignment = Literal["greedy", "optimal"]
Kind = Literal["LL", "NL", "duplicate", "ignored"]


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; found {value!r}")


@dataclass(frozen=True, eq=False)
class Mark:
    """A place that a reader or an algorithm calls suspicious.

    Attributes:
        x, y: the point, in pixels (column, row).
        rating: finite; higher is more suspicious.
        box: (x, y, width, height) or (x, y, z, width, height, depth), needed for overlap with boxes.
        mask: boolean image or a part of it that begins at ``origin``, needed for overlap with masks.
        origin: (row, column) or (slice, row, column) of the mask's first pixel.
        z: the point's slice; None for an image with two axes.
    """

    x: float
    y: float
    rating: float
    box: Box | None = None
    mask: BoolArray | None = None
    origin: tuple[int, ...] = (0, 0)
    z: float | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.rating):
            raise ValueError(f"a mark's rating must be finite, found {self.rating}; omit what is not marked")
        if not (math.isfinite(self.x) and math.isfinite(self.y)):
            raise ValueError(f"a mark's point must be finite, found ({self.x}, {self.y})")
        if self.z is not None and not math.isfinite(self.z):
            raise ValueError(f"a mark's point must be finite, found z={self.z}")
        if self.box is not None:
            check_box(self.box)
        if self.mask is not None:
            mask, origin = crop_mask(self.mask, self.origin)
            object.__setattr__(self, "mask", mask)
            object.__setattr__(self, "origin", origin)


@dataclass(frozen=True)
class HitRule:
    """When a mark hits a lesion.

    Attributes:
        criterion: ``radius``, ``containment``, ``mask_distance`` or ``iou``.
        tolerance: the largest distance, or for ``iou`` the overlap to reach. None for ``containment``, and
            for ``radius`` when the own radius of each circle or sphere counts.
        unit: of a distance: pixels, millimetres, or a fraction of the image's longer side.
        strict: whether the tolerance itself is no hit. By default it is none for ``iou`` (overlap >
            threshold) and one for distances (distance <= tolerance); LUNA16 uses ``radius`` with
            ``strict=True``.
        duplicates: what becomes of further marks on a lesion: left out (``drop``: LUNA16, CAMELYON16, the
            JAFROC literature) or false positives (``nl``: average precision as in COCO and VOC).
        assignment: for ``iou``, which mark takes which lesion: marks choose in order of falling rating
            (``greedy``), or all together such that as many lesions as possible are found, then with the largest
            total overlap (``optimal``: PI-CAI).

    Raises:
        ValueError: for a combination that means nothing, or by which no mark or every mark would hit.
    """

    criterion: Criterion
    tolerance: float | None = None
    unit: Unit = "px"
    strict: bool | None = None
    duplicates: Duplicates = "drop"
    assignment: Assignment = "greedy"

    def __post_init__(self) -> None:
        _check_choice("criterion", self.criterion, get_args(Criterion))
        _check_choice("unit", self.unit, get_args(Unit))
        _check_choice("duplicates", self.duplicates, get_args(Duplicates))
        _check_choice("assignment", self.assignment, get_args(Assignment))
        if self.assignment == "optimal" and self.criterion != "iou":
            raise ValueError(f"assignment 'optimal' belongs to the criterion 'iou', found {self.criterion!r}")
        if self.tolerance is None:
            self._check_without_tolerance()
        elif self.criterion == "containment":
            raise ValueError(f"containment has no tolerance, found {self.tolerance}; mask_distance has one")
        elif self.criterion == "iou":
            self._check_overlap(self.tolerance)
        elif not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise ValueError(f"a distance must be finite and not negative, found {self.tolerance}")
        elif self.tolerance == 0 and self.is_strict:
            raise ValueError("no mark is nearer than 0; give a larger tolerance or strict=False")
        if self.unit != "px" and (self.tolerance is None or self.criterion == "iou"):
            raise ValueError(f"unit {self.unit!r} belongs to a distance given as tolerance")

    def _check_without_tolerance(self) -> None:
        if self.criterion in ("mask_distance", "iou"):
            raise ValueError(f"{self.criterion} needs a tolerance")
        if self.criterion == "containment" and self.strict:
            raise ValueError("containment has no tolerance to be strict about")

    def _check_overlap(self, threshold: float) -> None:
        if not 0 <= threshold <= 1:
            raise ValueError(f"an overlap lies between 0 and 1, found {threshold}")
        if threshold == (1 if self.is_strict else 0):
            every = "no mark" if self.is_strict else "every mark"
            raise ValueError(f"with threshold {threshold} and strict={self.is_strict} {every} would hit")

    @property
    def is_strict(self) -> bool:
        """``strict``, or the criterion's default."""
        return self.criterion == "iou" if self.strict is None else self.strict

    def describe(self) -> str:
        """The rule as one sentence, for reports."""
        surplus = "are left out" if self.duplicates == "drop" else "count as false positives"
        if self.assignment == "optimal":
            return (
                f"A mark can hit a lesion when {self._condition()}; marks are assigned one to one such that as many"
                " lesions as possible are hit, then with the largest total overlap; further marks on a lesion"
                f" {surplus}."
            )
        return (
            f"A mark hits a lesion when {self._condition()}; of several marks on one lesion the one with the"
            f" highest rating counts and the others {surplus}."
        )

    def _condition(self) -> str:
        if self.criterion == "containment":
            return "its point lies in the lesion"
        if self.criterion == "iou":
            relation = "is above" if self.is_strict else "is at least"
            return f"the overlap of the two (intersection over union) {relation} {self.tolerance:g}"
        target = "the lesion's centre" if self.criterion == "radius" else "the nearest place of the lesion"
        relation = "is less than" if self.is_strict else "is at most"
        if self.tolerance is None:
            return f"the distance from its point to {target} {relation} the lesion's radius"
        units = {"px": "pixels", "mm": "mm", "fraction": "times the image's longer side"}
        return f"the distance from its point to {target} {relation} {self.tolerance:g} {units[self.unit]}"


@dataclass(frozen=True)
class MatchRow:
    """What became of one mark.

    Attributes:
        mark: its position in the list of marks.
        kind: ``LL``, ``NL``, ``duplicate`` or ``ignored``.
        lesion: for LL and duplicate, the lesion's position among the lesions that count (regions to ignore
            are not numbered); otherwise None.
        rating: the mark's rating.
    """

    mark: int
    kind: Kind
    lesion: int | None
    rating: float


def match_marks(
    marks: Sequence[Mark],
    lesions: Sequence[Lesion],
    rule: HitRule,
    *,
    spacing: tuple[float, ...] | None = None,
    image_shape: tuple[int, ...] | None = None,
) -> list[MatchRow]:
    """Assign the marks of one image to its lesions.

    1. A mark that meets the criterion only with regions to ignore is ``ignored``.
    2. A mark that meets it with several lesions goes to the nearest one (``radius``, ``containment``: nearest
       centre; ``mask_distance``: nearest place; ties: first lesion). With ``iou``, marks in order of falling
       rating (ties: input order) each take the lesion of largest overlap that is not taken yet; or, with
       ``assignment="optimal"``, as many lesions as possible are taken, and of all ways to do so the one with the
       largest total overlap.
    3. The mark of highest rating on a lesion is its LL (ties: input order; with ``assignment="optimal"`` it is the
       assigned mark), others are ``duplicate``, or ``NL`` with ``duplicates="nl"``.
    4. All other marks are ``NL``.

    Args:
        marks: the marks, in any order.
        lesions: the lesions that count and the regions to ignore.
        rule: when a mark hits.
        spacing: (row, column) or (slice, row, column) in millimetres; needed for tolerances in millimetres, otherwise
            without effect.
        image_shape: (rows, columns) or (slices, rows, columns) in pixels; needed for tolerances that are a fraction
            of the image.

    Returns:
        One row per mark, in the order of the marks.

    Raises:
        ValueError: when the rule needs a spacing, an image shape, a radius, a box or a mask that is missing, or marks
            and lesions do not all have two axes, or all three.
    """
    scale = _Scale.of(rule, spacing, image_shape)
    ratings = [float(mark.rating) for mark in marks]
    if not marks or not lesions:
        return [MatchRow(index, "NL", None, rating) for index, rating in enumerate(ratings)]
    counting = [lesion for lesion in lesions if not lesion.ignore]
    regions = [lesion for lesion in lesions if lesion.ignore]
    with np.errstate(over="ignore", invalid="ignore"):  # places beyond all bounds are simply far away
        cost = _cost(marks, counting, rule, scale)
        excuses: list[list[float]] = _cost(marks, regions, rule, scale).tolist()
    surplus: Kind = "duplicate" if rule.duplicates == "drop" else "NL"
    rows = []
    for index, (lesion, is_ll) in enumerate(_assign(cost, ratings, rule)):
        kind: Kind = "LL" if is_ll else surplus
        if lesion is None:
            kind = "NL" if _best(excuses[index]) is None else "ignored"
        rows.append(MatchRow(index, kind, None if kind == "NL" else lesion, ratings[index]))
    return rows


@dataclass(frozen=True)
class _Scale:
    """How distances are measured, and the largest one that is a hit (None: the lesion's own radius)."""

    spacing: tuple[float, ...] | None
    limit: float | None

    @classmethod
    def of(cls, rule: HitRule, spacing: tuple[float, ...] | None, image_shape: tuple[int, ...] | None) -> _Scale:
        if spacing is not None and not all(math.isfinite(step) and step > 0 for step in spacing):
            raise ValueError(f"spacing is (row, column) in millimetres, above 0; found {spacing}")
        if rule.unit == "mm":
            if spacing is None:
                raise ValueError("a tolerance in mm needs the image's spacing")
            return cls(spacing, rule.tolerance)
        if rule.unit == "fraction":
            if image_shape is None:
                raise ValueError("a tolerance as a fraction of the image needs the image's shape")
            assert rule.tolerance is not None  # checked by HitRule
            return cls(None, rule.tolerance * max(image_shape))
        return cls(None, rule.tolerance)


def _assign(cost: FloatArray, ratings: Sequence[float], rule: HitRule) -> list[tuple[int | None, bool]]:
    """For each mark the lesion it goes to (None: it meets the criterion with none), and whether it is its LL."""
    if rule.assignment == "optimal":
        return _assign_together(cost)
    costs: list[list[float]] = cost.tolist()
    found: list[tuple[int | None, bool]] = [(None, False)] * len(costs)
    taken: set[int] = set()
    for mark in sorted(range(len(costs)), key=lambda index: -ratings[index]):
        lesion = _best(costs[mark])
        if rule.criterion == "iou" and lesion in taken:  # a free lesion comes before a better one that is taken
            free = [math.inf if other in taken else value for other, value in enumerate(costs[mark])]
            lesion = lesion if (best := _best(free)) is None else best
        if lesion is not None:
            found[mark] = (lesion, lesion not in taken)
            taken.add(lesion)
    return found


def _assign_together(cost: FloatArray) -> list[tuple[int | None, bool]]:
    from scipy.optimize import linear_sum_assignment  # slow to load, rarely needed

    found = [(_best(row), False) for row in cost.tolist()]
    # Overlaps are at most 1, so that no sum of them outweighs one lesion more.
    benefit = np.where(np.isfinite(cost), 1 + min(cost.shape) - cost, 0.0)
    for mark, lesion in zip(*linear_sum_assignment(benefit, maximize=True), strict=True):
        if np.isfinite(cost[mark, lesion]):
            found[mark] = (int(lesion), True)
    return found


def _best(costs: list[float]) -> int | None:
    """The lesion of lowest cost, the first of several; None where all are infinite."""
    lowest = min(costs, default=math.inf)
    return None if lowest == math.inf else costs.index(lowest)


def _cost(marks: Sequence[Mark], lesions: Sequence[Lesion], rule: HitRule, scale: _Scale) -> FloatArray:
    """Marks x lesions: lower is better, infinite where the criterion is not met."""
    if not lesions:
        return np.empty((len(marks), 0))
    if rule.criterion == "iou":
        overlaps = np.array([[_overlap(mark, lesion) for lesion in lesions] for mark in marks])
        assert scale.limit is not None  # checked by HitRule
        return np.where(overlaps > scale.limit if rule.is_strict else overlaps >= scale.limit, -overlaps, np.inf)
    points = _points(marks, lesions, scale)
    if rule.criterion == "containment":
        cost: FloatArray = np.full((len(marks), len(lesions)), np.inf)
        for column, lesion in enumerate(lesions):
            inside = lesion.inside(points)
            if inside.any():
                cost[inside, column] = lesion.centre_distances(points[inside])
        return cost
    if rule.criterion == "mask_distance":
        assert scale.limit is not None  # checked by HitRule
        limits = [scale.limit]
        distances = np.array([lesion.distances(points, scale.spacing, scale.limit) for lesion in lesions]).T
    else:
        limits = _own_radii(lesions) if scale.limit is None else [scale.limit]
        distances = _centre_distances(points, lesions, scale.spacing)
    return np.where(distances < limits if rule.is_strict else distances <= limits, distances, np.inf)


def _points(marks: Sequence[Mark], lesions: Sequence[Lesion], scale: _Scale) -> FloatArray:
    """The marks' points in the order of numpy, (marks, axes)."""
    axes = {2 if mark.z is None else 3 for mark in marks} | {lesion.ndim for lesion in lesions}
    if len(axes) > 1:
        raise ValueError("marks and lesions must all have two axes (marks without z), or all three (marks with z)")
    if scale.spacing is not None and {len(scale.spacing)} != axes:
        raise ValueError(f"spacing {scale.spacing} must have one number for each of the image's {axes.pop()} axes")
    if axes == {2}:
        return np.array([(mark.y, mark.x) for mark in marks], dtype=np.float64)
    return np.array([(mark.z, mark.y, mark.x) for mark in marks], dtype=np.float64)


def _centre_distances(points: FloatArray, lesions: Sequence[Lesion], spacing: tuple[float, ...] | None) -> FloatArray:
    """Marks x lesions, as :meth:`Lesion.centre_distances`."""
    centres = np.array([lesion.centre[::-1] for lesion in lesions])
    offsets = points[:, np.newaxis] - centres
    return np.asarray(np.hypot.reduce(offsets if spacing is None else offsets * spacing, axis=-1))


def _own_radii(lesions: Sequence[Lesion]) -> list[float]:
    radii = [lesion.radius for lesion in lesions]
    if None in radii:
        raise ValueError("without a tolerance the criterion 'radius' needs lesions given as circles or spheres")
    return [radius for radius in radii if radius is not None]


def _overlap(mark: Mark, lesion: Lesion) -> float:
    """Intersection over union of two boxes or two masks."""
    if lesion.radius is not None:
        raise ValueError("the criterion 'iou' needs lesions given as boxes or masks, found a circle or sphere")
    shape = "box" if lesion.mask is None else "mask"
    if getattr(mark, shape) is None:
        raise ValueError(f"the criterion 'iou' needs a {shape} with every mark, as the lesion is a {shape}")
    if lesion.box is not None and mark.box is not None:
        if len(mark.box) == len(lesion.box):
            return _box_overlap(mark.box, lesion.box)
    elif len(mark.origin) == len(lesion.origin):
        return _mask_overlap(mark, lesion)
    raise ValueError(f"the {shape} of every mark must have as many axes as that of the lesion, {lesion.ndim}")


def _box_overlap(a: Box, b: Box) -> float:
    axes = len(a) // 2
    shared = 1.0
    for axis in range(axes):
        side = min(a[axis] + a[axis + axes], b[axis] + b[axis + axes]) - max(a[axis], b[axis])
        if side <= 0:
            return 0.0
        shared *= side
    return shared / (math.prod(a[axes:]) + math.prod(b[axes:]) - shared)


def _mask_overlap(mark: Mark, lesion: Lesion) -> float:
    a, b = mark.mask, lesion.mask
    assert a is not None  # checked before
    assert b is not None
    a_part, b_part = [], []
    for a_first, a_size, b_first, b_size in zip(mark.origin, a.shape, lesion.origin, b.shape, strict=True):
        first, last = max(a_first, b_first), min(a_first + a_size, b_first + b_size)
        if first >= last:
            return 0.0
        a_part.append(slice(first - a_first, last - a_first))
        b_part.append(slice(first - b_first, last - b_first))
    shared = np.count_nonzero(a[tuple(a_part)] & b[tuple(b_part)])
    return shared / (np.count_nonzero(a) + np.count_nonzero(b) - shared)
