"""What is true of each case: its label, its patient, and where its lesions are."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.data.datalist import lesion_mask, load_datalist
from medpipe.data.rle import decode_relative_rle
from medpipe.errors import InputDataError
from medpipe.metrics.lesions import Lesion, split_mask
from medpipe.predictions.tables import read_table

__all__ = ["TruthCase", "labels_from_table", "number_in", "truth_from_datalist", "truth_from_table"]


@dataclass(frozen=True)
class TruthCase:
    """Truth of one case.

    Attributes:
        case: Its name.
        diseased: Whether it is positive.
        patient: Name of its patient; cases of one patient are resampled together.
        lesions: Its lesions; None where it is diseased but the places are not known.
        shape: (rows, columns), or None where unknown.
        spacing: (row, column) in mm, or None where unknown.
    """

    case: str
    diseased: bool
    patient: str
    lesions: list[Lesion] | None = field(default_factory=list)
    shape: tuple[int, int] | None = None
    spacing: tuple[float, float] | None = None


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
    return TruthCase(entry["case"], bool(entry["label"]), entry["patient"], lesions, shape)


def labels_from_table(path: Path) -> list[TruthCase]:
    """Truth for ROC analysis from a CSV table with columns case, label (0 or 1) and, where known, patient.

    Raises:
        InputDataError: A column is missing, a case stands twice, or a label is neither 0 nor 1.
    """
    truth: dict[str, TruthCase] = {}
    for line, row in enumerate(read_table(path, ["case", "label"]), start=2):
        if row["label"] not in ("0", "1"):
            raise InputDataError(f"table '{path}', line {line}: label '{row['label']}' must be 0 or 1")
        if row["case"] in truth:
            raise InputDataError(f"table '{path}', line {line}: case '{row['case']}' stands twice")
        truth[row["case"]] = TruthCase(row["case"], row["label"] == "1", row.get("patient") or row["case"])
    if not truth:
        raise InputDataError(f"table '{path}' lists no cases")
    return list(truth.values())


def truth_from_table(path: Path) -> list[TruthCase]:
    """Truth for FROC analysis from a CSV table: one row per lesion, and one row per case without lesions.

    Columns: case; x, y in pixels with radius (a circle), or with width and height (a box from its top left corner),
    or rle with rows and columns (a relative column-major run-length code, as in SIIM-ACR); all empty for a case
    without lesions. Optional: patient, weight, rows, columns, row_mm, column_mm.

    Raises:
        InputDataError: A row contradicts this, itself, or another row of its case.
    """
    rows: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for line, row in enumerate(read_table(path, ["case"]), start=2):
        rows.setdefault(row["case"], []).append((line, row))
    if not rows:
        raise InputDataError(f"table '{path}' lists no cases")
    return [_from_rows(path, case, lines) for case, lines in rows.items()]


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
    sizes = [_optional(path, line, first, key) for key in ("rows", "columns", "row_mm", "column_mm")]
    shape = (int(sizes[0]), int(sizes[1])) if sizes[0] and sizes[1] else None
    spacing = (sizes[2], sizes[3]) if sizes[2] and sizes[3] else None
    return TruthCase(case, bool(lesions), patients.pop(), list(lesions), shape, spacing)


def _lesion(path: Path, line: int, row: dict[str, str]) -> Lesion | None:
    if not any(row.get(key) for key in ("x", "y", "radius", "width", "height", "rle")):
        return None
    weight = _optional(path, line, row, "weight")
    if weight is not None and weight < 0:
        raise InputDataError(f"table '{path}', line {line}: weight {weight:g} must not be negative")
    try:
        if row.get("rle"):
            mask = decode_relative_rle(
                row["rle"], int(number_in(path, line, row, "rows")), int(number_in(path, line, row, "columns"))
            )
            return Lesion(mask=np.asarray(mask), weight=weight)
        x, y = number_in(path, line, row, "x"), number_in(path, line, row, "y")
        if row.get("radius"):
            return Lesion(circle=(x, y, number_in(path, line, row, "radius")), weight=weight)
        box = (x, y, number_in(path, line, row, "width"), number_in(path, line, row, "height"))
        return Lesion(box=box, weight=weight)
    except InputDataError:
        raise
    except ValueError as error:
        raise InputDataError(f"table '{path}', line {line}: {error}") from error


def _optional(path: Path, line: int, row: dict[str, str], key: str) -> float | None:
    return number_in(path, line, row, key) if row.get(key) else None


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
