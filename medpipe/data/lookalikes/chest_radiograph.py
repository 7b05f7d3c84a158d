"""Generated frontal chest radiographs with and without pneumothorax and chest tube.

The task is that of Kim et al., "Learning Visual Context by Comparison" (ECCV 2020, arXiv 2007.07506). Their
private data set asks for *emergency* pneumothorax: a pneumothorax without a chest tube in place. The
generated images contain the mechanism which makes that task need context. A pneumothorax is the upper-lateral
rim of one lung, without vessels, darker, inside a thin pleural line. The tube lies in the lower part of the
*other* lung, so nothing near the rim tells the positive class from the negative one. Every image has 0 to 6
tube-like lines over the mediastinum whatever its class, so neither "a line somewhere" nor the mean brightness
gives the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from .chest_anatomy import Anatomy, Fields, image_position, make_fields, sample_anatomy
from .chest_bones import bone_field
from .chest_vessels import vessel_field
from .lines import Line, add_line

__all__ = ["FINDINGS", "Drawing", "draw_chest_radiograph"]

Array = NDArray[Any]

_SIDES = {-1: "left", 1: "right"}
_FAR = 0.05  # distances from the pleural line beyond this one make no difference

FINDINGS: dict[str, float] = {
    "pneumothorax": 0.38,
    "pneumothorax_with_tube": 0.31,
    "tube": 0.16,
    "none": 0.15,
}
"""What an image can show, with its share of a data set. Only ``pneumothorax`` is a positive case."""


@dataclass(frozen=True)
class Drawing:
    """One generated radiograph with its truth."""

    image: Array  # (size, size), 0 to 1, 1 = bright bone
    mask: NDArray[np.bool_]  # (size, size), the rim of the pneumothorax, empty without one
    finding: str  # one of FINDINGS
    attributes: dict[str, str | int | float]

    @property
    def positive(self) -> bool:
        """Whether this is the class to detect: a pneumothorax and no tube."""
        return self.finding == "pneumothorax"


@dataclass(frozen=True)
class _Rim:
    """A pneumothorax: which lung, how deep at most (in lung levels), and from which to which direction."""

    side: int  # -1 = image left, 1 = image right
    depth: float
    first: float
    last: float
    darkness: float
    waves: float


def draw_chest_radiograph(rng: np.random.Generator, finding: str, size: int = 1024) -> Drawing:
    """Draw one frontal chest radiograph.

    Anatomy, pneumothorax, tube, leads and noise each have a random stream of their own, so drawings from
    equal generators with different findings show the same person: a pneumothorax with and without tube differ
    by the tube only.

    Args:
        rng: source of randomness; it must come from a seed (``numpy.random.default_rng(seed)``).
        finding: one of ``FINDINGS``.
        size: side of the image in pixels, at least 64.

    Returns:
        the image with its truth. ``attributes`` holds ``side`` and ``tube_side`` ("left" or "right" of the
        image, "" without one), ``leads`` (number of lines over the mediastinum) and ``rim_fraction`` (of the
        image).

    Raises:
        ValueError: an unknown finding, or a size below 64.
    """
    if finding not in FINDINGS:
        raise ValueError(f"finding is {finding!r}; expected one of {', '.join(FINDINGS)}")
    if size < 64:
        raise ValueError(f"size is {size}; expected at least 64 pixels")
    person_rng, rim_rng, tube_rng, lead_rng, noise_rng = rng.spawn(5)
    person = sample_anatomy(person_rng)
    fields = make_fields(person, size if size < 512 else size // 2)  # anatomy is smooth: half the pixels do
    rim = _sample_rim(rim_rng)
    has_rim, has_tube = "pneumothorax" in finding, "tube" in finding
    inwards = _rim_distance(rim, fields) if has_rim else np.full_like(fields.u, -_FAR)
    image = _resize(_compose(person_rng, person, fields, rim, inwards), size)
    brightness, leads = _sample_leads(lead_rng, person)
    tubes = [_sample_tube(tube_rng, person, -rim.side, brightness)] if has_tube else []
    for line in (*leads, *tubes):
        add_line(image, line)
    mask = (_resize(inwards, size) > 0) & (_resize(fields.lung, size) > 0.5)
    attributes: dict[str, str | int | float] = {
        "side": _SIDES[rim.side] if has_rim else "",
        "tube_side": _SIDES[-rim.side] if has_tube else "",
        "leads": len(leads),
        "rim_fraction": float(mask.mean()),
    }
    return Drawing(_expose(noise_rng, person, image), mask, finding, attributes)


def _sample_rim(rng: np.random.Generator) -> _Rim:
    return _Rim(
        side=int(rng.choice((-1, 1))),
        depth=rng.uniform(0.16, 0.36),
        first=rng.uniform(-0.6, -0.2),
        last=rng.uniform(1.2, 1.9),
        darkness=rng.uniform(0.05, 0.09),
        waves=rng.uniform(0, 2 * np.pi),
    )


def _rim_distance(rim: _Rim, fields: Fields) -> Array:
    """Distance from the pleural line in fractions of the image's side, above 0 in the rim."""
    turn = np.clip((fields.angle - rim.first) / (rim.last - rim.first), 0, 1)
    taper = np.minimum(1, 3.2 * turn) * np.minimum(1, 1.7 * (1 - turn))
    depth = (
        rim.depth
        * (1 - 0.5 * np.cos(fields.angle) ** 2)
        * np.sin(0.5 * np.pi * taper)
        * (1 + 0.12 * np.sin(3 * fields.angle + rim.waves))
    )
    level = fields.level - 1 + depth
    down, right = np.gradient(level)
    distance = level / np.maximum(np.hypot(down, right), 1e-4) / level.shape[0]
    other_side = (fields.u * rim.side < 0) | (depth < 0.03)
    return np.where(other_side, -_FAR, np.clip(distance, -_FAR, _FAR)).astype(np.float32)


def _compose(rng: np.random.Generator, person: Anatomy, fields: Fields, rim: _Rim, inwards: Array) -> Array:
    """The noiseless picture on the working grid: tissue, less air, with bones, vessels and pneumothorax."""
    size = fields.u.shape[0]
    aerated = fields.lung * (0.62 + 0.38 * np.sqrt(np.clip(1 - fields.level**2, 0, 1)))
    image = 0.06 + 0.70 * fields.body**0.8 - 0.33 * aerated
    image += fields.body * (
        0.07 * fields.mediastinum * (1 - 0.85 * fields.abdomen) + 0.13 * fields.abdomen + 0.05 * fields.v
    )
    image += fields.body * bone_field(person, fields) * (0.45 + 0.75 * fields.lung)
    image += _soft_parts(person, fields) + 0.025 * _mottle(rng, size) * fields.body
    in_rim = np.clip(inwards * 400, 0, 1) * fields.lung
    image += 0.22 * vessel_field(rng, person, size) * aerated * (1 - in_rim)
    line_width = max(1.1 / 1024, 0.7 / size)
    image += 0.06 * np.exp(-((inwards / line_width) ** 2)) * fields.lung - rim.darkness * in_rim
    return image.astype(np.float32)


def _soft_parts(person: Anatomy, fields: Fields) -> Array:
    """Windpipe, hila, breast shadows and the gas bubble in the stomach."""
    u, v = fields.u, fields.v
    windpipe = np.exp(-(((u - 0.01) / 0.045) ** 4)) * np.clip((-0.2 - v) / 0.08, 0, 1)
    hila = np.exp(-(((np.abs(u) - 0.19) / 0.07) ** 2) - ((v + 0.04) / 0.13) ** 2)
    breast = np.hypot((np.abs(u) - 0.42) / 0.34, (v - 0.26) / 0.3)
    fold = np.clip((1 - breast) / 0.06, 0, 1) * np.clip((v + 0.05) / 0.4, 0, 1)
    gas = np.hypot((u - 0.33) / 1.5, v - person.diaphragm[1] - 0.03 - person.gas)
    bubble = np.clip((person.gas - gas) / 0.03, 0, 1)
    return (
        -0.055 * windpipe * fields.body
        + 0.07 * hila * fields.lung
        + 0.05 * person.breast * fold * (1 - fields.abdomen)
        - 0.10 * bubble
    )


def _mottle(rng: np.random.Generator, size: int) -> Array:
    """Slow variations of tissue thickness, with a standard deviation of about 1."""
    return _resize(rng.standard_normal((9, 9), dtype=np.float32), size)


def _sample_leads(rng: np.random.Generator, person: Anatomy) -> tuple[float, list[Line]]:
    """The brightness of all tubes and leads in this image, and 0 to 6 leads over the mediastinum."""
    brightness = rng.uniform(0.22, 0.30)
    leads = []
    for _ in range(int(rng.integers(0, 7))):
        centre = (rng.uniform(-0.05, 0.05), rng.uniform(-0.5, 0.35))
        leads.append(_line(rng, person, centre, rng.normal(0, 0.22) + np.pi / 2, brightness))
    return brightness, leads


def _sample_tube(rng: np.random.Generator, person: Anatomy, side: int, brightness: float) -> Line:
    """A chest tube in the lower part of the lung on ``side``, rising towards the middle."""
    centre = (side * person.cage_width * rng.uniform(0.70, 0.80), rng.uniform(0.02, 0.22))
    rise = rng.uniform(0.5, 1.1)
    return _line(rng, person, centre, np.pi + rise if side > 0 else -rise, brightness)


def _line(
    rng: np.random.Generator,
    person: Anatomy,
    centre: tuple[float, float],
    direction: float,
    brightness: float,
) -> Line:
    half = 0.5 * rng.uniform(0.32, 0.44)
    u, v = half * np.cos(direction), half * np.sin(direction)
    return Line(
        start=image_position(person, centre[0] - u, centre[1] - v),
        end=image_position(person, centre[0] + u, centre[1] + v),
        bend=rng.normal(0, 0.06),
        radius=rng.uniform(0.008, 0.011),
        brightness=brightness,
    )


def _expose(rng: np.random.Generator, person: Anatomy, image: Array) -> Array:
    """Apply contrast and exposure, and add quantum noise, which is strongest behind dense tissue."""
    image = 0.5 + person.contrast * (image - 0.5) + person.exposure
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, 0.6) * 1.9
    image = image + person.noise * (0.5 + image) * noise
    # A shoulder keeps dense parts below white, as a film does.
    image = np.where(image > 0.8, 0.8 + 0.2 * np.tanh((image - 0.8) / 0.2), image)
    return np.clip(image, 0, 1).astype(np.float32)


def _resize(field: Array, size: int) -> Array:
    if field.shape[0] == size:
        return field
    return np.array(Image.fromarray(field).resize((size, size), Image.Resampling.BICUBIC))
