"""The anatomy of a generated frontal chest radiograph: the numbers of one person, and fields made from them.

Fields are arrays over a square grid. Positions are in *chest units*: ``u`` to the image's right (the
patient's left) and ``v`` downwards, both from -1 to 1 over an image of a centred person; the spine is near
``u = 0``. One person's shift, rotation and size change where a pixel falls in these units, so that every
field follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Anatomy", "Fields", "image_position", "make_fields", "sample_anatomy"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Anatomy:
    """The numbers of one person and one exposure, in chest units unless said otherwise."""

    shift: tuple[float, float]  # of the chest's centre from the image's centre
    rotation: float  # radians, clockwise in the image
    scale: float  # chest units per image half-width; above 1 the chest is small
    cage_width: float  # half-width of the lungs at their widest
    lung_height: float  # from the lungs' centre up to the apex
    diaphragm: tuple[float, float]  # height (v) of the dome on the image's left and right
    heart: float  # how far the heart reaches to the image's right
    aorta: float  # size of the aortic knob
    rib_phase: float  # where the first rib lies, in rib spacings
    rib_spacing: float
    rib_contrast: float
    clavicle: tuple[float, float]  # height (v) of the clavicles' medial ends, image left and right
    clavicle_slope: float
    shoulder: float  # height (v) of the shoulders' slope
    body_width: float
    breast: float  # density of the breast shadows, 0 = none
    gas: float  # size of the gastric bubble, 0 = none
    exposure: float  # added to every grey value
    contrast: float
    noise: float


@dataclass(frozen=True)
class Fields:
    """Fields of one person over one grid: what a picture is composed of."""

    u: Array
    v: Array
    body: Array  # thickness of soft tissue, 0 (air) to 1
    level: Array  # per pixel of the nearer lung: 0 at its centre, 1 at the chest wall
    angle: Array  # direction from the nearer lung's centre: 0 up, pi/2 to the side, negative to the middle
    lung: Array  # 0 to 1, where the lung is seen (not behind heart and diaphragm)
    mediastinum: Array  # 0 to 1
    abdomen: Array  # 0 to 1, below the diaphragm


def sample_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw one person and one exposure."""
    dome = rng.uniform(0.34, 0.47)
    collar = rng.uniform(-0.62, -0.52)
    return Anatomy(
        shift=(rng.uniform(-0.06, 0.06), rng.uniform(-0.05, 0.05)),
        rotation=rng.normal(0, 0.025),
        scale=rng.uniform(0.94, 1.10),
        cage_width=rng.uniform(0.60, 0.68),
        lung_height=rng.uniform(0.82, 0.94),
        diaphragm=(dome, dome + rng.uniform(0.02, 0.07)),
        heart=rng.uniform(0.30, 0.43),
        aorta=rng.uniform(0.02, 0.055),
        rib_phase=rng.uniform(0, 1),
        rib_spacing=rng.uniform(0.135, 0.16),
        rib_contrast=rng.uniform(0.75, 1.25),
        clavicle=(collar + rng.normal(0, 0.012), collar + rng.normal(0, 0.012)),
        clavicle_slope=rng.uniform(0.05, 0.22),
        shoulder=rng.uniform(-0.98, -0.86),
        body_width=rng.uniform(0.86, 1.02),
        breast=rng.uniform(0.3, 1.0) if rng.random() < 0.45 else 0.0,
        gas=rng.uniform(0.05, 0.11) if rng.random() < 0.6 else 0.0,
        exposure=rng.normal(0, 0.02),
        contrast=rng.uniform(0.88, 1.1),
        noise=rng.uniform(0.008, 0.016),
    )


def make_fields(person: Anatomy, size: int) -> Fields:
    """Evaluate the fields of ``person`` on a grid of ``size`` x ``size`` pixels that covers the image."""
    u, v = _chest_units(person, size)
    side = np.abs(u)
    centre_u, centre_v = person.cage_width * 0.52, 0.12
    outwards = side / (1 + 0.11 * v) - centre_u  # the cage widens downwards
    half_width = np.where(outwards > 0, person.cage_width - centre_u, centre_u)
    upwards = np.where(v < centre_v, (v - centre_v) / person.lung_height, (v - centre_v) * 0.32)
    level = ((np.abs(outwards) / half_width) ** 2.3 + np.abs(upwards) ** 2.3) ** np.float32(1 / 2.3)
    angle = np.arctan2(outwards / half_width, -(v - centre_v) / person.lung_height)
    mediastinum = _step((_mediastinal_border(person, u, v) - side) / 0.012)
    below = _step((v - _dome(person, u)) / 0.008)
    lung = _step((1 - level) / 0.022) * (1 - mediastinum) * (1 - below)
    wall = _step((side - person.cage_width - 0.01) / 0.02)
    abdomen = below * (1 - wall) + wall * _step((v - person.diaphragm[0] - 0.22) / 0.15)
    return Fields(u, v, _body(person, u, v), level, angle, lung, mediastinum, abdomen)


def image_position(person: Anatomy, u: Any, v: Any) -> tuple[Any, Any]:
    """Where positions in chest units, numbers or arrays, lie in the image: x, y in fractions of its side.

    The small bending of the axes is left aside.
    """
    cos, sin = np.cos(person.rotation), np.sin(person.rotation)
    x, y = cos * u - sin * v + person.shift[0], cos * v + sin * u + person.shift[1]
    return (x / person.scale + 1) / 2, (y / person.scale + 1) / 2


def _chest_units(person: Anatomy, size: int) -> tuple[Array, Array]:
    axis = (2 * (np.arange(size, dtype=np.float32) + 0.5) / size - 1) * person.scale
    x, y = axis[None, :] - np.float32(person.shift[0]), axis[:, None] - np.float32(person.shift[1])
    cos, sin = np.float32(np.cos(person.rotation)), np.float32(np.sin(person.rotation))
    u, v = cos * x + sin * y, cos * y - sin * x
    # Nobody is symmetric: bend the axes a little, with waves far longer than any structure.
    return u + 0.02 * np.sin(2.1 * v + 40 * person.rib_phase), v + 0.015 * np.sin(2.6 * u + 40 * person.rib_phase)


def _mediastinal_border(person: Anatomy, u: Array, v: Array) -> Array:
    """How far from ``u = 0`` the mediastinum and the heart reach, at each pixel's height and side."""
    base = 0.105 + 0.02 * np.clip(v, -1, 0.2)
    apex = np.clip((v + 0.16) / 0.56, 0, 1)
    right = person.aorta * _bump(v, -0.34, 0.07) + 0.02 * _bump(v, -0.17, 0.06)
    right = right + person.heart * np.sin(0.5 * np.pi * apex) ** 1.25
    left = 0.012 * _bump(v, -0.3, 0.15) + (0.04 + 0.1 * person.heart) * _bump(v, 0.2, 0.2)
    return base + np.where(u > 0, right, left)


def _dome(person: Anatomy, u: Array) -> Array:
    """Height (v) of the diaphragm, each half a dome whose highest point is a little medial of its middle."""
    side = np.abs(u)
    top = person.diaphragm[0] + (person.diaphragm[1] - person.diaphragm[0]) * _step(u / 0.1)
    from_top = np.where(side > 0.3, (side - 0.3) / (person.cage_width - 0.3), (0.3 - side) / 0.3)
    return top + np.where(side > 0.3, 0.19, 0.05) * np.clip(from_top, 0, 1.2) ** 2


def _body(person: Anatomy, u: Array, v: Array) -> Array:
    """Thickness of soft tissue: trunk under sloping shoulders, neck, arms beside a gap below the armpits."""
    side = np.abs(u)
    slope = person.shoulder + 0.16 * np.clip((side - 0.2) / 0.7, 0, 2) + 0.5 * np.clip(side - 0.86, 0, 1) ** 1.5
    slope = slope - 0.5 * np.exp(-side / 0.11)
    shoulders = np.sqrt(np.clip((v - slope) / 0.30, 0, 1))
    width = person.body_width + 0.03 * np.sin(3 * v) + 0.55 * _step((-0.12 - v) / 0.16)
    trunk = np.sqrt(np.clip(1 - (side / width) ** 4, 0, 1))
    inner = person.body_width + 0.05 + 0.07 * np.clip(v, 0, 1)
    arms = 0.8 * np.sqrt(np.clip((side - inner) / 0.12, 0, 1))
    trunk = np.maximum(trunk, arms) * shoulders
    neck = 0.9 * np.sqrt(np.clip(1 - (side / (0.25 + 0.25 * np.clip(v + 1, 0, 0.3))) ** 4, 0, 1))
    return np.maximum(trunk, neck * _step((-0.7 - v) / 0.08))


def _bump(x: Array, centre: float, width: float) -> Array:
    return np.exp(-(((x - centre) / width) ** 2))


def _step(x: Array) -> Array:
    """A smooth step from 0 to 1 around ``x = 0``."""
    return 0.5 + 0.5 * np.tanh(x)
