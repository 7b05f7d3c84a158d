"""The pairs of a registration run: a table of what was measured, and pictures for the viewer."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from medpipe.predictions.registration_picture import read_tiles
from medpipe.predictions.tables import read_table
from medpipe.reports.registration_pairs import KINDS

__all__ = ["run_pairs_section", "run_pictures_section"]

LISTED = 500
_PICTURED = 12
_COLUMNS = {
    "folding_pct": "Folding, %",
    "mean_mm": "Mean displacement, mm",
    "max_mm": "Largest, mm",
    "similarity_before": "Correlation before",
    "similarity_after": "Correlation after",
    "dice_before": "Dice before",
    "dice_after": "Dice after",
}
_STAGES = ("read_seconds", "align_seconds", "network_seconds", "refine_seconds", "write_seconds")


def run_pairs_section(folder: Path) -> dict[str, Any] | None:
    """Columns and rows of the table, the least alike first; None where the run registered nothing."""
    rows = _done(folder)
    if not rows:
        return None
    columns = {key: name for key, name in _COLUMNS.items() if any(row.get(key) for row in rows)}
    return {
        "columns": [*columns.values(), "Seconds"],
        "total": len(rows),
        "rows": [
            {"case": row["case"], "values": [_number(row[key]) for key in columns] + [_seconds(row)]}
            for row in rows[:LISTED]
        ],
    }


def run_pictures_section(folder: Path) -> dict[str, Any] | None:
    """Pictures of the least alike pairs, laid out for the viewer; None where there are none."""
    pairs: list[dict[str, Any]] = []
    for row in _done(folder):
        if len(pairs) == _PICTURED or Path(row["case"]).name != row["case"]:
            break
        tiles = read_tiles(folder / "cases" / row["case"] / "marks.png")
        if not tiles:
            continue
        planes = [
            {
                "plane": plane,
                "slice": "through the middle",
                "pictures": {kind: base64.b64encode(content).decode("ascii") for kind, content in parts.items()},
            }
            for plane, parts in tiles.items()
        ]
        pairs.append(
            {
                "number": len(pairs) + 1,
                "case": row["case"],
                "role": "pair",
                "planes": planes,
                "kinds": [kind for kind in KINDS if kind in planes[0]["pictures"]],
                "values": _values(row),
            }
        )
    return {"pairs": pairs, "kinds": KINDS} if pairs else None


def _done(folder: Path) -> list[dict[str, str]]:
    path = folder / "pairs.csv"
    rows = read_table(path, ["case", "status"]) if path.is_file() else []
    done = [row for row in rows if row["status"] == "done"]
    return sorted(done, key=lambda row: (_number(row.get("similarity_after", "")) or 0.0, row["case"]))


def _values(row: dict[str, str]) -> list[dict[str, Any]]:
    values = []
    for name, key in (("correlation", "similarity"), ("Dice", "dice")):
        if row.get(f"{key}_after"):
            before, after = (_number(row[f"{key}_{when}"]) for when in ("before", "after"))
            values.append({"name": name, "before": before, "after": after})
    return values


def _number(text: str) -> float | None:
    return float(text) if text else None


def _seconds(row: dict[str, str]) -> float:
    """Without the alignment's, which are part of the reading's."""
    return sum(_number(row.get(stage, "")) or 0.0 for stage in _STAGES if stage != "align_seconds")
