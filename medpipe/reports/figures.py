"""Figures as rows of a table: a dot with its interval on one scale, beside the numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from medpipe.reports.cohort import unit_words
from medpipe.reports.notes import Notes
from medpipe.reports.scales import Scale

__all__ = ["DOT_WIDTH", "dot_scale", "headline_section", "multilabel_section", "subgroups_section"]

DOT_WIDTH = 190
"""Pixels of the picture in a row."""


def dot_scale(figures: Iterable[dict[str, Any]], *also: float | None, width: int = DOT_WIDTH) -> Scale:
    """The scale on which the figures' intervals, and the values in ``also``, are seen whole."""
    values = [figure[key] for figure in figures for key in ("value", "low", "high")]
    return Scale.around([*values, *also], 14, width - 14)


def headline_section(results: dict[str, Any]) -> dict[str, Any] | None:
    """The main figures, and the sensitivities at given false positives per image.

    Those of a registration, which have no unit in common, stand in a section of their own.
    """
    figures = [] if results["task"] == "registration" else results["headline"]
    froc = results.get("froc")
    if not figures and not froc:
        return None
    section: dict[str, Any] = {
        "figures": figures,
        "scale": dot_scale(figures),
        "notes": Notes(figures),
        "hit_rule": results.get("hit_rule"),
        "froc": None,
    }
    if froc:
        rows = [*froc["rates"], froc["mean"]]
        section["froc"] = {**froc, "scale": dot_scale(rows), "notes": Notes([froc["mean"]])}
    return section


def subgroups_section(results: dict[str, Any]) -> dict[str, Any] | None:
    """One table for each figure: its value in the groups of every variable, and over all cases as reference."""
    variables = [variable for variable in results.get("subgroups", []) if variable["groups"]]
    if not variables:
        return None
    overall = {figure["name"]: figure for figure in results["headline"]}
    names = dict.fromkeys(variable["figure"] for variable in variables)
    units = [f"{word}s".capitalize() for word in unit_words(results)]
    return {"tables": [{**_subgroup_table(name, variables, overall.get(name)), "units": units} for name in names]}


def _subgroup_table(name: str, variables: list[dict[str, Any]], overall: dict[str, Any] | None) -> dict[str, Any]:
    own = [variable for variable in variables if variable["figure"] == name]
    figures = [row["figure"] for variable in own for row in variable["groups"]]
    methods = dict.fromkeys(re.sub(r",? [\d,]+ (patients|cases|images)$", "", figure["method"]) for figure in figures)
    return {
        "figure": name,
        "variables": own,
        "overall": overall,
        "scale": dot_scale([*figures, *([overall] if overall else [])]),
        "methods": list(methods),
        "level": figures[0]["level"],
        "remarks": any(figure["reason"] for figure in figures),
        "diseased": all("diseased" in row for variable in own for row in variable["groups"]),
    }


def multilabel_section(results: dict[str, Any]) -> dict[str, Any] | None:
    """Classes by falling AUC; classes without one stand apart, with the reason."""
    multilabel = results.get("multilabel")
    if not multilabel or not multilabel["classes"]:
        return None
    known = [row for row in multilabel["classes"] if row["auc"]["value"] is not None]
    known.sort(key=lambda row: (-row["auc"]["value"], row["name"]))
    return {
        "classes": known,
        "undefined": _undefined(multilabel["classes"], multilabel["undefined"]),
        "mean": multilabel["mean"],
        "precision": any(row.get("average_precision") for row in known),
        "remarks": any(row["auc"]["reason"] for row in known),
        "scale": dot_scale([*(row["auc"] for row in known), multilabel["mean"]], 0.5),
        "methods": Notes([*(row["auc"] for row in known), multilabel["mean"]]).methods,
    }


def _undefined(classes: Sequence[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    rows = [
        {"name": row["name"], "reason": row["auc"]["reason"] or "no reason given"}
        for row in classes
        if row["auc"]["value"] is None
    ]
    listed = {row["name"] for row in rows}
    return rows + [{"name": name, "reason": "no reason given"} for name in names if name not in listed]
