"""The 14 findings of NIH ChestX-ray14 as simple patterns on a schematic chest radiograph.

``MECHANISMS`` says how each is drawn. Four of them need context, because what they look like by themselves is
normal in other images: atelectasis (the other lung), emphysema (the air beside the body), nodule and mass (the
other round shadows of the image). Several findings may be in one image.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .chest_ellipses import LARGE, SMALL, Canvas, Ellipse, make_canvas, sample_chest, step

__all__ = ["MECHANISMS", "Box", "FindingsDrawing", "draw_chest_findings"]

Array = NDArray[Any]
Box = tuple[float, float, float, float]

_NOISE = 0.02

MECHANISMS: dict[str, str] = {
    "Atelectasis": "a band across one lung only; in most images such bands cross both lungs, at one height",
    "Cardiomegaly": "a heart half as wide again as normal",
    "Effusion": "one lung's base as bright as tissue, up to a level that rises at the side",
    "Infiltration": "a cluster of faint spots in one lung",
    "Mass": "one of the three large round shadows that every image has, brighter than the other two",
    "Nodule": "one or two of the five small round shadows that every image has, brighter than the others",
    "Pneumonia": "a soft round opacity in one lung, in its lower half",
    "Pneumothorax": "the upper side of one lung dark and without texture, along its border",
    "Consolidation": "a dense part of one upper lung with sharp upper and lower borders, a dark line in it",
    "Edema": "soft opacities in the middle parts of both lungs, next to the mediastinum",
    "Emphysema": "lungs a little larger, and nearly as dark as the air beside the body",
    "Fibrosis": "a net of fine lines in the lower parts of both lungs",
    "Pleural_Thickening": "a bright rim along the side of one lung",
    "Hernia": "a round bright shadow behind the lower heart, with a dark top",
}
"""Finding -> how it is drawn, in the order of the data set."""


@dataclass(frozen=True)
class FindingsDrawing:
    """One generated radiograph with its truth."""

    image: Array  # (size, size), float32, 0 to 1
    boxes: dict[str, list[Box]]  # finding -> x, y, width, height in fractions of the image's side


def draw_chest_findings(
    rng: np.random.Generator, findings: Collection[str], size: int, *, opacities: int = 1
) -> FindingsDrawing:
    """Draw one radiograph that shows ``findings``.

    Chest, noise and every finding have a random stream of their own, so drawings from equal generators show
    the same person, and differ by their findings only.

    Args:
        rng: source of randomness; it must come from a seed (``numpy.random.default_rng(seed)``).
        findings: names in ``MECHANISMS``, or none.
        size: side of the image in pixels, at least 64.
        opacities: how many ``Pneumonia`` draws, 1 to 4; the third and fourth lie in the upper halves.

    Raises:
        ValueError: an unknown finding, a size below 64, or a number of opacities out of range.
    """
    unknown = set(findings) - set(MECHANISMS)
    if unknown or size < 64 or not 1 <= opacities <= 4:
        raise ValueError(
            f"findings {sorted(findings)}, size {size}, {opacities} opacities; expected findings from "
            f"{', '.join(MECHANISMS)}, a size of at least 64, 1 to 4 opacities"
        )
    chest_rng, noise_rng, bands_rng, *streams = rng.spawn(3 + len(MECHANISMS))
    stream = dict(zip(MECHANISMS, streams, strict=True))
    canvas = make_canvas(chest_rng, sample_chest(chest_rng), size)
    boxes = {}
    for name, draw in _DRAW.items():
        if name in findings:
            boxes[name] = draw(stream[name], canvas)
    if "Pneumonia" in findings:
        boxes["Pneumonia"] = _opacities(stream["Pneumonia"], canvas, opacities)
    boxes |= _bands(bands_rng, canvas, "Atelectasis" in findings)
    image = canvas.image + _NOISE * noise_rng.standard_normal((size, size))
    return FindingsDrawing(np.clip(image, 0, 1).astype(np.float32), boxes)


def _emphysema(rng: np.random.Generator, canvas: Canvas) -> list[Box]:
    chest = canvas.chest
    lungs = tuple(
        replace(lung, half_width=1.04 * lung.half_width, half_height=1.06 * lung.half_height) for lung in chest.lungs
    )
    canvas.change(replace(chest, lungs=(lungs[0], lungs[1]), lung=chest.air + rng.uniform(0.01, 0.03)))
    return [_around(lung) for lung in lungs]


def _cardiomegaly(rng: np.random.Generator, canvas: Canvas) -> list[Box]:
    heart = canvas.chest.heart
    wide = replace(heart, half_width=rng.uniform(1.45, 1.7) * heart.half_width)
    canvas.change(replace(canvas.chest, heart=wide))
    return [_around(wide)]


def _effusion(rng: np.random.Generator, canvas: Canvas) -> list[Box]:
    side = int(rng.integers(2))
    lung = canvas.chest.lungs[side]
    outwards = (canvas.x - lung.x) / lung.half_width * (2 * side - 1)
    level = lung.at(0, rng.uniform(0.35, 0.65))[1] - 0.05 * np.clip(outwards, 0, 1) ** 2
    wide = replace(lung, half_width=1.15 * lung.half_width, half_height=1.15 * lung.half_height)  # no rim is left
    below = step(canvas.y - level)
    canvas.image += wide.inside(canvas.x, canvas.y) * below * (canvas.chest.tissue - canvas.image)
    return [_box(canvas.lung(side) * below)]


def _infiltration(rng: np.random.Generator, canvas: Canvas) -> list[Box]:
    side = int(rng.integers(2))
    centre = canvas.chest.lungs[side].at(rng.uniform(-0.2, 0.2), rng.uniform(-0.4, 0.3))
    extent, cluster = rng.uniform(0.06, 0.08), np.zeros_like(canvas.image)
    for _ in range(14):
        x, y = rng.normal(centre, 0.6 * extent)
        cluster = np.maximum(cluster, np.exp(-((np.hypot(canvas.x - x, canvas.y - y) / 0.014) ** 2)))
    cluster *= canvas.lung(side)
    canvas.image += rng.uniform(0.09, 0.13) * cluster
    return [_box(cluster)]


def _mass(rng: np.random.Generator, canvas: Canvas) -> list[Box]:
    return _brighter(rng, canvas, LARGE, 1, 0.12)


def _nodule(rng: np.random.Generator, canvas: Canvas) -> list[Box]:
    return _brighter(rng, canvas, SMALL, int(rng.integers(1, 3)), 0.15)


def _brighter(rng: np.random.Generator, canvas: Canvas, radius: float, count: int, by: float) -> list[Box]:
    """Brighten ``count`` of the round shadows of that radius: neither their number nor their places tell."""
    spots = [spot for spot in canvas.spots if spot.radius == radius]
    chosen = [spots[index] for index in rng.permutation(len(spots))[:count]]
    for spot in chosen:
        canvas.brighten(spot, by)
    return [(spot.x - radius, spot.y - radius, 2 * radius, 2 * radius) for spot in chosen]


def _opacities(rng: np.random.Generator, canvas: Canvas, count: int) -> list[Box]:
    """Soft round opacities, each in a half of a lung of its own, the lower halves first."""
    boxes = []
    places = [(side, half) for half in (1, -1) for side in rng.permutation(2)]
    for side, half in places[:count]:
        x, y = canvas.chest.lungs[side].at(rng.uniform(-0.2, 0.2), half * rng.uniform(0.3, 0.5))
        opacity = Ellipse(x, y, rng.uniform(0.05, 0.08), rng.uniform(0.05, 0.08)).level(canvas.x, canvas.y)
        soft = np.exp(-(opacity**2)) * canvas.lung(side)
        canvas.image += rng.uniform(0.16, 0.22) * soft
        boxes.append(_box(soft, 0.35))
    return boxes


def _pneumothorax(rng: np.random.Generator, canvas: Canvas) -> list[Box]:
    side = int(rng.integers(2))
    lung = canvas.chest.lungs[side]
    depth = rng.uniform(0.2, 0.3)
    outwards = (canvas.x - lung.x) / lung.half_width * (2 * side - 1)
    along = step(outwards + 0.1, 0.1) * step(lung.y + 0.1 * lung.half_height - canvas.y, 0.02)
    rim = canvas.lung(side) * step((lung.level(canvas.x, canvas.y) - 1 + depth) * lung.half_width) * along
    canvas.image -= rim * (canvas.texture + 0.07)
    return [_box(rim)]


def _consolidation(rng: np.random.Generator, canvas: Canvas) -> list[Box]:
    side = int(rng.integers(2))
    lung = canvas.chest.lungs[side]
    top, bottom = lung.at(0, rng.uniform(-0.75, -0.6))[1], lung.at(0, rng.uniform(-0.3, -0.15))[1]
    dense = canvas.lung(side) * step(canvas.y - top) * step(bottom - canvas.y)
    bronchus = np.exp(-(((canvas.y - (top + bottom) / 2 - 0.3 * (canvas.x - lung.x)) / 0.007) ** 2))
    canvas.image += dense * (rng.uniform(0.2, 0.26) - 0.16 * bronchus)
    return [_box(dense)]


def _edema(rng: np.random.Generator, canvas: Canvas) -> list[Box]:
    strength, boxes = rng.uniform(0.14, 0.2), []
    for side in (0, 1):
        x, y = canvas.chest.lungs[side].at(0.55 - 1.1 * side, rng.uniform(-0.1, 0.05))
        wing = np.exp(-(((canvas.x - x) / 0.08) ** 2) - ((canvas.y - y) / 0.13) ** 2) * canvas.lung(side)
        canvas.image += strength * wing
        boxes.append(_box(wing, 0.35))
    return boxes


def _fibrosis(rng: np.random.Generator, canvas: Canvas) -> list[Box]:
    boxes = []
    for side in (0, 1):
        net = np.zeros_like(canvas.image)
        for angle in rng.uniform(0.4, 0.8) + np.array([0, 0.5 * np.pi]):
            wave = np.cos(2 * np.pi * (np.cos(angle) * canvas.x + np.sin(angle) * canvas.y) / 0.035)
            net = np.maximum(net, np.clip(wave, 0, 1) ** 6)
        zone = canvas.lung(side) * step(canvas.y - canvas.chest.lungs[side].at(0, 0.25)[1], 0.02)
        canvas.image += 0.12 * net * zone
        boxes.append(_box(zone))
    return boxes


def _pleural_thickening(rng: np.random.Generator, canvas: Canvas) -> list[Box]:
    side = int(rng.integers(2))
    lung = canvas.chest.lungs[side]
    level = lung.level(canvas.x, canvas.y)
    outwards = (canvas.x - lung.x) / lung.half_width * (2 * side - 1)
    along = step(outwards - 0.4, 0.1) * step(0.6 * lung.half_height - np.abs(canvas.y - lung.y), 0.02)
    rim = canvas.lung(side) * step((level - rng.uniform(0.82, 0.87)) * lung.half_width) * along
    canvas.image += rng.uniform(0.18, 0.24) * rim
    return [_box(rim)]


def _hernia(rng: np.random.Generator, canvas: Canvas) -> list[Box]:
    heart = canvas.chest.heart
    x, y = rng.uniform(0.49, 0.53), heart.y + 0.6 * heart.half_height
    pouch = Ellipse(x, y, rng.uniform(0.05, 0.065), 0.06)
    gas = Ellipse(x, y - 0.015, 0.6 * pouch.half_width, 0.025)
    canvas.image += 0.2 * pouch.inside(canvas.x, canvas.y) - 0.3 * gas.inside(canvas.x, canvas.y)
    return [_around(pouch)]


def _bands(rng: np.random.Generator, canvas: Canvas, atelectasis: bool) -> dict[str, list[Box]]:
    """Bands across both lungs at one height in four of five images; with an atelectasis across one lung only."""
    height, tilt, width = rng.uniform(0.1, 0.3), rng.uniform(-0.15, 0.15), rng.uniform(0.014, 0.018)
    affected, normal = int(rng.integers(2)), rng.random() < 0.8
    sides = [affected] if atelectasis else [0, 1] if normal else []
    boxes = []
    for side in sides:
        x, y = canvas.chest.lungs[side].at(0, height)
        course = y + (1 - 2 * side) * tilt * (canvas.x - x)
        band = np.exp(-(((canvas.y - course) / width) ** 2)) * canvas.lung(side)
        canvas.image += canvas.chest.band * band
        boxes.append(_box(band))
    return {"Atelectasis": boxes} if atelectasis else {}


_DRAW: dict[str, Callable[[np.random.Generator, Canvas], list[Box]]] = {
    "Emphysema": _emphysema,
    "Cardiomegaly": _cardiomegaly,
    "Effusion": _effusion,
    "Edema": _edema,
    "Consolidation": _consolidation,
    "Fibrosis": _fibrosis,
    "Infiltration": _infiltration,
    "Pleural_Thickening": _pleural_thickening,
    "Pneumothorax": _pneumothorax,
    "Hernia": _hernia,
    "Mass": _mass,
    "Nodule": _nodule,
}
"""In the order of drawing: first what covers the lungs or changes them, so that nothing hides another finding."""


def _around(ellipse: Ellipse) -> Box:
    x, y = ellipse.at(-1, -1)
    return x, y, 2 * ellipse.half_width, 2 * ellipse.half_height


def _box(field: Array, threshold: float = 0.5) -> Box:
    """The box around the pixels where ``field`` is above a part of its maximum."""
    inside = field > threshold * field.max()
    (top, bottom), (left, right) = (np.flatnonzero(inside.any(axis))[[0, -1]] for axis in (1, 0))
    height, width = field.shape
    return left / width, top / height, (right + 1 - left) / width, (bottom + 1 - top) / height
