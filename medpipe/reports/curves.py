"""Operating curves with bands, a second model's curve beside them, and their numbers as tables."""

from __future__ import annotations

from itertools import chain, pairwise
from typing import Any

from medpipe.reports.scales import Chart, span

__all__ = ["curves_section", "draw_curve", "last_x", "path_of"]

_MOST_ROWS = 21
"""Rows of a curve's table; results.json holds all points."""

_MOST_FALSE_POSITIVES = 8.0
"""False positives per image up to which a free-response curve is drawn: the last of the customary rates."""


def curves_section(results: dict[str, Any], comparison: dict[str, Any] | None) -> dict[str, Any] | None:
    """Every curve of the results, with the second model's where the comparison has it."""
    others = (comparison or {}).get("curves", {})
    points = _marked_points(results)
    drawn = [
        draw_curve(key, curve, others.get(key), points if key == "ROC" else [])
        for key, curve in results["curves"].items()
        if curve["x"]
    ]
    if not drawn:
        return None
    names = (comparison["first"], comparison["second"]) if comparison and others else None
    return {"curves": drawn, "names": names}


def draw_curve(
    key: str, curve: dict[str, Any], other: dict[str, Any] | None = None, points: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """One curve's chart, lines, band and table.

    Args:
        key: Name of the curve, which also makes the picture's id.
        curve: As results.json holds it.
        other: The second model's curve of the same name.
        points: "x", "y" and "number" of operating points to mark.
    """
    right = 1.0 if curve["extends"] or curve.get("steps") else last_x([curve, other] if other else [curve])
    chart = Chart.of((0.0, right), (0.0, 1.0))
    return {
        "id": "".join(c if c.isalnum() else "-" for c in key.lower()),
        "name": curve["name"],
        "curve": curve,
        "chart": chart,
        "line": path_of(chart, curve),
        "tail": _tail(chart, curve),
        "band": _band(chart, curve),
        "other": None
        if other is None
        else {"line": path_of(chart, other), "tail": _tail(chart, other), "curve": other},
        "chance": chart.line([0, 1], [0, 1]) if key == "ROC" else "",
        "points": [{**point, "px": chart.x.at(point["x"]), "py": chart.y.at(point["y"])} for point in points or []],
        "cut": curve["x"][-1] > right,
        "right": right,
        "has_area": bool(curve["extends"] or curve.get("steps")),
        "rows": _rows(curve),
        "band_rows": _band_rows(curve),
    }


def last_x(curves: list[dict[str, Any]]) -> float:
    """Where the axis of curves over false positives per image ends: between 1 and 8."""
    last = max(curve["x"][-1] for curve in curves if curve["x"])
    return max(1.0, min(last, _MOST_FALSE_POSITIVES))


def path_of(chart: Chart, curve: dict[str, Any]) -> str:
    """Path data of a curve, as far as the chart reaches."""
    x, y = curve["x"], curve["y"]
    if curve.get("steps"):  # the ordinate holds its value up to each point
        x, y = [x[0], *chain.from_iterable(pairwise(x))], [y[0], *chain.from_iterable((b, b) for b in y[1:])]
    inside = [k for k, value in enumerate(x) if value <= chart.x.high]
    places = [(x[k], y[k]) for k in inside]
    if places and len(inside) < len(x):  # the line leaves the picture between two points
        (xa, ya), (xb, yb) = places[-1], (x[len(inside)], y[len(inside)])
        places.append((chart.x.high, ya + (yb - ya) * (chart.x.high - xa) / (xb - xa)))
    return chart.line([a for a, _ in places], [b for _, b in places])


def _tail(chart: Chart, curve: dict[str, Any]) -> str:
    if not curve["extends"] or (curve["x"][-1], curve["y"][-1]) == (1, 1):
        return ""
    return chart.line([curve["x"][-1], 1], [curve["y"][-1], 1])


def _band(chart: Chart, curve: dict[str, Any]) -> str:
    band = curve.get("band")
    return chart.band(band["x"], band["low"], band["high"]) if band else ""


def _rows(curve: dict[str, Any]) -> list[dict[str, Any]]:
    thresholds = curve.get("thresholds") or [None] * len(curve["x"])
    return [
        {"threshold": thresholds[k], "x": curve["x"][k], "y": curve["y"][k]} for k in span(len(curve["x"]), _MOST_ROWS)
    ]


def _band_rows(curve: dict[str, Any]) -> list[dict[str, Any]]:
    band = curve.get("band")
    if not band:
        return []
    return [
        {"x": band["x"][k], "low": band["low"][k], "high": band["high"][k]} for k in span(len(band["x"]), _MOST_ROWS)
    ]


def _marked_points(results: dict[str, Any]) -> list[dict[str, Any]]:
    marked = []
    for number, point in enumerate(results.get("operating_points", []), start=1):
        sensitivity, specificity = point["sensitivity"]["value"], point["specificity"]["value"]
        if sensitivity is not None and specificity is not None:
            marked.append({"number": number, "name": point["name"], "x": 1 - specificity, "y": sensitivity})
    return marked
