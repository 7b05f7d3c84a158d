"""Generated frontal chest radiographs whose nodules are told from normal blobs by comparison only.

The task is the nodule localisation of Kim et al., "Learning Visual Context by Comparison" (ECCV 2020, arXiv
2007.07506), reduced to its mechanism. Two dark lung fields hold five round blobs. The normal ones have one
brightness, which every image draws anew; a nodule is brighter than its neighbours by a fixed step, which is
smaller than that range. So a blob's own brightness leaves many images undecided and the number of blobs says
nothing: the answer is in the comparison of a blob with the others of its image. No blob is as bright as the
body around the lungs, so that a display range taken from the image keeps all of them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medpipe.errors import RequestError

from ..splits import shares
from .plan import check_numbers

__all__ = [
    "AMPLITUDES",
    "BLOBS",
    "LABELS",
    "Blob",
    "NoduleDrawing",
    "NodulePlan",
    "draw_nodule_radiograph",
    "plan_nodule_cases",
]

Array = NDArray[Any]

LABELS = {"0": "all blobs of one brightness", "1": "one or two blobs brighter than the others"}
BLOBS = 5
"""In every image, nodules among them, so that their number and area say nothing."""

AMPLITUDES = (0.25, 0.60)
"""Range of the normal blobs' brightness; the body's is 1."""

_STEP = 0.22  # by which a nodule is brighter
_LUNG = 0.10
_FULL = 1.2  # brightness that is shown white; the body is 1, less and more its texture
_RADII = (1.8, 2.6)  # these and the following in pixels of a picture of 64 x 64
_LUNGS = ((19.0, 33.0), (45.0, 33.0))  # centres (x, y)
_AXES = (10.0, 21.0)  # half axes in x and y
_MARGIN = 4.0  # of a blob's centre from the lung's edge
_GAP = 7.0  # between the centres of two blobs
_EDGE = 0.7  # over which the lung's edge fades
_TEXTURE = 0.03  # standard deviation of the smooth noise, whose grain is _GRAIN
_GRAIN = 4
_NOISE = 0.03  # standard deviation of the white noise


@dataclass(frozen=True)
class Blob:
    """One round blob: its centre and radius in pixels of the image, pixel (0, 0) reaching from 0 to 1."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class NoduleDrawing:
    """One generated radiograph with its truth."""

    image: NDArray[np.float32]  # (size, size), 0 to 1, 1 = bright
    nodules: tuple[Blob, ...]
    normal: tuple[Blob, ...]
    amplitude: float  # of the normal blobs


@dataclass(frozen=True)
class NodulePlan:
    """One case to draw and write."""

    nodules: int
    number: int  # from 1, among the cases with nodules or among those without
    size: int
    drawing_seed: np.random.SeedSequence
    writing_seed: np.random.SeedSequence  # of what a writer adds

    def draw(self) -> NoduleDrawing:
        """Draw the case."""
        return draw_nodule_radiograph(np.random.default_rng(self.drawing_seed), self.nodules, self.size)


def plan_nodule_cases(name: str, *, cases: int, seed: int, size: int, parts: dict[int, float]) -> list[NodulePlan]:
    """Plan ``cases`` radiographs, shuffled.

    Args:
        name: of the data set; with the seed, it decides on all randomness.
        cases: number of radiographs, at least 1.
        seed: from 0.
        size: side of the images in pixels.
        parts: number of nodules -> share of the images that have so many.

    Raises:
        RequestError: fewer than 1 case, a negative seed, or a size outside 64 to 4096.
    """
    check_numbers(cases=cases, seed=seed, size=size)
    shuffling, *seeds = np.random.SeedSequence([seed, *name.encode()]).spawn(2 * cases + 1)
    nodules = np.repeat(list(parts), shares(cases, list(parts.values())))
    np.random.default_rng(shuffling).shuffle(nodules)
    positive = nodules > 0
    numbers = np.where(positive, np.cumsum(positive), np.cumsum(~positive))
    return [
        NodulePlan(int(nodules[index]), int(numbers[index]), size, seeds[2 * index], seeds[2 * index + 1])
        for index in range(cases)
    ]


def draw_nodule_radiograph(rng: np.random.Generator, nodules: int, size: int = 1024) -> NoduleDrawing:
    """Draw one frontal chest radiograph with ``nodules`` of its blobs brighter than the others.

    Drawings from equal generators with different numbers of nodules differ by the brightness of these blobs
    only.

    Args:
        rng: source of randomness; it must come from a seed (``numpy.random.default_rng(seed)``).
        nodules: from 0 to ``BLOBS`` - 3, so that at least three blobs are left to compare with.
        size: side of the image in pixels, at least 64.

    Raises:
        RequestError: there are to be more nodules, or fewer than none.
    """
    if not 0 <= nodules <= BLOBS - 3:
        raise RequestError(f"{nodules} nodules; expected 0 to {BLOBS - 3}, so that three normal blobs are left")
    scale = size / 64
    lungs = _lungs(rng)
    blobs = [Blob(x * scale, y * scale, radius * scale) for x, y, radius in _places(rng, lungs)]
    amplitude = rng.uniform(*AMPLITUDES)
    image = _background(rng, lungs, size)
    for index, blob in enumerate(blobs):
        _add_blob(image, blob, amplitude + (_STEP if index < nodules else 0))
    image += rng.normal(0, _NOISE, image.shape)
    shown = (image / _FULL).clip(0, 1).astype(np.float32)
    return NoduleDrawing(shown, tuple(blobs[:nodules]), tuple(blobs[nodules:]), float(amplitude))


def _lungs(rng: np.random.Generator) -> list[tuple[Array, Array]]:
    """Centre and half axes of both lungs, (x, y) each, on the picture of 64 x 64."""
    return [
        (np.array(centre) + rng.uniform(-1, 1, 2), np.array(_AXES) + rng.uniform(-0.5, 0.5, 2)) for centre in _LUNGS
    ]


def _places(rng: np.random.Generator, lungs: list[tuple[Array, Array]]) -> list[tuple[float, float, float]]:
    """Centres and radii of the blobs. Four of them never fill both lungs, so a fifth always has a place."""
    grid = np.stack(np.meshgrid(np.arange(0.5, 64), np.arange(0.5, 64)), axis=-1).reshape(-1, 2)
    inside = [(((grid - centre) / (axes - _MARGIN)) ** 2).sum(1) < 1 for centre, axes in lungs]
    chosen: list[Array] = []
    for point in rng.permutation(grid[np.any(inside, axis=0)]):
        if all(np.hypot(*(point - other)) >= _GAP for other in chosen):
            chosen.append(point + rng.uniform(-0.5, 0.5, 2))
        if len(chosen) == BLOBS:
            break
    return [(float(x), float(y), float(rng.uniform(*_RADII))) for x, y in rng.permutation(np.array(chosen))]


def _background(rng: np.random.Generator, lungs: list[tuple[Array, Array]], size: int) -> Array:
    """The body with two lung fields, (size, size), with a texture whose grain grows with the picture."""
    along = (np.arange(size) + 0.5) * 64 / size
    image = np.ones((size, size))
    for (x, y), (wide, high) in lungs:
        depth = 1 - np.hypot((along[None, :] - x) / wide, (along[:, None] - y) / high)
        image -= (1 - _LUNG) / (1 + np.exp(-np.clip(depth * wide / _EDGE, -30, 30)))
    coarse = rng.normal(size=(64 // _GRAIN, 64 // _GRAIN))
    texture = ndimage.zoom(coarse, size / len(coarse), order=3, mode="nearest", grid_mode=True)
    return image + _TEXTURE * texture / texture.std()


def _add_blob(image: Array, blob: Blob, amplitude: float) -> None:
    """Add a round blob with a flat top: at its radius it has fallen to 1/e."""
    low_x, low_y = (max(int(at - 2 * blob.radius), 0) for at in (blob.x, blob.y))
    part = image[low_y : int(blob.y + 2 * blob.radius) + 1, low_x : int(blob.x + 2 * blob.radius) + 1]
    rows, columns = np.indices(part.shape) + 0.5
    distance = np.hypot(columns + low_x - blob.x, rows + low_y - blob.y) / blob.radius
    part += amplitude * np.exp(-(distance**4))
