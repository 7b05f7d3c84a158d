"""The vessels of generated lungs: trees that leave each hilum and thin out towards the chest wall."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from .chest_anatomy import Anatomy, image_position

__all__ = ["vessel_field"]

Array = NDArray[Any]
Segment = tuple[float, float, float, float, float]  # from u, v to u, v, with a width, in chest units


def vessel_field(rng: np.random.Generator, person: Anatomy, size: int) -> Array:
    """Density of the vessels over the whole grid, 0 to about 1; the caller cuts it to the lungs."""
    canvas = Image.new("L", (size, size))
    draw = ImageDraw.Draw(canvas)
    tree = np.array(_tree(rng, -1.0) + _tree(rng, 1.0))
    tree = tree[np.argsort(tree[:, 4])]  # thick ones last, so that they lie on top
    x0, y0 = image_position(person, tree[:, 0], tree[:, 1])
    x1, y1 = image_position(person, tree[:, 2], tree[:, 3])
    ends = np.stack([x0, y0, x1, y1], 1) * size
    greys = np.minimum(80 + 4200 * tree[:, 4], 255).astype(int)
    pixels = np.maximum(1, np.round(tree[:, 4] / person.scale * size / 2)).astype(int)
    for end, grey, width in zip(ends.tolist(), greys.tolist(), pixels.tolist(), strict=True):
        draw.line(end, fill=grey, width=width)
    field = np.asarray(canvas, np.float32) / 255
    return ndimage.gaussian_filter(field, 0.0024 * size) + _grain(rng, size)


def _tree(rng: np.random.Generator, side: float) -> list[Segment]:
    """The segments of one lung's tree."""
    segments: list[Segment] = []
    hilum = (side * 0.17, -0.04)
    for angle in np.linspace(-1.9, 1.45, 13) + rng.normal(0, 0.15, 13):
        direction = angle if side > 0 else np.pi - angle
        start = (hilum[0] + 0.02 * rng.normal(), hilum[1] + 0.09 * angle + 0.02 * rng.normal())
        segments += _branch(rng, start, direction, rng.uniform(0.013, 0.024))
    return segments


def _branch(rng: np.random.Generator, start: tuple[float, float], direction: float, width: float) -> list[Segment]:
    """One branch: short steps that bend at random and give off thinner branches, until it is too thin."""
    segments: list[Segment] = []
    u, v = start
    while width > 0.0025:
        direction += rng.normal(0, 0.2)
        length = rng.uniform(0.025, 0.05)
        ahead = (u + length * math.cos(direction), v + length * math.sin(direction))
        segments.append((u, v, *ahead, width))
        (u, v), width = ahead, width * 0.88
        if rng.random() < 0.5 and width > 0.003:
            turn = rng.uniform(0.35, 0.8) * (1 if rng.random() < 0.5 else -1)
            segments += _branch(rng, (u, v), direction + turn, width * 0.72)
    return segments


def _grain(rng: np.random.Generator, size: int) -> Array:
    """The fine mottle of vessels too small to draw: noise of a few pixels' width, mean 0."""
    noise = rng.standard_normal((size, size), dtype=np.float32)
    fine = ndimage.gaussian_filter(noise, 0.004 * size)
    return 0.07 * fine / max(float(fine.std()), 1e-6)
