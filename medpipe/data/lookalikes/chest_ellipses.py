"""A schematic chest radiograph: two dark elliptical lungs and a bright heart in a body, air beside it.

Positions and lengths are in fractions of the image's side, x to the right and y downwards, so that every
structure scales with the image. Grey values go from 0 (black) to 1.

What differs from image to image, and so has to be compared within the image: the grey of the air beside the
body, the brightness of the round shadows, large and small, and of the bands that cross both lungs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["LARGE", "SMALL", "Canvas", "Chest", "Ellipse", "Spot", "make_canvas", "sample_chest", "step"]

Array = NDArray[Any]
SMALL, LARGE = 0.02, 0.045
"""Radii of the round shadows."""

_EDGE = 0.005  # half the width of a border


@dataclass(frozen=True)
class Ellipse:
    """An upright ellipse."""

    x: float
    y: float
    half_width: float
    half_height: float

    def level(self, x: Any, y: Any) -> Any:
        """0 at the centre, 1 on the border."""
        return np.hypot((x - self.x) / self.half_width, (y - self.y) / self.half_height)

    def at(self, u: float, v: float) -> tuple[float, float]:
        """The place ``u`` half widths to the right of the centre and ``v`` half heights below it."""
        return self.x + u * self.half_width, self.y + v * self.half_height

    def inside(self, x: Array, y: Array) -> Array:
        """1 inside, 0 outside, with a soft border."""
        return step((1 - self.level(x, y)) * min(self.half_width, self.half_height))


@dataclass(frozen=True)
class Spot:
    """A round shadow."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Chest:
    """One person and one exposure."""

    lungs: tuple[Ellipse, Ellipse]  # on the image's left and right
    heart: Ellipse
    air: float  # grey value beside the body
    lung: float
    tissue: float
    small: float  # what the small round shadows add
    large: float  # what the large ones add
    band: float  # what the bands add


@dataclass
class Canvas:
    """A picture being drawn."""

    chest: Chest
    x: Array  # (1, size)
    y: Array  # (size, 1)
    texture: Array  # (size, size), the fine structure of the lungs, already in the picture
    image: Array  # (size, size)
    spots: list[Spot]  # all round shadows, already in the picture

    def lung(self, side: int) -> Array:
        """1 where the lung on ``side`` (0 = image left, 1 = image right) is seen, (size, size)."""
        return self.chest.lungs[side].inside(self.x, self.y) * (1 - self.chest.heart.inside(self.x, self.y))

    def change(self, chest: Chest) -> None:
        """Make the picture that of ``chest``, and keep what was drawn on it."""
        self.image += _compose(chest, self.x, self.y) - _compose(self.chest, self.x, self.y)
        self.chest = chest

    def brighten(self, spot: Spot, brightness: float) -> None:
        """Add to the brightness of a round shadow."""
        distance = np.hypot(self.x - spot.x, self.y - spot.y)
        self.image += brightness * np.exp(-((distance / spot.radius) ** 4))


def sample_chest(rng: np.random.Generator) -> Chest:
    """Draw one person and one exposure."""
    apart, y = rng.uniform(0.185, 0.2), rng.uniform(0.43, 0.47)
    half_width, half_height = rng.uniform(0.125, 0.145), rng.uniform(0.25, 0.3)
    left, right = (
        Ellipse(0.5 + side * apart, y, half_width * rng.uniform(0.97, 1.03), half_height) for side in (-1, 1)
    )
    air = rng.uniform(0.02, 0.38)
    return Chest(
        lungs=(left, right),
        heart=Ellipse(0.53, y + 0.6 * half_height, rng.uniform(0.09, 0.11), rng.uniform(0.11, 0.13)),
        air=air,
        lung=air + rng.uniform(0.1, 0.12),
        tissue=rng.uniform(0.66, 0.72),
        small=rng.uniform(0.1, 0.28),
        large=rng.uniform(0.06, 0.2),
        band=rng.uniform(0.06, 0.14),
    )


def make_canvas(rng: np.random.Generator, chest: Chest, size: int) -> Canvas:
    """Draw the chest without any finding: 3 large and 5 small round shadows, the texture of the lungs."""
    spots = _spots(rng, chest)  # before the texture, which takes more of the stream the larger the picture is
    axis = (np.arange(size) + 0.5) / size
    x, y = axis[None, :], axis[:, None]
    texture = ndimage.gaussian_filter(rng.standard_normal((size, size)), max(0.008 * size, 0.5))
    texture *= 0.025 / texture.std()
    canvas = Canvas(chest, x, y, texture, _compose(chest, x, y), spots)
    canvas.texture = texture * np.maximum(canvas.lung(0), canvas.lung(1))
    canvas.image += canvas.texture
    for spot in canvas.spots:
        canvas.brighten(spot, chest.large if spot.radius == LARGE else chest.small)
    return canvas


def step(distance: Array, edge: float = _EDGE) -> Array:
    """A smooth step from 0 to 1 around ``distance`` 0."""
    return 0.5 + 0.5 * np.tanh(distance / edge)


def _spots(rng: np.random.Generator, chest: Chest) -> list[Spot]:
    """Round shadows apart from each other, within the lungs and clear of the heart."""
    spots: list[Spot] = []
    for radius in [LARGE] * 3 + [SMALL] * 5:
        for _ in range(1000):  # a chest where a shadow finds no place in so many tries has it where the last try was
            lung = chest.lungs[rng.integers(2)]
            spot = Spot(*lung.at(*rng.uniform(-1, 1, 2)), radius)
            room = 1 - 1.2 * radius / lung.half_width
            apart = all(np.hypot(spot.x - o.x, spot.y - o.y) > 1.2 * (radius + o.radius) for o in spots)
            if lung.level(spot.x, spot.y) < room and chest.heart.level(spot.x, spot.y) > 1.2 and apart:
                break
        spots.append(spot)
    return spots


def _compose(chest: Chest, x: Array, y: Array) -> Array:
    """Air, body, lungs and heart, without texture and shadows."""
    body = Ellipse(0.5, 0.62, 0.44, 0.6).inside(x, y)
    image = chest.air + (chest.tissue - chest.air) * body
    for lung in chest.lungs:
        image += (chest.lung - image) * lung.inside(x, y)
    image += (chest.tissue - image) * chest.heart.inside(x, y)
    return np.asarray(image)
