"""Landmarks of an image: read from the usual files as world coordinates, and written with both kinds of coordinates.

.csv without a header    Learn2Reg: three voxel indices per row, -1, -1, -1 for a landmark that is not there
.csv with a header       x, y, z: voxel indices; x_mm, y_mm, z_mm: RAS+ millimetres; x_lps, y_lps, z_lps: LPS millimetres
.txt                     elastix: "point" (LPS millimetres) or "index" (voxels), their number, then one per line
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.errors import InputDataError
from medpipe.io.atomic import write_text
from medpipe.io.geometry import LPS_TO_RAS

__all__ = ["POINT_COLUMNS", "read_world_points", "write_points"]

Array = npt.NDArray[Any]

POINT_COLUMNS = ("x", "y", "z", "x_mm", "y_mm", "z_mm", "x_lps", "y_lps", "z_lps", "note")
_HEADERS = {("x", "y", "z"): "voxel", ("x_mm", "y_mm", "z_mm"): "ras", ("x_lps", "y_lps", "z_lps"): "lps"}
_FLIP = np.diag(LPS_TO_RAS)[:3]


def read_world_points(path: str | Path, affine: Array) -> npt.NDArray[np.float64]:
    """Landmarks as (n, 3) RAS+ millimetres; NaN where one is missing.

    Args:
        path: The file.
        affine: (4, 4) of the image that indices are of.

    Raises:
        InputDataError: Missing, empty, or not laid out as the module says.
    """
    path = Path(path)
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputDataError(f"points '{path.name}' cannot be read ({type(error).__name__})") from error
    rows = [(number, line) for number, line in enumerate(lines, start=1) if line]
    kind, rows = _elastix(path, rows) if path.suffix.lower() == ".txt" else _header(rows)
    points = np.array([_numbers(path, number, line) for number, line in rows], dtype=np.float64).reshape(-1, 3)
    if not len(points):
        raise InputDataError(f"points '{path.name}' holds no landmark")
    if kind == "lps":
        return points * _FLIP
    if kind == "ras":
        return points
    points[(points == -1).all(axis=1)] = np.nan
    return points @ affine[:3, :3].T + affine[:3, 3]


_Rows = list[tuple[int, str]]


def _header(rows: _Rows) -> tuple[str, _Rows]:
    names = tuple(name.strip().lower() for name in rows[0][1].split(",")[:3]) if rows else ()
    return (_HEADERS[names], rows[1:]) if names in _HEADERS else ("voxel", rows)


def _elastix(path: Path, rows: _Rows) -> tuple[str, _Rows]:
    kinds = {"point": "lps", "index": "voxel"}
    if len(rows) < 2 or rows[0][1] not in kinds or rows[1][1] != str(len(rows) - 2):
        raise InputDataError(
            f"points '{path.name}' are no list of elastix: line 1 must be 'point' or 'index', line 2 their number, then one "
            "point per line"
        )
    return kinds[rows[0][1]], rows[2:]


def _numbers(path: Path, number: int, line: str) -> list[float]:
    try:
        values = [float(part) for part in line.replace(",", " ").split()[:3]]
    except ValueError:
        values = []
    if len(values) != 3 or not np.isfinite(values).all():
        raise InputDataError(f"points '{path.name}', line {number}: expected three numbers, found '{line[:40]}'")
    return values


def write_points(path: Path, world: Array, affine: Array, notes: list[str]) -> None:
    """Write points as a table of ``POINT_COLUMNS``; the first three columns are voxel indices, as readers expect them.

    Args:
        path: Ends in .csv.
        world: (n, 3) RAS+ millimetres; a row that is not finite is written as -1, -1, -1 and empty millimetres.
        affine: (4, 4) of the image whose indices are written.
        notes: One text per point.
    """
    voxels = (world - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(POINT_COLUMNS)
    for voxel, point, note in zip(voxels, world, notes, strict=True):
        known = bool(np.isfinite(point).all())
        cells = [f"{value:.6f}" for value in (*voxel, *point, *(point * _FLIP))] if known else ["-1"] * 3 + [""] * 6
        writer.writerow([*cells, note])
    write_text(path, text.getvalue())
