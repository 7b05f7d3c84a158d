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
    iou             box or mask of the mark overlaps that of the lesion (NODE21 0.2, VinDr-CXR 0.4)

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
Kind = Literal["LL", "NL", "duplicate", "ignored"]


@dataclass(frozen=True, eq=False)
class Mark:
    """A place that a reader or an algorithm calls suspicious.

    Attributes:
        x, y: the point, in pixels (column, row).
        rating: finite; higher is more suspicious.
        box: (x, y, width, height), needed for overlap with boxes.
        mask: boolean image or a part of it that begins at ``origin``, needed for overlap with masks.
        origin: (row, column) of the mask's first pixel.
    """

    x: float
    y: float
    rating: float
    box: Box | None = None
    mask: BoolArray | None = None
    origin: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if not math.isfinite(self.rating):
            raise ValueError(f"a mark's rating must be finite, found {self.rating}; omit what is not marked")
        if not (math.isfinite(self.x) and math.isfinite(self.y)):
            raise ValueError(f"a mark's point must be finite, found ({self.x}, {self.y})")
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
            for ``radius`` when each circle's own radius counts.
        unit: of a distance: pixels, millimetres, or a fraction of the image's longer side.
        strict: whether the tolerance itself is no hit. By default it is none for ``iou`` (overlap >
            threshold) and one for distances (distance <= tolerance); LUNA16 uses ``radius`` with
            ``strict=True``.
        duplicates: what becomes of further marks on a lesion: left out (``drop``: LUNA16, CAMELYON16, the
            JAFROC literature) or false positives (``nl``: average precision as in COCO and VOC).

    Raises:
        ValueError: for a combination that means nothing, or by which no mark or every mark would hit.
    """

    criterion: Criterion
    tolerance: float | None = None
    unit: Unit = "px"
    strict: bool | None = None
    duplicates: Duplicates = "drop"

    def __post_init__(self) -> None:
        _check_choice("criterion", self.criterion, get_args(Criterion))
        _check_choice("unit", self.unit, get_args(Unit))
        _check_choice("duplicates", self.duplicates, get_args(Duplicates))
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
    spacing: tuple[float, float] | None = None,
    image_shape: tuple[int, int] | None = None,
) -> list[MatchRow]:
    """Assign the marks of one image to its lesions.

    1. A mark that meets the criterion only with regions to ignore is ``ignored``.
    2. A mark that meets it with several lesions goes to the nearest one (``radius``, ``containment``: nearest
       centre; ``mask_distance``: nearest place; ties: first lesion). With ``iou``, marks in order of falling
       rating (ties: input order) each take the lesion of largest overlap that is not taken yet.
    3. The mark of highest rating on a lesion is its LL (ties: input order), others are ``duplicate``, or
       ``NL`` with ``duplicates="nl"``.
    4. All other marks are ``NL``.

    Args:
        marks: the marks, in any order.
        lesions: the lesions that count and the regions to ignore.
        rule: when a mark hits.
        spacing: (row, column) in millimetres; needed for tolerances in millimetres, otherwise without effect.
        image_shape: (rows, columns) in pixels; needed for tolerances that are a fraction of the image.

    Returns:
        One row per mark, in the order of the marks.

    Raises:
        ValueError: when the rule needs a spacing, an image shape, a radius, a box or a mask that is missing.
    """
    counting = [lesion for lesion in lesions if not lesion.ignore]
    regions = [lesion for lesion in lesions if lesion.ignore]
    scale = _Scale.of(rule, spacing, image_shape)
    cost = _cost(marks, counting, rule, scale)
    ignorable: BoolArray = np.any(np.isfinite(_cost(marks, regions, rule, scale)), axis=1)
    rows: dict[int, MatchRow] = {}
    taken = np.zeros(len(counting), dtype=np.bool_)
    for index in sorted(range(len(marks)), key=lambda i: -marks[i].rating):
        target = _target(cost[index], taken, exclusive=rule.criterion == "iou")
        kind: Kind
        if target is None:
            kind = "ignored" if ignorable[index] else "NL"
        elif taken[target]:
            kind = "duplicate" if rule.duplicates == "drop" else "NL"
        else:
            kind = "LL"
            taken[target] = True
        lesion = target if kind in ("LL", "duplicate") else None
        rows[index] = MatchRow(index, kind, lesion, float(marks[index].rating))
    return [rows[index] for index in range(len(marks))]


@dataclass(frozen=True)
class _Scale:
    """How distances are measured, and the largest one that is a hit (None: the lesion's own radius)."""

    spacing: tuple[float, float]
    limit: float | None

    @classmethod
    def of(cls, rule: HitRule, spacing: tuple[float, float] | None, image_shape: tuple[int, int] | None) -> _Scale:
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
            return cls((1.0, 1.0), rule.tolerance * max(image_shape))
        return cls((1.0, 1.0), rule.tolerance)


def _cost(marks: Sequence[Mark], lesions: Sequence[Lesion], rule: HitRule, scale: _Scale) -> FloatArray:
    """Marks x lesions: lower is better, infinite where the criterion is not met."""
    cost: FloatArray = np.full((len(marks), len(lesions)), np.inf)
    for row, mark in enumerate(marks):
        for column, lesion in enumerate(lesions):
            if rule.criterion == "iou":
                overlap = _overlap(mark, lesion)
                if _reaches(overlap, scale.limit, strict=rule.is_strict):
                    cost[row, column] = -overlap
            else:
                cost[row, column] = _point_cost(mark, lesion, rule, scale)
    return cost


def _point_cost(mark: Mark, lesion: Lesion, rule: HitRule, scale: _Scale) -> float:
    if rule.criterion == "containment":
        return lesion.centre_distance(mark.x, mark.y) if lesion.contains(mark.x, mark.y) else math.inf
    limit = scale.limit
    if rule.criterion == "mask_distance":
        distance = lesion.distance(mark.x, mark.y, scale.spacing)
    else:
        distance = lesion.centre_distance(mark.x, mark.y, scale.spacing)
        limit = _own_radius(lesion) if limit is None else limit
    assert limit is not None  # only the criterion radius goes without
    return distance if distance < limit or (distance == limit and not rule.is_strict) else math.inf


def _own_radius(lesion: Lesion) -> float:
    if lesion.circle is None:
        raise ValueError("without a tolerance the criterion 'radius' needs lesions given as circles")
    return lesion.circle[2]


def _reaches(overlap: float, threshold: float | None, *, strict: bool) -> bool:
    assert threshold is not None  # checked by HitRule
    return overlap > threshold if strict else overlap >= threshold


def _target(cost: FloatArray, taken: BoolArray, *, exclusive: bool) -> int | None:
    """The lesion a mark goes to. ``exclusive``: a free lesion comes before a better one that is taken."""
    if not np.isfinite(cost).any():
        return None
    free = np.where(taken, np.inf, cost)
    return int(np.argmin(free if exclusive and np.isfinite(free).any() else cost))


def _overlap(mark: Mark, lesion: Lesion) -> float:
    """Intersection over union of two boxes or two masks."""
    if lesion.box is not None and mark.box is not None:
        return _box_overlap(mark.box, lesion.box)
    if lesion.mask is not None and mark.mask is not None:
        return _mask_overlap(mark.mask, mark.origin, lesion.mask, lesion.origin)
    shape = "mask" if lesion.mask is not None else "box"
    if lesion.circle is not None:
        raise ValueError("the criterion 'iou' needs lesions given as boxes or masks, found a circle")
    raise ValueError(f"the criterion 'iou' needs a {shape} with every mark, as the lesion is a {shape}")


def _box_overlap(a: Box, b: Box) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def _mask_overlap(a: BoolArray, a_origin: tuple[int, int], b: BoolArray, b_origin: tuple[int, int]) -> float:
    first = [max(a_origin[axis], b_origin[axis]) for axis in (0, 1)]
    last = [min(a_origin[axis] + a.shape[axis], b_origin[axis] + b.shape[axis]) for axis in (0, 1)]
    if first[0] >= last[0] or first[1] >= last[1]:
        return 0.0
    a_part, b_part = (
        mask[first[0] - origin[0] : last[0] - origin[0], first[1] - origin[1] : last[1] - origin[1]]
        for mask, origin in ((a, a_origin), (b, b_origin))
    )
    shared = int((a_part & b_part).sum())
    return shared / (int(a.sum()) + int(b.sum()) - shared)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; found {value!r}")
