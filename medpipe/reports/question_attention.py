"""What the network attended to in each question: its words shaded by their share, beside image and answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medpipe.predictions.question_attention import NAME, read_question_attention
from medpipe.predictions.tables import read_table
from medpipe.reports.formats import number

__all__ = ["question_attention_section"]

_SHADES = 5
"""Classes of the style sheet beyond no shade."""


def question_attention_section(
    folder: Path, run: dict[str, Any], cases: dict[str, Any] | None
) -> dict[str, Any] | None:
    """The questions of the table of cases, as many as are printed there and in its order.

    Args:
        folder: Of the run.
        run: The content of its run.json.
        cases: The section with that table.
    """
    options = run["identity"].get("options") or {}
    if options.get("explain") != "attention" or cases is None:
        return None
    answers = _answers(folder)
    rows = []
    for case in cases["printed"]:
        safe = case["name"] not in ("", ".", "..") and Path(case["name"]).name == case["name"]
        found = read_question_attention(folder / "cases" / case["name"] / NAME) if safe else None
        if found is not None:
            rows.append({**case, **answers.get(case["name"], {}), "marks": _marks(found), "attended": found})
    if not rows and options.get("attention") != "san":
        return None
    return {
        "rows": rows,
        "total": cases["total"],
        "words": any(row["attended"]["weights"] for row in rows),
        "places": any(row["attended"]["places"] for row in rows),
        "calibrated": any(row.get("right") for row in rows),
        "length": max((len(row["attended"]["words"]) for row in rows), default=0),
    }


def _answers(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / "answers.csv"
    rows = read_table(path, ["case", "answer", "probability"]) if path.is_file() else []
    return {
        row["case"]: {
            "answer": row["answer"],
            "probability": number(float(row["probability"])),
            "right": number(float(row["calibrated"])) if row.get("calibrated") else "",
        }
        for row in rows
        if row["answer"]
    }


def _marks(attended: dict[str, Any]) -> list[dict[str, Any]]:
    """Words with their share in per cent and a shade, and one entry for all padding; words alone where they have no share."""
    words, weights = attended["words"], attended["weights"]
    if weights is None:
        return [{"text": word, "known": True, "share": "", "shade": 0} for word in words if word]
    highest = max(weights) or 1.0
    found = [
        {"text": word, "known": known, "share": _percent(weight), "shade": round(_SHADES * weight / highest)}
        for word, known, weight in zip(words, attended["known"], weights, strict=True)
        if word
    ]
    padding = [weight for word, weight in zip(words, weights, strict=True) if not word]
    if padding:
        shade = round(_SHADES * max(padding) / highest)
        found.append({"text": "", "places": len(padding), "share": _percent(sum(padding)), "shade": shade})
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
