"""Numbers with intervals as results.json holds them.

Every figure is an object with value, low, high, level, method, n, reason and definition; undefined is null with a reason.
"""

from __future__ import annotations

import math
from typing import Any

from medpipe.metrics.curves import Curve
from medpipe.metrics.intervals import Estimate

__all__ = ["curve_entry", "figure"]


def figure(name: str, estimate: Estimate, definition: str) -> dict[str, Any]:
    """One figure with its interval, as results.json holds it; "text" is the line that a person reads."""
    numbers = {key: _number(getattr(estimate, key)) for key in ("value", "low", "high")}
    return {
        "name": name,
        "definition": definition,
        **numbers,
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
    percent = f"{100 * estimate.level:g} %"
    return f"{name}: {estimate.value:.3f} ({percent} interval {estimate.low:.3f} to {estimate.high:.3f})"


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def curve_entry(curve: Curve) -> dict[str, Any]:
    """A curve's points, axis names and area."""
    return {
        "name": curve.name,
        "x": [float(v) for v in curve.x],
        "y": [float(v) for v in curve.y],
        "x_label": curve.x_label,
        "y_label": curve.y_label,
        "extends": curve.extends,
        "area": curve.area(),
    }
