"""CSV tables as data sets ship them: blanks around names and values, columns in any order."""

from __future__ import annotations

import csv
from pathlib import Path

from medpipe.errors import InputDataError

__all__ = ["read_columns", "read_lines"]


def read_lines(path: Path) -> list[list[str]]:
    """All lines of a CSV file that hold anything, the header first, values stripped of blanks.

    Raises:
        InputDataError: the file cannot be read as UTF-8 text, or holds no line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [[value.strip() for value in line] for line in csv.reader(file, skipinitialspace=True)]
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise InputDataError(f"{path}: not readable as a CSV table: {fault}") from fault
    lines = [line for line in lines if any(line)]
    if not lines:
        raise InputDataError(f"{path}: the table is empty")
    return lines


def read_columns(path: Path, names: list[str]) -> list[tuple[str, ...]]:
    """The values of the named columns, row by row, wherever these columns stand.

    Raises:
        InputDataError: a column is missing, or a row is too short to hold it.
    """
    header, *rows = read_lines(path)
    missing = [name for name in names if name not in header]
    if missing:
        raise InputDataError(
            f"{path}: no column {', '.join(map(repr, missing))}; found {', '.join(filter(None, header))}"
        )
    places = [header.index(name) for name in names]
    for row in rows:
        if len(row) <= max(places):
            raise InputDataError(f"{path}: the row {','.join(row)!r} has {len(row)} values for {len(header)} columns")
    return [tuple(row[place] for place in places) for row in rows]
