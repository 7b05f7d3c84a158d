"""Operating curves of a reader study: a picture for each modality, a line for each reader."""

from __future__ import annotations

from typing import Any

from medpipe.reports.curves import last_x, path_of
from medpipe.reports.scales import Chart, span

__all__ = ["reader_curves"]

STYLES = 6
"""Line styles that the page tells apart by colour and by dashes; more readers use them again."""

_MOST_ROWS = 11


def reader_curves(study: dict[str, Any], readers: list[str]) -> list[dict[str, Any]]:
    """For each kind of curve the pictures of all modalities, on the same axes.

    Args:
        study: "reader_study" of results.json.
        readers: The readers' names as the page shows them.
    """
    names = dict(zip(study["readers"], readers, strict=True))
    kinds = []
    for name, readings in (study.get("curves") or {}).items():
        known = [reading for reading in readings if reading["x"]]
        if not known:
            continue
        right = 1.0 if known[0]["extends"] else last_x(known)
        chart = Chart.of((0.0, right), (0.0, 1.0), height=310)
        modalities = [
            [_line(chart, reading, names) for reading in known if reading["modality"] == modality]
            for modality in study["modalities"]
        ]
        kinds.append(
            {
                "name": name,
                "chart": chart,
                "x_label": known[0]["x_label"],
                "y_label": known[0]["y_label"],
                "extends": known[0]["extends"],
                "modalities": modalities,
            }
        )
    return kinds


def _line(chart: Chart, reading: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    x, y = list(reading["x"]), list(reading["y"])
    if reading["extends"]:
        x, y = [*x, 1.0], [*y, 1.0]
    thresholds = reading.get("thresholds") or [None] * len(reading["x"])
    return {
        "reader": names[reading["reader"]],
        "style": list(names).index(reading["reader"]) % STYLES,
        "path": path_of(chart, {**reading, "x": x, "y": y}),
        "area": reading["area"] if reading["extends"] else None,
        "rows": [(thresholds[k], reading["x"][k], reading["y"][k]) for k in span(len(reading["x"]), _MOST_ROWS)],
    }
