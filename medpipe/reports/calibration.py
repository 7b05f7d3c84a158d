"""The reliability diagram with the histogram of scores below it."""

from __future__ import annotations

from typing import Any

from medpipe.reports.figures import dot_scale
from medpipe.reports.notes import Notes
from medpipe.reports.scales import Chart, Scale

__all__ = ["calibration_section"]


def calibration_section(results: dict[str, Any]) -> dict[str, Any] | None:
    """Positions of dots, intervals and bars; only the reason where there is no calibration."""
    calibration = results.get("calibration")
    if not calibration or not (calibration["bins"] or calibration["figures"] or calibration["reason"]):
        return None
    bins = [row for row in calibration["bins"] if row["n"]]
    outcome, case = ("right answers", "questions") if results["task"] == "vqa" else ("diseased cases", "cases")
    section: dict[str, Any] = {**calibration, "bins": bins, "chart": None, "outcome": outcome, "case": case}
    if calibration["figures"]:
        section |= {"scale": dot_scale(calibration["figures"], 0.0), "notes": Notes(calibration["figures"])}
    if bins:
        section |= _drawing(bins)
    return section


def _drawing(bins: list[dict[str, Any]]) -> dict[str, Any]:
    chart = Chart.of((0.0, 1.0), (0.0, 1.0), height=300, bottom=22)
    heights = Scale.of(0.0, float(max(row["n"] for row in bins)), 92, 12, most=3)
    dots = []
    for row in bins:
        observed = row["observed"]
        if row["mean_score"] is not None and observed["value"] is not None:
            known = observed["low"] is not None and observed["high"] is not None
            ends = (chart.y.at(observed["low"]), chart.y.at(observed["high"])) if known else None
            dots.append({"x": chart.x.at(row["mean_score"]), "y": chart.y.at(observed["value"]), "ends": ends})
    bars = []
    for row in bins:
        left, right, top = chart.x.at(row["low"]), chart.x.at(row["high"]), heights.at(row["n"])
        bars.append({"x": left, "width": round(max(right - left - 1, 0.5), 1), "y": top, "height": round(92 - top, 1)})
    return {"chart": chart, "heights": heights, "dots": dots, "bars": bars, "diagonal": chart.line([0, 1], [0, 1])}
