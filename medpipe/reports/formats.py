"""Numbers as a reader sees them; an undefined number is said to be undefined."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["FILTERS", "count", "interval", "number", "p_value", "percent", "plural", "short"]

Number = float | int | None


def number(value: Number, digits: int = 3) -> str:
    """A value with a fixed number of decimals."""
    if value is None or not math.isfinite(value):
        return "undefined"
    return f"{value:.{digits}f}".replace("-0." + "0" * digits, "0." + "0" * digits)


def interval(figure: dict[str, Any], digits: int = 3) -> str:
    """Low and high limit of a figure; limits that fall together are no interval, and the figure's reason says why."""
    if figure["low"] is None or figure["high"] is None or figure["low"] == figure["high"]:
        return "none"
    return f"{number(figure['low'], digits)} to {number(figure['high'], digits)}"


def short(value: Number) -> str:
    """Four significant digits, for numbers of any size such as thresholds and variances."""
    return "undefined" if value is None or not math.isfinite(value) else f"{value:.4g}"


def count(value: int) -> str:
    """A whole number with commas between thousands."""
    return f"{value:,}"


def plural(value: int, one: str, many: str = "") -> str:
    """A whole number with its noun."""
    return f"{count(value)} {one if value == 1 else many or one + 's'}"


def percent(value: Number) -> str:
    """A share as a percentage with one decimal."""
    return "undefined" if value is None else f"{100 * value:.1f} %"


def p_value(value: Number) -> str:
    """A p value; below one in a thousand only that is said."""
    if value is None:
        return "undefined"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


FILTERS = {
    "number": number,
    "interval": interval,
    "short": short,
    "count": count,
    "percent": percent,
    "p_value": p_value,
    "plural": plural,
}
