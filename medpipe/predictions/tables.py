"""cases.csv and marks.csv: what a run says of each case, and of each mark on it.

cases.csv: case, file, status (done, skipped, failed), reason, score, marks (their number), then descriptive columns.
marks.csv: case, mark (0, 1, ... by falling score), label, score, x and y in pixels (column and row of the stored image,
pixel centres at whole numbers, origin top left), x_mm and y_mm from the centre of the first pixel (empty where the
spacing is unknown), box_x, box_y, box_width, box_height in pixels (empty for point marks).
scores.csv, where images have several classes: case, then a column of probabilities for each class.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from medpipe.errors import InputDataError
from medpipe.io.atomic import write_text
from medpipe.predictions.journal import CaseResult

__all__ = [
    "CASE_COLUMNS",
    "MARK_COLUMNS",
    "numbered_rows",
    "read_table",
    "write_cases",
    "write_marks",
    "write_rows",
    "write_scores",
]

CASE_COLUMNS = (
    "case",
    "file",
    "status",
    "reason",
    "score",
    "marks",
    "patient",
    "sex",
    "age",
    "view",
    "modality",
    "manufacturer",
    "rows",
    "columns",
    "row_mm",
    "column_mm",
)

MARK_COLUMNS = (
    "case",
    "mark",
    "label",
    "score",
    "x",
    "y",
    "x_mm",
    "y_mm",
    "box_x",
    "box_y",
    "box_width",
    "box_height",
)


def write_cases(path: Path, results: Iterable[CaseResult]) -> None:
    """Write cases.csv atomically, one row per result."""
    rows = (
        {
            **result.facts,
            "case": result.case,
            "status": result.status,
            "reason": result.reason,
            "score": result.score,
            "marks": len(result.marks) if result.status == "done" else None,
        }
        for result in results
    )
    write_rows(path, CASE_COLUMNS, rows)


def write_marks(path: Path, results: Iterable[CaseResult]) -> None:
    """Write marks.csv atomically, one row per mark."""
    rows = (
        {**mark, "case": result.case, "mark": number} for result in results for number, mark in enumerate(result.marks)
    )
    write_rows(path, MARK_COLUMNS, rows)


def write_scores(path: Path, results: Iterable[CaseResult]) -> None:
    """Write scores.csv atomically, one row per done case; no file where no case has scores by class."""
    rows = [{"case": result.case, **dict(result.facts["scores"])} for result in results if "scores" in result.facts]
    if rows:
        write_rows(path, list(rows[0]), rows)
    else:
        path.unlink(missing_ok=True)  # of an earlier end of this run


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """Write a table atomically: its columns as a header, one row per dictionary, empty cells for what is None or NaN."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
    write_text(path, text.getvalue())


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    # Nine digits carry a float32 there and back.
    return format(value, ".9g") if isinstance(value, float) else str(value)


def read_table(path: Path, required: Sequence[str]) -> list[dict[str, str]]:
    """Read a table: CSV with a header row, or JSON (a name that ends with .json) with a list of objects.

    Returns:
        One dictionary of texts per row; names and values are stripped of blanks. In JSON a key that is left out, or
        null, is an empty cell.

    Raises:
        InputDataError: The file is missing, empty, not text, or lacks a required column; or a row has another number
            of fields than the header.
    """
    return [row for _, row in numbered_rows(path, required)]


def numbered_rows(path: Path, required: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """As :func:`read_table`, each row with its line in the file (the last one of a row that has several).

    In JSON the number of the entry, from 1, stands for the line.
    """
    lines = _json_lines(path) if path.suffix.lower() == ".json" else _csv_lines(path, required)
    header = [name.strip() for name in lines[0][1]]
    twice = [name for place, name in enumerate(header) if name in header[:place]]
    if twice:
        raise InputDataError(f"table '{path}' has the column '{twice[0]}' twice; delete or rename one")
    missing = [name for name in required if name not in header]
    if missing:
        raise InputDataError(f"table '{path}' lacks the column '{missing[0]}'; it has {', '.join(header)}")
    rows = []
    for number, fields in lines[1:]:
        if not any(field.strip() for field in fields):
            continue
        if len(fields) != len(header):
            raise InputDataError(f"table '{path}', line {number}: {len(fields)} fields, but {len(header)} columns")
        rows.append((number, {name: value.strip() for name, value in zip(header, fields, strict=True)}))
    return rows


_Lines = list[tuple[int, list[str]]]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputDataError(f"table '{path}' does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputDataError(f"table '{path}' cannot be read as UTF-8 text ({error})") from error


def _csv_lines(path: Path, required: Sequence[str]) -> _Lines:
    """Header and rows, with their lines in the file."""
    reader = csv.reader(io.StringIO(_text(path)))
    try:
        lines = [(reader.line_num, fields) for fields in reader]
    except csv.Error as error:
        raise InputDataError(f"table '{path}', line {reader.line_num}: no CSV ({error})") from error
    if not lines:
        raise InputDataError(f"table '{path}' is empty; expected a header with {', '.join(required)}")
    return lines


def _json_lines(path: Path) -> _Lines:
    """Names of all keys as a header, and the entries as rows of texts."""
    try:
        entries = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise InputDataError(f"table '{path}' is no JSON ({error})") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputDataError(f"table '{path}': expected a JSON list of objects, one per row")
    header = list(dict.fromkeys(key for entry in entries for key in entry))
    rows = [(n, [_json_cell(path, n, key, entry.get(key)) for key in header]) for n, entry in enumerate(entries, 1)]
    return [(0, header), *rows]


def _json_cell(path: Path, line: int, key: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputDataError(f"table '{path}', line {line}, column '{key}': expected a number or a text")
    return value if isinstance(value, str) else repr(value)
