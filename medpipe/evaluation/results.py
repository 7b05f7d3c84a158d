"""Numbers with intervals as results.json holds them.

Every figure is an object with value, low, high, level, method, n, reason and definition; undefined is null with a reason.
The whole file follows predictions/results.schema.json.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from medpipe.metrics._arrays import FloatArray, IntArray
from medpipe.metrics.bands import Band
from medpipe.metrics.calibration import Calibration
from medpipe.metrics.curves import Curve
from medpipe.metrics.intervals import Bootstrap, Comparison, Estimate, counted_as_independent
from medpipe.metrics.operating_points import OperatingPoint

__all__ = [
    "calibration_entry",
    "comparison_entry",
    "curve_entry",
    "figure",
    "number",
    "operating_point_entry",
    "patient_numbers",
    "settings_entry",
]

_POINTS = 1000
"""Most points that a stored curve has; a curve of a million operating points looks the same with a thousand."""


def number(value: float) -> float | None:
    """A number as JSON holds it: null for NaN and infinity."""
    return float(value) if math.isfinite(value) else None


def figure(name: str, estimate: Estimate, definition: str) -> dict[str, Any]:
    """One figure with its interval, as results.json holds it; "text" is the line that a person reads."""
    return {
        "name": name,
        "definition": definition,
        **{key: number(getattr(estimate, key)) for key in ("value", "low", "high")},
        "level": estimate.level,
        "method": estimate.method,
        "n": estimate.n,
        "reason": estimate.reason,
        "text": _text(name, estimate),
    }


def _text(name: str, estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return f"{name}: undefined ({estimate.reason})"
    if math.isnan(estimate.low):
        return f"{name}: {estimate.value:.3f} (no interval: {estimate.reason})"
    if estimate.low == estimate.high and estimate.reason:
        return f"{name}: {estimate.value:.3f} (interval without width: {estimate.reason})"
    percent = f"{100 * estimate.level:g} %"
    return f"{name}: {estimate.value:.3f} ({percent} interval {estimate.low:.3f} to {estimate.high:.3f})"


def curve_entry(curve: Curve, band: Band | None = None, most: int = _POINTS) -> dict[str, Any]:
    """A curve's points (at most ``most`` of them), axis names, area and confidence band."""
    kept = _even(curve.x, curve.y, most)
    entry: dict[str, Any] = {
        "name": curve.name,
        "x": curve.x[kept].tolist(),
        "y": curve.y[kept].tolist(),
        "thresholds": [number(value) for value in curve.thresholds[kept]],
        "x_label": curve.x_label,
        "y_label": curve.y_label,
        "extends": curve.extends,
        "steps": curve.steps,
        "area": number(curve.area()),
        "n_points": curve.x.size,
    }
    if band is not None:
        entry["band"] = {
            "x": band.x.tolist(),
            "low": [number(value) for value in band.low],
            "high": [number(value) for value in band.high],
            "level": band.level,
            "method": band.method,
            "n": band.n,
        }
    return entry


def _even(x: FloatArray, y: FloatArray, most: int) -> IntArray:
    """Positions of points evenly spread along the line, its first and last among them."""
    if x.size <= most:
        return np.arange(x.size)
    reach = float(x.max()) or 1.0
    along = np.append(0.0, np.cumsum(np.abs(np.diff(x)) / reach + np.abs(np.diff(y))))
    return np.unique(np.searchsorted(along, np.linspace(0.0, along[-1], most), side="left").clip(0, x.size - 1))


_PREDICTIVE = "at the prevalence of this sample"


def operating_point_entry(
    name: str, rule: str, point: OperatingPoint, level: float, *, preset: bool = False, clustered: bool = False
) -> dict[str, Any]:
    """An operating point with its counts, and the four shares with intervals.

    Args:
        name: of the point.
        rule: how its threshold was chosen.
        point: the counts.
        level: nominal coverage.
        preset: whether the threshold was fixed before.
        clustered: whether patients have several images, which the intervals take as independent.
    """
    shares = {
        "sensitivity": ("Sensitivity", point.sensitivity(level), "positive results among the diseased"),
        "specificity": ("Specificity", point.specificity(level), "negative results among the non-diseased"),
        "ppv": ("Positive predictive value", point.ppv(level), f"diseased among the positive results, {_PREDICTIVE}"),
        "npv": ("Negative predictive value", point.npv(level), f"non-diseased among the negative ones, {_PREDICTIVE}"),
    }
    if clustered:
        shares = {key: (title, counted_as_independent(one), text) for key, (title, one, text) in shares.items()}
    reasons = [shares["sensitivity"][1].reason] if clustered else []
    if point.threshold == math.inf:
        reasons.append("the threshold lies above every score")
    return {
        "name": name,
        "rule": rule,
        "preset": preset,
        "threshold": number(point.threshold),
        "counts": {"tp": point.tp, "fp": point.fp, "tn": point.tn, "fn": point.fn},
        **{key: figure(*value) for key, value in shares.items()},
        "reason": "; ".join(filter(None, reasons)) or None,
    }


def calibration_entry(found: Calibration, *, of: str = "diseased cases") -> dict[str, Any]:
    """Brier score, calibration error and the reliability curve; ``of`` is what the scores are probabilities of."""
    observed = f"share of {of} among those with a score in the bin"
    return {
        "figures": [
            figure("Brier score", found.brier, "mean squared difference of score and outcome; 0 is perfect"),
            figure(
                "Expected calibration error",
                found.ece,
                "mean over bins, weighted by their cases, of |mean score - observed share|; by chance it, and often its "
                "interval, lies above 0 also for perfect scores",
            ),
            figure("Calibration in the large", found.in_the_large, f"mean score minus share of {of}; 0 is perfect"),
        ],
        "bins": [
            {
                "low": part.low,
                "high": part.high,
                "n": part.n,
                "mean_score": number(part.mean_probability),
                "observed": figure("Observed share", part.observed, observed),
            }
            for part in found.bins
        ],
        "reason": None,
    }


def comparison_entry(name: str, comparison: Comparison, definition: str, test: str) -> dict[str, Any]:
    """Two estimates on the same cases, and their difference."""
    entry = {
        "name": name,
        "first": figure(name, comparison.first, definition),
        "second": figure(name, comparison.second, definition),
        "difference": figure(f"Difference in {name}", comparison.difference, "first minus second, on the same cases"),
        "p": number(comparison.p),
        "test": test,
    }
    z = getattr(comparison, "z", None)
    return entry if z is None else {**entry, "z": number(z)}


def patient_numbers(patients: Iterable[str]) -> dict[str, str]:
    """A running number for every patient, in the order of first appearance: results.json names no patient."""
    return {patient: str(place) for place, patient in enumerate(dict.fromkeys(patients), start=1)}


def settings_entry(bootstrap: Bootstrap) -> dict[str, Any]:
    """How intervals were made, for the record."""
    return {
        "level": bootstrap.level,
        "resamples": bootstrap.n_resamples,
        "seed": bootstrap.seed,
        "interval": bootstrap.interval,
    }
