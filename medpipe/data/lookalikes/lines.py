"""Tubes and wires on generated radiographs: bright lines with two denser contours."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Line", "add_line"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Line:
    """A curved piece of tube; positions (x, y) and sizes in fractions of the image's side."""

    start: tuple[float, float]
    end: tuple[float, float]
    bend: float  # how far the middle lies beside the straight line, as a fraction of the length
    radius: float
    brightness: float


def add_line(image: Array, line: Line) -> None:
    """Add ``line`` to the square ``image`` in place: two bright contours with a paler lumen between them."""
    size = image.shape[0]
    points = _course(line) * size
    radius, wall = line.radius * size, max(0.002 * size, 0.6)
    reach = int(np.ceil(radius + 4 * wall))
    low = np.clip(np.floor(points.min(0)).astype(int) - reach, 0, size)
    high = np.clip(np.ceil(points.max(0)).astype(int) + reach + 1, 0, size)
    x, y = np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5
    distance = _distance(points.astype(np.float32), x.astype(np.float32), y.astype(np.float32))
    contour = np.exp(-(((distance - radius) / wall) ** 2))
    lumen = 0.6 / (1 + np.exp(np.clip((distance - radius) / (0.4 * wall), -30, 30)))
    image[low[1] : high[1], low[0] : high[0]] += line.brightness * np.maximum(contour, lumen)


def _course(line: Line) -> NDArray[np.float64]:
    """Nine points along a parabola from start to end, as (x, y)."""
    start, end = np.array(line.start), np.array(line.end)
    along = np.linspace(0, 1, 9)[:, None]
    beside = np.array([start[1] - end[1], end[0] - start[0]])
    return start + along * (end - start) + 4 * line.bend * along * (1 - along) * beside


def _distance(points: Array, x: Array, y: Array) -> Array:
    """Distance of every pixel (y, x) from the polyline through ``points``."""
    nearest = np.full((len(y), len(x)), np.inf, np.float32)
    for (x0, y0), (x1, y1) in pairwise(points):
        dx, dy = x1 - x0, y1 - y0
        squared = max(float(dx * dx + dy * dy), 1e-12)
        along = np.clip(((x - x0)[None, :] * dx + (y - y0)[:, None] * dy) / squared, 0, 1)
        gap = ((x - x0)[None, :] - along * dx) ** 2 + ((y - y0)[:, None] - along * dy) ** 2
        np.minimum(nearest, gap, out=nearest)
    return np.sqrt(nearest)
