"""Where numbers lie on a picture: axes with round tick marks, and lines and bands as SVG path data.

Pictures are drawn by the templates (templates/pictures.html) from these positions. Positions are rounded to a tenth of
a pixel, and points that would not show are left out, so that a curve over ten thousand cases stays small.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Chart", "Scale", "band_path", "line_path", "span"]


@dataclass(frozen=True)
class Scale:
    """A linear axis.

    Attributes:
        low, high: values at its ends.
        start, end: pixels at its ends; ``end`` lies below ``start`` where the axis points up.
        ticks: values to mark.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    @classmethod
    def of(cls, low: float, high: float, start: float, end: float, *, most: int = 6) -> Scale:
        """An axis from ``low`` to ``high`` with at most ``most`` round ticks."""
        step = _round_step(high - low, most)
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return cls(low, high, start, end, tuple(_plain(k * step) for k in range(first, last + 1)))

    @classmethod
    def around(cls, values: Iterable[float | None], start: float, end: float, *, most: int = 4) -> Scale:
        """An axis whose ends are round and enclose all ``values``; shares (0 to 1) do not reach beyond 0 and 1."""
        known = [value for value in values if value is not None and math.isfinite(value)] or [0.0, 1.0]
        low, high = min(known), max(known)
        if high - low <= 1e-9 * max(1.0, abs(low), abs(high)):
            low, high = low - 0.05, high + 0.05
        step = _round_step(high - low, most)
        ends = [_plain(math.floor(low / step + 1e-9) * step), _plain(math.ceil(high / step - 1e-9) * step)]
        if min(known) >= 0 and max(known) <= 1:
            ends = [max(ends[0], 0.0), min(ends[1], 1.0)]
        return cls.of(ends[0], ends[1], start, end, most=most)

    def at(self, value: float) -> float:
        """Pixel of a value, which is moved to the axis' end where it lies beyond."""
        inside = min(max(value, self.low), self.high)
        part = (inside - self.low) / (self.high - self.low)
        return round(self.start + part * (self.end - self.start), 1)

    def holds(self, value: float | None) -> bool:
        """Whether a value lies on the axis."""
        return value is not None and self.low <= value <= self.high

    def label(self, tick: float) -> str:
        """A tick as text, without needless zeros."""
        return f"{tick:g}"


def _plain(value: float) -> float:
    """Without the last digits, in which 3 * 0.2 differs from 0.6."""
    return float(f"{value:.12g}")


def _round_step(width: float, most: int) -> float:
    raw = max(width, 1e-12) / max(most - 1, 1)
    size = 10 ** math.floor(math.log10(raw))
    return next(k * size for k in (1, 2, 2.5, 5, 10) if k * size >= raw * (1 - 1e-9))


@dataclass(frozen=True)
class Chart:
    """Two axes of a picture of ``width`` by ``height`` pixels."""

    x: Scale
    y: Scale
    width: float
    height: float

    @classmethod
    def of(
        cls,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        width: float = 360,
        height: float = 330,
        left: float = 46,
        bottom: float = 46,
    ) -> Chart:
        """A chart with room for labels at its left and bottom edges."""
        return cls(Scale.of(*x, left, width - 12), Scale.of(*y, height - bottom, 10), width, height)

    def line(self, x: Sequence[float], y: Sequence[float]) -> str:
        """Path data of the line through the points."""
        return line_path([(self.x.at(a), self.y.at(b)) for a, b in zip(x, y, strict=True)])

    def band(self, x: Sequence[float], low: Sequence[float | None], high: Sequence[float | None]) -> str:
        """Path data of the area between two lines; places without limits are left out."""
        known = [(a, b, c) for a, b, c in zip(x, low, high, strict=True) if b is not None and c is not None]
        lower = [(self.x.at(a), self.y.at(b)) for a, b, _ in known if self.x.holds(a)]
        upper = [(self.x.at(a), self.y.at(c)) for a, _, c in known if self.x.holds(a)]
        return band_path(lower, upper)


def line_path(points: Sequence[tuple[float, float]]) -> str:
    """SVG path data of a line, without points that lie within a third of a pixel of the one before."""
    if not points:
        return ""
    kept = [points[0]]
    for point in points[1:-1]:
        if abs(point[0] - kept[-1][0]) + abs(point[1] - kept[-1][1]) >= 0.35:
            kept.append(point)
    if len(points) > 1:
        kept.append(points[-1])
    return "M" + " ".join(f"{x:g},{y:g}" for x, y in kept)


def band_path(lower: Sequence[tuple[float, float]], upper: Sequence[tuple[float, float]]) -> str:
    """SVG path data of the closed area between two lines."""
    if not lower:
        return ""
    return line_path(lower) + "L" + line_path(list(reversed(upper)))[1:] + "Z"


def span(count: int, most: int) -> list[int]:
    """At most ``most`` of ``count`` positions, evenly spread, with the first and the last."""
    if count <= most:
        return list(range(count))
    return sorted({round(k * (count - 1) / (most - 1)) for k in range(most)})
