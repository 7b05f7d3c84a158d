"""What is true of each case: its label, its patient, and where its lesions are."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.data.cases import check_classes
from medpipe.data.datalist import lesion_mask, load_datalist
from medpipe.data.rle import decode_relative_rle
from medpipe.errors import InputDataError
from medpipe.metrics.lesions import Lesion, split_mask
from medpipe.predictions.tables import numbered_rows

__all__ = ["TruthCase", "labels_from_table", "number_in", "truth_from_datalist", "truth_from_table"]


@dataclass(frozen=True)
class TruthCase:
    """Truth of one case.

    Attributes:
        case: Its name.
        diseased: Whether it is positive.
        patient: Name of its patient; cases of one patient are resampled together.
        lesions: Its lesions; None where it is diseased but the places are not known.
        shape: (rows, columns) or (slices, rows, columns), or None where unknown.
        spacing: (row, column) or (slice, row, column) in mm, or None where unknown.
        groups: What it can be split by (sex, age, site, ...), as text; empty where not known.
    """

    case: str
    diseased: bool
    patient: str
    lesions: list[Lesion] | None = field(default_factory=list)
    shape: tuple[int, ...] | None = None
    spacing: tuple[float, ...] | None = None
    groups: dict[str, str] = field(default_factory=dict)


def truth_from_datalist(
    path: Path, section: str, *, minimum_lesion: float = 0.0
) -> tuple[list[TruthCase], dict[str, Any]]:
    """Truth of one section of a datalist, and the datalist's head (name, generated, split, ...).

    Masks are split into 8-connected components; each box is a lesion of its own.

    Args:
        path: The datalist.
        section: "training", "validation" or "test".
        minimum_lesion: Components of less than this part of the image's pixels are left out, unless none would
            remain: outlines drawn twice leave fragments of single pixels.

    Raises:
        InputDataError: The section is missing or empty.
    """
    content = load_datalist(path)
    check_classes(content, None, path)
    entries = content.get(section, [])
    if not entries:
        raise InputDataError(f"datalist '{path}' has no images in its section '{section}'")
    head = {key: content[key] for key in ("name", "description", "generated", "split")}
    return [_from_entry(entry, minimum_lesion) for entry in entries], head


def _from_entry(entry: dict[str, Any], minimum_lesion: float) -> TruthCase:
    lesions: list[Lesion] | None = None
    if entry["localized"]:
        lesions = [Lesion(box=tuple(box)) for box in entry.get("boxes", [])]
        if entry.get("rle"):
            mask = lesion_mask({**entry, "boxes": []})
            lesions += split_mask(mask, max(1, math.ceil(minimum_lesion * mask.size))) or split_mask(mask)
    elif not entry["label"]:
        lesions = []
    shape = (int(entry["rows"]), int(entry["columns"]))
    groups = {name: str(entry.get(name) or "") for name in ("sex", "age", "view")}
    return TruthCase(entry["case"], bool(entry["label"]), entry["patient"], lesions, shape, groups=groups)


def labels_from_table(path: Path) -> list[TruthCase]:
    """Truth for ROC analysis from a CSV table with columns case, label (0 or 1) and, where known, patient.

    Further columns (sex, age, site, ...) can be split by.

    Raises:
        InputDataError: A column is missing, a case stands twice, or a label is neither 0 nor 1.
    """
    truth: dict[str, TruthCase] = {}
    for line, row in numbered_rows(path, ["case", "label"]):
        if row["label"] not in ("0", "1"):
            raise InputDataError(f"table '{path}', line {line}: label '{row['label']}' must be 0 or 1")
        if row["case"] in truth:
            raise InputDataError(f"table '{path}', line {line}: case '{row['case']}' stands twice")
        groups = {name: value for name, value in row.items() if name not in ("case", "label", "patient")}
        truth[row["case"]] = TruthCase(
            row["case"], row["label"] == "1", row.get("patient") or row["case"], groups=groups
        )
    if not truth:
        raise InputDataError(f"table '{path}' lists no cases")
    return list(truth.values())


def truth_from_table(path: Path) -> list[TruthCase]:
    """Truth for FROC analysis from a CSV table: one row per lesion, and one row per case without lesions.

    Columns: case; x, y in pixels with radius (a circle), or with width and height (a box from its top left corner),
    or rle with rows and columns (a relative column-major run-length code, as in SIIM-ACR); all empty for a case
    without lesions. In volumes also z: with radius it is a sphere, with width, height and depth a box. Optional: patient,
    weight, slices, rows, columns, slice_mm, row_mm, column_mm. Further columns (sex, age, site, ...) can be split by.

    Raises:
        InputDataError: A row contradicts this, itself, or another row of its case.
    """
    rows: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for line, row in numbered_rows(path, ["case"]):
        rows.setdefault(row["case"], []).append((line, row))
    if not rows:
        raise InputDataError(f"table '{path}' lists no cases")
    return [_from_rows(path, case, lines) for case, lines in rows.items()]


_COLUMNS = (
    *("case", "patient", "weight", "slices", "rows", "columns", "slice_mm", "row_mm", "column_mm", "rle"),
    *("x", "y", "z", "radius", "width", "height", "depth"),
)
"""Columns of a truth table that say what and where the lesions are."""
_LARGEST_IMAGE = 10**9


def _from_rows(path: Path, case: str, lines: list[tuple[int, dict[str, str]]]) -> TruthCase:
    lesions = [lesion for line, row in lines if (lesion := _lesion(path, line, row)) is not None]
    line, first = lines[0]
    if len(lesions) != len(lines) and len(lines) > 1:
        raise InputDataError(
            f"table '{path}', line {line}: case '{case}' has rows with and without a lesion, or twice none"
        )
    patients = {row.get("patient") or case for _, row in lines}
    if len(patients) > 1:
        raise InputDataError(f"table '{path}', line {line}: case '{case}' has several patients: {sorted(patients)}")
    sizes = _axes(path, line, first, "slices", "rows", "columns")
    shape = None if sizes is None else tuple(int(size) for size in sizes)
    spacing = _axes(path, line, first, "slice_mm", "row_mm", "column_mm")
    groups = {name: value for name, value in first.items() if name not in _COLUMNS}
    return TruthCase(case, bool(lesions), patients.pop(), list(lesions), shape, spacing, groups)


def _lesion(path: Path, line: int, row: dict[str, str]) -> Lesion | None:
    if not any(row.get(key) for key in ("x", "y", "z", "radius", "width", "height", "depth", "rle")):
        return None
    weight = _optional(path, line, row, "weight")
    if weight is not None and weight < 0:
        raise InputDataError(f"table '{path}', line {line}: weight {weight:g} must not be negative")
    try:
        if row.get("rle"):
            rows, columns = (int(number_in(path, line, row, key)) for key in ("rows", "columns"))
            if rows * columns > _LARGEST_IMAGE:
                raise ValueError(
                    f"an image of {rows} rows and {columns} columns; expected at most {_LARGEST_IMAGE} pixels"
                )
            return Lesion(mask=np.asarray(decode_relative_rle(row["rle"], rows, columns)), weight=weight)
        point = [number_in(path, line, row, key) for key in "xyz" if key != "z" or row.get("z")]
        if row.get("radius"):
            ball: Any = (*point, number_in(path, line, row, "radius"))
            return Lesion(circle=ball, weight=weight) if len(point) == 2 else Lesion(sphere=ball, weight=weight)
        sizes = ("width", "height", "depth")[: len(point)]
        box: Any = (*point, *(number_in(path, line, row, key) for key in sizes))
        return Lesion(box=box, weight=weight)
    except InputDataError:
        raise
    except ValueError as error:
        raise InputDataError(f"table '{path}', line {line}: {error}") from error


def _optional(path: Path, line: int, row: dict[str, str], key: str) -> float | None:
    return number_in(path, line, row, key) if row.get(key) else None


def _axes(path: Path, line: int, row: dict[str, str], *keys: str) -> tuple[float, ...] | None:
    """Numbers of the axes (slice, row, column), the first only where it is given; None unless the others are."""
    if not all(row.get(key) for key in keys[1:]):
        return None
    return tuple(number_in(path, line, row, key) for key in keys if row.get(key))


def number_in(path: Path, line: int, row: dict[str, str], key: str) -> float:
    """A finite number from a table's cell.

    Raises:
        InputDataError: It is empty, no number, NaN or infinite; the message names table, line and column.
    """
    text = row.get(key, "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputDataError(f"table '{path}', line {line}, column '{key}': '{text}' must be a finite number")
    return value
