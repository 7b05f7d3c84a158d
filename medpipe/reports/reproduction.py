"""The page of a reproduction: index.html, the settings of each table as dots beside the published numbers.

It is made from the content of a reproduction's results.json alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medpipe.io.atomic import write_text
from medpipe.reports.figures import dot_scale
from medpipe.reports.page import render
from medpipe.reports.scales import Scale

__all__ = ["write_reproduction_page"]

WIDTH = 240
"""Pixels of the picture in a row."""


def write_reproduction_page(path: Path, content: dict[str, Any], lines: dict[str, list[str]]) -> None:
    """Write the page.

    Args:
        path: Of the page.
        content: Of the reproduction's results.json.
        lines: By table, what its analysis as a reader study says, in sentences.
    """
    done = content["runs"]
    notices = ["For research use. Not a medical device, and not for clinical use.", *content["cautions"]]
    if done["done"] < done["wanted"]:
        notices.append(f"{done['done']} of {done['wanted']} runs are done.")
    sections = {
        table["name"]: {"title": table["title"], "content": _table(content, table, lines)}
        for table in content["tables"]
    }
    write_text(
        path,
        render(
            {
                "title": f"Reproduction of {content['bundle']}",
                "subtitle": content["paper"],
                "notices": notices,
                "statements": content["statements"],
                "sections": {
                    **{f"table-{name}": {**section, "template": "reproduction"} for name, section in sections.items()},
                    "about": {"title": "Runs and versions", "template": "reproduction_about", "content": content},
                },
            }
        ),
    )


def _table(content: dict[str, Any], table: dict[str, Any], lines: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "table": table,
        "published_on": content["published_on"],
        "metrics": [_metric(metric, table) for metric in content["metrics"]],
        "lines": lines[table["name"]],
        "titles": {one["name"]: one["title"] for one in table["settings"]},
        "reference": next(one["title"] for one in table["settings"] if one["name"] == table["reference"]),
        "level": content["level"],
        "width": WIDTH,
    }


def _metric(metric: dict[str, Any], table: dict[str, Any]) -> dict[str, Any]:
    figures = [setting["figures"][metric["name"]] for setting in table["settings"]]
    values = [one["value"] for figure in figures for one in figure["values"]]
    return {
        "name": metric["name"],
        "title": metric["title"],
        "scale": _scale(figures, values),
        "rows": [
            {"title": setting["title"], "points": [one["value"] for one in figure["values"]], **figure}
            for setting, figure in zip(table["settings"], figures, strict=True)
        ],
    }


def _scale(figures: list[dict[str, Any]], values: list[float]) -> Scale:
    """Wide enough for all runs; of an interval over few seeds only what lies near them is seen."""
    return dot_scale([{**figure["mean"], "low": None, "high": None} for figure in figures], *values, width=WIDTH)
