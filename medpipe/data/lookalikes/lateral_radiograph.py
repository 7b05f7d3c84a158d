"""A generated lateral chest radiograph: the view that a method for frontal images must refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["draw_lateral_radiograph"]

Array = NDArray[Any]


def draw_lateral_radiograph(rng: np.random.Generator, size: int = 1024) -> Array:
    """Draw a chest from the side: (size, size), 0 to 1, the spine on the image's right."""
    axis = (2 * (np.arange(size, dtype=np.float32) + 0.5) / size - 1) * np.float32(rng.uniform(0.95, 1.08))
    u, v = axis[None, :] + np.float32(rng.uniform(-0.05, 0.05)), axis[:, None] + np.float32(0.03)
    front, back = -0.62 - 0.12 * np.sin(1.5 * v), 0.66 + 0.06 * np.sin(2.2 * v + 0.5)
    middle, half = (front + back) / 2, (back - front) / 2
    body = np.sqrt(np.clip(1 - (np.abs(u - middle) / half) ** 4, 0, 1)) * _step((v + 0.95) / 0.06)
    dome = 0.48 + 0.55 * np.clip(u + 0.1, -0.5, 1) ** 2
    level = (np.abs(u - middle + 0.06) / (0.84 * half)) ** 3 + (np.clip(0.1 - v, 0, 2) / 0.9) ** 3
    chest = _step((1 - level) / 0.08)
    lung = chest * _step((dome - v) / 0.012)
    heart = _step((1 - np.hypot((u + 0.26 + 0.3 * v) / 0.32, (v - 0.24) / 0.36)) / 0.2)
    image = 0.06 + 0.68 * body - 0.27 * lung * (1 - 0.7 * heart) + 0.12 * body * _step((v - dome) / 0.012)
    image = image + body * ((0.4 + 0.6 * lung) * _spine(u, v, back) + _ribs(u - middle, v, lung))
    noise = rng.standard_normal((size, size), dtype=np.float32)
    return np.clip(image + 0.018 * ndimage.gaussian_filter(noise, 0.6), 0, 1).astype(np.float32)


def _spine(u: Array, v: Array, back: Array) -> Array:
    across = np.abs(u - back + 0.24) / 0.075
    within = v / 0.125 - np.floor(v / 0.125)
    disc = np.exp(-(((np.abs(within - 0.5) - 0.5) / 0.08) ** 2))
    return _step((1 - across) / 0.15) * (0.11 - 0.07 * disc)


def _ribs(across: Array, v: Array, lung: Array) -> Array:
    phase = (v - 0.55 * across + 0.25 * across**2) / 0.15
    return 0.05 * lung * _step((0.17 - np.abs(phase - np.round(phase))) / 0.03)


def _step(x: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(x)
