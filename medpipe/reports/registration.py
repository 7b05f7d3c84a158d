"""Accuracy of registration: means over pairs before and after, structures pair by pair, and the pairs in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medpipe.reports.figures import dot_scale
from medpipe.reports.notes import Notes, joined
from medpipe.reports.scales import Scale, span

__all__ = ["LISTED_PAIRS", "STRIP_HEIGHT", "STRIP_WIDTH", "registration_section"]

STRIP_WIDTH, STRIP_HEIGHT = 300, 44
"""Pixels of the picture of one structure's pairs."""

LISTED_PAIRS = 500
"""Most pairs in the table; all are in results.json."""

_DRAWN = 150


def registration_section(results: dict[str, Any]) -> dict[str, Any] | None:
    """Tables of measures and structures, strips of the pairs, and the table of pairs, the worst first."""
    found = results.get("registration")
    if not found:
        return None
    notes = Notes([{**entry["after"], "reason": None} for entry in found["measures"]])
    keys = list(dict.fromkeys(entry["key"] for part in found["structures"] for entry in part["measures"]))
    return {
        **found,
        "n": len(results["cases"]),
        "notes": notes,
        "reasons": _reasons(found["measures"]),
        "robust": found["protocol"] == "l2r",
        "tables": [_structure_table(results, key) for key in keys],
        "absent": [part["name"] for part in found["structures"] if not part["measures"]],
        "pairs": _pair_table(results),
    }


def _structure_table(results: dict[str, Any], key: str) -> dict[str, Any]:
    """One measure of every structure, with its pairs before and after on one scale."""
    rows = []
    for part in results["registration"]["structures"]:
        entry = next((entry for entry in part["measures"] if entry["key"] == key), None)
        if entry is not None:
            rows.append(
                {**entry, "name": part["name"], "label": part["label"], "values": _values(results, part["label"], key)}
            )
    known = [value for row in rows for side in row["values"].values() for value in side]
    bounds = [{"value": value, "low": None, "high": None} for value in known]
    scale = dot_scale(bounds, width=STRIP_WIDTH)
    for row in rows:
        row["strips"] = {side: _strip(values, scale) for side, values in row.pop("values").items()}
    return {
        "title": rows[0]["after"]["name"],
        "better": rows[0]["better"],
        "rows": rows,
        "scale": scale,
        "reasons": _reasons(rows),
    }


def _reasons(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """What there is to say of values or intervals, each once, with the names it holds for."""
    names: dict[str, list[str]] = {}
    for row in rows:
        if row["after"]["reason"]:
            names.setdefault(row["after"]["reason"], []).append(row["name"])
    return [(reason, "all" if len(same) == len(rows) > 1 else joined(same)) for reason, same in names.items()]


def _values(results: dict[str, Any], label: int, key: str) -> dict[str, list[float]]:
    structures = [case["structures"].get(str(label)) for case in results["cases"]]
    found = {}
    for side in ("before", "after"):
        values = [part[side].get(key) for part in structures if part]
        found[side] = sorted(value for value in values if value is not None)
    return found


def _strip(values: Sequence[float], scale: Scale) -> dict[str, Any]:
    """Positions of dots, of the quartiles and of the ends."""
    if not values:
        return {"dots": [], "box": None, "n": 0}
    quartiles = [scale.at(_quantile(values, share)) for share in (0.25, 0.5, 0.75)]
    ends = scale.at(values[0]), scale.at(values[-1])
    dots = [scale.at(values[place]) for place in span(len(values), _DRAWN)]
    return {"dots": dots, "box": {"quartiles": quartiles, "ends": ends}, "n": len(values)}


def _quantile(values: Sequence[float], share: float) -> float:
    """Quantile of sorted values, interpolated linearly."""
    place = share * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])


def _pair_table(results: dict[str, Any]) -> dict[str, Any]:
    """Rows of the pairs, the worst by the first measure first."""
    measures = results["registration"]["measures"]
    cases = list(results["cases"])
    if measures:
        key, higher = measures[0]["key"], measures[0]["better"] == "higher"
        cases.sort(key=lambda case: _order(case["after"].get(key), higher))
    return {
        "measures": [
            {"key": entry["key"], "name": entry["name"], "both": entry["before"] is not None} for entry in measures
        ],
        "rows": cases[:LISTED_PAIRS],
        "total": len(cases),
        "by": measures[0]["name"] if measures else "",
        "remarks": any(case.get("remarks") for case in cases),
    }


def _order(value: float | None, higher: bool) -> tuple[bool, float]:
    return value is None, 0.0 if value is None else value if higher else -value
