"""Label maps of made-up anatomy, and smooth deformations of them that are known exactly.

Random shapes without any anatomy are those of M. Hoffmann et al., "SynthMorph: learning contrast-invariant registration
without acquired images", IEEE TMI 2022: what is learnt on them works on organs that were never seen. Nested ellipsoids
look a little like an abdomen or a head. Deformations are cubic B-splines whose control points move by less than 0.4 of
their distance, which keeps them one-to-one (Y. Choi, S. Lee, "Injectivity conditions of 2D and 3D uniform cubic B-spline
functions", Graphical Models 2000).

Arrays are indexed (x, y, z). A displacement is (3, x, y, z) in voxels and pulls: ``warped[x] = moving[x + u(x)]``.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = [
    "ANATOMIES",
    "field_between",
    "nested_ellipsoids",
    "paint",
    "points_before",
    "random_shapes",
    "smooth_field",
    "smooth_noise",
    "warp",
]

Field = NDArray[np.float32]
Labels = NDArray[np.uint8]
Shape = tuple[int, int, int]

INJECTIVE = 0.4
"""Largest movement of a control point, in distances of control points, that keeps a spline one-to-one."""

ANATOMIES = ("liver", "brain")


@lru_cache(maxsize=64)
def _spline_weights(size: int, spacing: float) -> NDArray[np.float32]:
    """(size, controls) weights of uniform cubic B-splines whose control points are ``spacing`` voxels apart."""
    controls = int(np.ceil((size - 1) / spacing)) + 3
    distance = np.abs(np.arange(size)[:, None] / spacing - (np.arange(controls)[None, :] - 1))
    near, far = 2 / 3 - distance**2 + distance**3 / 2, (2 - distance) ** 3 / 6
    return np.where(distance < 1, near, np.where(distance < 2, far, 0)).astype(np.float32)


def smooth_noise(rng: np.random.Generator, shape: Shape, spacing: float, channels: int, kind: str = "normal") -> Field:
    """Cubic B-splines with random control points.

    Args:
        rng: Random numbers.
        shape: (x, y, z) of the result.
        spacing: Voxels between control points.
        channels: How many.
        kind: "normal" for standard normal control points, "uniform" for ones in [-1, 1].

    Returns:
        (channels, x, y, z).
    """
    weights = [_spline_weights(size, float(spacing)) for size in shape]
    controls = (channels, *(weight.shape[1] for weight in weights))
    drawn = rng.standard_normal(controls) if kind == "normal" else rng.uniform(-1, 1, controls)
    noise = drawn.astype(np.float32)
    for axis, weight in enumerate(weights):
        noise = np.moveaxis(np.tensordot(weight, noise, (1, axis + 1)), 0, axis + 1)
    return noise


def smooth_field(rng: np.random.Generator, shape: Shape, spacing: float, amplitude: float) -> Field:
    """A random one-to-one displacement.

    Args:
        rng: Random numbers.
        shape: (x, y, z).
        spacing: Voxels between control points.
        amplitude: Largest movement of a control point in voxels; what ``spacing`` cannot carry in one step is
            reached by several of them, one after the other.
    """
    steps = max(1, int(np.ceil(amplitude / (INJECTIVE * spacing))))
    field = (amplitude / steps) * smooth_noise(rng, shape, spacing, 3, "uniform")
    for _ in range(steps - 1):
        step = (amplitude / steps) * smooth_noise(rng, shape, spacing, 3, "uniform")
        field = step + warp(field, step)
    return field


def warp(array: NDArray, field: Field, order: int = 1) -> NDArray:
    """``array[..., x + u(x)]`` for a volume (x, y, z) or several (channels, x, y, z); the border is repeated outside."""
    places = np.indices(field.shape[1:], dtype=np.float32) + field
    if array.ndim == 3:
        return ndimage.map_coordinates(array, places, order=order, mode="nearest")
    return np.stack([ndimage.map_coordinates(part, places, order=order, mode="nearest") for part in array])


def field_between(first: Field, second: Field) -> tuple[Field, float]:
    """The displacement from one deformed copy of a template to another.

    With copies ``first_copy[x] = template[x + first(x)]`` and so the second, it is the field w for which
    ``second_copy[x + w(x)]`` shows what ``first_copy[x]`` shows: x + w + second(x + w) = x + first(x). With a first
    field of zeros it is the inverse of the second.

    Args:
        first: (3, x, y, z) of the fixed copy.
        second: Of the moving copy; its border is repeated outside.

    Returns:
        The field, and by how many voxels the equation is missed where it is missed most.

    Raises:
        ValueError: The equation has no solution within 0.05 voxels everywhere: the second field folds.
    """
    grid = np.indices(first.shape[1:], dtype=np.float32)
    found, missed = _solved((grid + first).reshape(3, -1), second, grid.reshape(3, -1))
    return found.reshape(first.shape) - grid, missed


def points_before(points: NDArray[np.floating], field: Field) -> NDArray[np.float64]:
    """Where points of a template lie in its copy ``copy[x] = template[x + field(x)]``: x with x + field(x) = point.

    Args:
        points: (n, 3) in voxels.
        field: (3, x, y, z).

    Returns:
        (n, 3), maybe outside the volume.

    Raises:
        ValueError: As ``field_between``.
    """
    target = np.asarray(points, np.float32).T
    return _solved(target, field, target)[0].T.astype(float)


SOLVED, REFUSED = 0.005, 0.05
"""Voxels within which the equation is solved, and beyond which there is no answer."""


def _solved(target: NDArray, field: Field, start: NDArray) -> tuple[NDArray[np.float32], float]:
    """Places y (3, n) with y + field(y) = target, by fixed-point iteration on those not yet found.

    Where the field shrinks space by more than half, plain steps swing to and fro; halved ones settle.
    """
    places = np.array(start, np.float32)
    missed = np.full(places.shape[1], np.inf, np.float32)
    active = np.arange(places.shape[1])
    for turn in range(100):
        here = places[:, active]
        step = target[:, active] - here
        step -= np.stack([ndimage.map_coordinates(part, here, order=1, mode="nearest") for part in field])
        missed[active] = np.sqrt((step**2).sum(0))
        wrong = missed[active] > SOLVED
        active = active[wrong]
        if not active.size:
            break
        places[:, active] += step[:, wrong] * (1.0 if turn < 8 else 0.5)
    worst = float(missed.max(initial=0))
    if worst > REFUSED:
        raise ValueError(f"a displacement cannot be undone: {worst:.3g} voxels are left; it folds")
    return places, worst


def random_shapes(rng: np.random.Generator, shape: Shape, labels: int = 16) -> Labels:
    """Labels 0 to ``labels`` - 1: where one of as many smooth noises, warped, is the largest."""
    spacing = rng.uniform(max(shape) / 8, max(shape) / 3)
    noise = smooth_noise(rng, shape, spacing, labels)
    found = np.argmax(noise, axis=0).astype(np.uint8)
    return warp(found, smooth_field(rng, shape, max(shape) / 6, max(shape) / 12), order=0)


def nested_ellipsoids(rng: np.random.Generator, shape: Shape, anatomy: str) -> Labels:
    """A body (1) on background (0) with organs (2, 3, ...) in it.

    "liver" has a large organ on one side, three smaller ones and two spheres in the large one; "brain" has a rim, a core
    and pairs of small structures left and right.
    """
    grid = np.ix_(*(np.linspace(-1, 1, size, dtype=np.float32) for size in shape))

    def level(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> NDArray[np.float32]:
        """Below 1 inside the ellipsoid."""
        centre_r, radii_r = np.asarray(centre) + rng.normal(0, 0.03, 3), np.asarray(radii) * rng.uniform(0.85, 1.15, 3)
        parts = [((axis - c) / r) ** 2 for axis, c, r in zip(grid, centre_r, radii_r, strict=True)]
        return np.asarray(parts[0] + parts[1] + parts[2])

    (_, *of_body), *organs = _PLANS[anatomy]
    body = level(*of_body)
    found = (body < 1).astype(np.uint8)
    for label, centre, radii in organs:
        found[(level(centre, radii) < 1) & (body < _SKIN)] = label
    return warp(found, smooth_field(rng, shape, max(shape) / 4, max(shape) / 12), order=0)


_SKIN = 0.8
"""Level of the body up to which organs reach: they are cut off where they would stick out."""

_Plan = list[tuple[int, tuple[float, float, float], tuple[float, float, float]]]
_PLANS: dict[str, _Plan] = {
    "liver": [
        (1, (0, 0, 0), (0.92, 0.78, 1.3)),
        (2, (0.3, -0.05, 0.15), (0.45, 0.5, 0.6)),  # liver
        (3, (-0.5, 0.2, 0.3), (0.22, 0.25, 0.28)),  # spleen
        (4, (0.4, 0.4, -0.55), (0.15, 0.14, 0.28)),  # kidneys
        (4, (-0.4, 0.4, -0.45), (0.15, 0.14, 0.28)),
        (5, (0, 0.5, 0), (0.14, 0.14, 1.3)),  # spine
        (6, (0.25, -0.2, 0.2), (0.1, 0.1, 0.1)),  # lesions
        (6, (0.45, 0.15, -0.1), (0.08, 0.08, 0.08)),
    ],
    "brain": [
        (1, (0, 0, 0), (0.8, 0.92, 0.78)),
        (2, (0, 0, 0), (0.7, 0.82, 0.68)),  # white matter
        (3, (0.14, 0, 0.1), (0.1, 0.4, 0.14)),  # ventricles
        (3, (-0.14, 0, 0.1), (0.1, 0.4, 0.14)),
        (4, (0.2, 0, -0.12), (0.12, 0.2, 0.12)),  # deep grey matter
        (4, (-0.2, 0, -0.12), (0.12, 0.2, 0.12)),
        (5, (0.38, -0.1, -0.3), (0.08, 0.25, 0.08)),  # hippocampi
        (5, (-0.38, -0.1, -0.3), (0.08, 0.25, 0.08)),
    ],
}


def paint(rng: np.random.Generator, labels: Labels, means: NDArray, noise: float = 0.03) -> NDArray[np.float32]:
    """An image of a label map: a grey for each label, blurred, under a smooth bias, with noise; in [0, 1].

    Args:
        rng: Random numbers.
        labels: (x, y, z).
        means: Grey of each label.
        noise: Standard deviation of the noise.
    """
    image = ndimage.gaussian_filter(np.asarray(means, np.float32)[labels], rng.uniform(0.4, 1.0))
    image *= np.exp(0.15 * smooth_noise(rng, image.shape, max(image.shape) / 2, 1)[0])
    image += rng.normal(0, noise, image.shape).astype(np.float32)
    return np.clip(image, 0, 1)
