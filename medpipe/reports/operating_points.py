"""Operating points, and what a reader needs to see their predictive values at another prevalence."""

from __future__ import annotations

from typing import Any

from medpipe.reports.scales import span

__all__ = ["operating_points_section"]

_MOST_THRESHOLDS = 200


def operating_points_section(results: dict[str, Any]) -> dict[str, Any] | None:
    """The table's rows, and the numbers that the page computes with."""
    points = results.get("operating_points", [])
    if not points:
        return None
    cohort = results["cohort"]
    total = cohort["diseased"] + cohort["nondiseased"]
    return {
        "points": points,
        "prevalence": cohort["diseased"] / total if total else None,
        "diseased": cohort["diseased"],
        "total": total,
        "level": points[0]["sensitivity"]["level"],
        "reasons": list(dict.fromkeys(point["reason"] for point in points if point.get("reason"))),
        "data": {
            "points": [
                {key: [point[key][part] for part in ("value", "low", "high")] for key in ("sensitivity", "specificity")}
                for point in points
            ],
            "roc": _roc(results["curves"].get("ROC")),
        },
    }


def _roc(curve: dict[str, Any] | None) -> list[list[float]]:
    """[threshold, sensitivity, specificity] of points of the ROC curve, for a threshold chosen in the page."""
    thresholds = (curve or {}).get("thresholds")
    if curve is None or not thresholds:
        return []
    known = [k for k, threshold in enumerate(thresholds) if threshold is not None]
    return [
        [thresholds[k], round(curve["y"][k], 6), round(1 - curve["x"][k], 6)]
        for k in (known[place] for place in span(len(known), _MOST_THRESHOLDS))
    ]
