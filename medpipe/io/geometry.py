"""Where slices lie: checks of DICOM's position and orientation, and the affine of a stack.

DICOM gives, per image, the centre of its first pixel and two directions in LPS millimetres (PS3.3 C.7.6.2); NIfTI gives
one affine from (column, row, slice) indices to RAS+ millimetres. A stack has an affine only if its slices are parallel,
lie on one line and are evenly spaced; ``check_line`` says by name what is not so, with the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.io.findings import Finding, found

__all__ = ["Line", "affine_ras", "check_line", "check_plane", "normal_of", "same_plane"]

Array = npt.NDArray[np.float64]

DIRECTION_TOLERANCE = 1e-4
"""Largest difference of direction cosines of one orientation: writers round to six digits, some to four."""

PERPENDICULAR_TOLERANCE = 1e-3
"""Largest error of the length and of the product of the two directions."""

SPACING_TOLERANCE = 0.01
"""Largest deviation of a slice distance from the usual one, as a part of it ..."""

SPACING_TOLERANCE_MM = 0.01
"""... or in millimetres, whichever is larger: positions are often rounded to two decimals."""

TILT_TOLERANCE_DEGREES = 0.1
"""Largest angle between the line of the slices and their normal that counts as none."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Line:
    """Slices of one orientation in their order along the normal.

    Attributes:
        order: Indices that sort the slices.
        offsets: (n,) distances along the normal from the first slice, in order.
        shifts: (n, 2) in-plane shifts from the first slice along the directions of columns and rows, in order.
        step: (3,) mean vector from one slice to the next, LPS.
        origin: (3,) position of the first slice, LPS.
    """

    order: npt.NDArray[np.intp]
    offsets: Array
    shifts: Array
    step: Array
    origin: Array

    @classmethod
    def of(cls, positions: Array, orientation: Sequence[float]) -> Line:
        """Sort ``positions`` (n, 3) along the normal of ``orientation``."""
        directions = np.asarray(orientation, dtype=float)
        normal = normal_of(directions)
        order = np.argsort(positions @ normal, kind="stable")
        ordered = positions[order]
        away = ordered - ordered[0]
        step = (ordered[-1] - ordered[0]) / max(len(ordered) - 1, 1)
        shifts = np.stack([away @ directions[:3], away @ directions[3:]], axis=1)
        return cls(order, away @ normal, shifts, step, ordered[0])

    @property
    def distances(self) -> Array:
        """(n - 1,) distances between neighbours."""
        return np.diff(self.offsets)


def normal_of(orientation: npt.ArrayLike) -> Array:
    """Unit normal of an orientation's two directions (right-handed)."""
    directions = np.asarray(orientation, dtype=float)
    normal = np.cross(directions[:3], directions[3:])
    length = float(np.linalg.norm(normal))
    return normal / length if length else normal


def check_plane(
    position: Sequence[float] | None, orientation: Sequence[float] | None, spacing: Sequence[float] | None
) -> str:
    """The code of what is wrong with one image's own geometry; "" where it is sound."""
    if spacing is None:
        return "no_pixel_spacing"
    if len(spacing) != 2 or not all(map(math.isfinite, spacing)) or min(spacing) <= 0:
        return "invalid_pixel_spacing"
    if position is None or orientation is None:
        return "no_position"
    if len(position) != 3 or not all(map(math.isfinite, position)):
        return "invalid_position"
    return "" if _perpendicular(tuple(orientation)) else "invalid_orientation"


@lru_cache(maxsize=1024)  # the images of a series share it
def _perpendicular(orientation: tuple[float, ...]) -> bool:
    """Whether these are two directions of length 1 at right angles."""
    directions = np.asarray(orientation, dtype=float)
    if directions.shape != (6,) or not np.isfinite(directions).all():
        return False
    row, column = directions[:3], directions[3:]
    errors = (abs(np.linalg.norm(row) - 1), abs(np.linalg.norm(column) - 1), abs(row @ column))
    return bool(max(errors) <= PERPENDICULAR_TOLERANCE)


def same_plane(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether two orientations are one within rounding."""
    return first == second or max(abs(a - b) for a, b in zip(first, second, strict=True)) <= DIRECTION_TOLERANCE


def affine_ras(orientation: Sequence[float], spacing: Sequence[float], step: npt.ArrayLike, origin: Any) -> Array:
    """(4, 4) affine from (column, row, slice) indices to RAS+ millimetres.

    Args:
        orientation: Directions of increasing column and row index, LPS.
        spacing: Distance of neighbouring (rows, columns).
        step: Vector from one slice to the next, LPS millimetres.
        origin: Position of the first slice, LPS.
    """
    directions = np.asarray(orientation, dtype=float)
    affine = np.eye(4)
    affine[:3, 0] = directions[:3] * spacing[1]
    affine[:3, 1] = directions[3:] * spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = origin
    return LPS_TO_RAS @ affine


def check_line(line: Line, spacing: Sequence[float], labels: Sequence[str]) -> list[Finding]:
    """What keeps a stack of at least two slices from having one upright affine.

    Args:
        line: The slices.
        spacing: Distance of neighbouring (rows, columns), the scale of in-plane shifts.
        labels: File of each slice, in order.
    """
    distances = line.distances
    usual = float(np.median(distances))
    allowed = max(SPACING_TOLERANCE * usual, SPACING_TOLERANCE_MM)
    findings = []
    uneven = np.flatnonzero(np.abs(distances - usual) > allowed)
    # A line of slowly growing distances has no uneven neighbour, but drifts from the even grid.
    drift = float(np.abs(line.offsets - np.linspace(0, line.offsets[-1], len(line.offsets))).max())
    if len(uneven) or drift > 2 * allowed:
        findings.append(_spacing_finding(distances, usual, allowed, uneven, drift, labels))
    findings.extend(_alignment(line, spacing, labels))
    return findings


def _spacing_finding(
    distances: Array, usual: float, allowed: float, uneven: npt.NDArray[np.intp], drift: float, labels: Sequence[str]
) -> Finding:
    multiples = np.rint(distances[uneven] / usual) if usual else np.zeros(len(uneven))
    whole = np.abs(distances[uneven] - multiples * usual) <= allowed * np.maximum(multiples, 1)
    numbers: dict[str, Any] = {
        "usual_mm": round(usual, 4),
        "least_mm": round(float(distances.min()), 4),
        "largest_mm": round(float(distances.max()), 4),
        "after_slices": [int(i) for i in uneven[:50]],
        "largest_drift_mm": round(drift, 4),
    }
    files = [labels[int(i) + 1] for i in uneven[:50]]
    detail = f"{distances.min():.4g} to {distances.max():.4g} mm where {usual:.4g} mm is usual"
    if len(uneven) and whole.all() and multiples.min() >= 2:
        missing = int((multiples - 1).sum())
        return found("missing_slices", f"{missing} missing, {detail}", files, missing=missing, **numbers)
    return found("uneven_spacing", detail, files, **numbers)


def _alignment(line: Line, spacing: Sequence[float], labels: Sequence[str]) -> list[Finding]:
    span = float(line.offsets[-1])
    if span <= 0:
        return []
    slope = line.shifts[-1] / span
    along = np.outer(line.offsets, slope)
    residual = np.abs(line.shifts - along).max(axis=1)
    # Rounded positions shift by their last digit; a hundredth of a pixel shows in no image.
    allowed = max(0.01 * min(spacing), SPACING_TOLERANCE_MM)
    findings = []
    off = np.flatnonzero(residual > allowed)
    if len(off):
        findings.append(
            found(
                "slices_not_aligned",
                f"up to {residual.max():.4g} mm beside it",
                [labels[int(i)] for i in off[:50]],
                largest_mm=round(float(residual.max()), 4),
            )
        )
    angle = float(np.degrees(np.arctan(np.linalg.norm(slope))))
    if angle > TILT_TOLERANCE_DEGREES and float(np.abs(line.shifts[-1]).max()) > allowed:
        findings.append(
            found(
                "gantry_tilt",
                f"by {angle:.3g} degrees",
                angle_degrees=round(angle, 4),
                shift_mm=round(float(np.linalg.norm(line.shifts[-1])), 4),
            )
        )
    return findings
