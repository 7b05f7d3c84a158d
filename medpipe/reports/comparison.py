"""Two models on the same cases: their figures and the differences on one scale."""

from __future__ import annotations

from typing import Any

from medpipe.reports.cohort import grouped_reasons
from medpipe.reports.figures import dot_scale
from medpipe.reports.notes import joined

__all__ = ["comparison_section"]


def comparison_section(comparison: dict[str, Any] | None, task: str = "") -> dict[str, Any] | None:
    """The comparison with the scale of its picture, and what there is to say below it.

    Measures of registration have no unit in common: they get no picture.
    """
    if not comparison or not comparison["figures"]:
        return None
    figures = comparison["figures"]
    left_out = comparison.get("left_out", [])
    return {
        **comparison,
        "notes": _notes(figures),
        "unit": "pair" if task == "registration" else "case",
        "differences": None if task == "registration" else dot_scale([row["difference"] for row in figures], 0.0),
        "z": any(row.get("z") is not None for row in figures),
        "left_out": len(left_out),
        "reasons": grouped_reasons(row["reason"] for row in left_out),
    }


def _notes(figures: list[dict[str, Any]]) -> list[str]:
    tests: dict[str, list[str]] = {}
    for row in figures:
        difference = row["difference"]
        method = f"{row['test']}; {100 * difference['level']:g} % interval: {difference['method']}"
        tests.setdefault(method[:1].upper() + method[1:], []).append(row["name"])
    notes = [f"{method}{f' ({joined(names)})' if len(tests) > 1 else ''}." for method, names in tests.items()]
    reasons: dict[str, list[str]] = {}
    for row in figures:
        if row["difference"]["reason"]:
            reasons.setdefault(row["difference"]["reason"], []).append(row["name"])
    return notes + [f"{joined(same)}: {reason}." for reason, same in reasons.items()]
