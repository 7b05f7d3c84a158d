"""Pairs of images made from a label map or from an image, with the displacement between them known.

M. Hoffmann et al., "SynthMorph: learning contrast-invariant registration without acquired images", IEEE TMI 2022,
https://arxiv.org/abs/2004.10282. The moving label map is a deformed copy of the given one, the fixed one is the moving one
pulled back by a second displacement, which is therefore the exact answer. Greys, blur, bias, noise and gamma are drawn
anew for each pair; an image keeps its greys. Volumes are (1, X, Y, Z), a displacement (3, X, Y, Z) in voxels of the fixed grid:
``fixed(x) = moving(x + u(x))``.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.networks.blocks import Warp
from monai.transforms import MapTransform, Randomizable
from torch import Tensor

from medpipe.data.lookalikes.deformable_shapes import ANATOMIES, nested_ellipsoids, random_shapes

from .random_fields import affine_displacement, one_to_one_displacement, spline_noise

__all__ = ["LABEL_MAP_KINDS", "Appearance", "Deformation", "SynthesizePaird", "fixed_pairs", "random_label_maps"]

LABEL_MAP_KINDS = ("shapes", *ANATOMIES)


def random_label_maps(
    kind: str, *, count: int, image_size: int | Sequence[int], seed: int = 0
) -> list[dict[str, Tensor]]:
    """Label maps to make pairs of.

    Args:
        kind: ``shapes``, random ones without anatomy; ``liver`` or ``brain``, nested ellipsoids.
        count: How many.
        image_size: One number or (X, Y, Z).
        seed: Of the random numbers.

    Returns:
        Samples with "label", (1, X, Y, Z) uint8.

    Raises:
        ValueError: The kind is unknown or the count is not positive.
    """
    if kind not in LABEL_MAP_KINDS or count < 1:
        raise ValueError(f"expected one of {', '.join(LABEL_MAP_KINDS)} and a count from 1, found {kind} and {count}")
    size = (image_size,) * 3 if isinstance(image_size, int) else tuple(image_size)
    shape = (int(size[0]), int(size[1]), int(size[2]))
    maps = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        drawn = random_shapes(rng, shape) if kind == "shapes" else nested_ellipsoids(rng, shape, kind)
        maps.append({"label": torch.from_numpy(drawn)[None]})
    return maps


@dataclass(frozen=True)
class Deformation:
    """How far random displacements go.

    Args:
        spacings: Distances of control points in parts of the largest side of the volume.
        strength: Largest strength of ``one_to_one_displacement``; each displacement draws its own up to it.
        affine: Standard deviation of the entries of W in I + W.
        shift: Standard deviation of the shift in parts of each side.
    """

    spacings: Sequence[float] = (0.5, 0.25, 0.125)
    strength: float = 1.0
    affine: float = 0.05
    shift: float = 0.02

    def draw(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        """A random displacement (3, X, Y, Z)."""
        strength = self.strength * _uniform(0, 1, generator)
        spacings = [share * max(shape) for share in self.spacings]
        displacement = one_to_one_displacement(shape, spacings, strength, generator)
        weight = torch.randn(3, 3, generator=generator).clamp(-3, 3) * self.affine
        shift = torch.randn(3, generator=generator) * self.shift * torch.tensor(shape)
        return affine_displacement(displacement, weight, shift)


@dataclass(frozen=True)
class Appearance:
    """How label maps become images.

    Args:
        greys: Mean grey of each label from 0 on, in [0, 1]; without, each pair has random ones.
        jitter: Standard deviation of what is added to given greys, per pair.
        difference: Standard deviation of what each label's grey in the moving image differs from that in the fixed.
        contrasts: Probability that the two images have random greys of their own, as from two modalities.
        dark_background: Probability that label 0 is black, where greys are random.
        blur: Largest standard deviation of the blur in voxels.
        bias: Standard deviation of the logarithm of the smooth bias.
        noise: Largest standard deviation of the noise.
        gamma: Standard deviation of the logarithm of the exponent.
    """

    greys: Sequence[float] | None = None
    jitter: float = 0.06
    difference: float = 0.02
    contrasts: float = 0.0
    dark_background: float = 0.8
    blur: float = 0.9
    bias: float = 0.15
    noise: float = 0.05
    gamma: float = 0.2

    def draw_greys(self, labels: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Greys (labels,) of the fixed and of the moving image."""
        if self.greys is None:
            fixed, moving = (self._random_greys(labels, generator) for _ in range(2))
        else:
            given = torch.tensor([float(grey) for grey in self.greys])
            if len(given) < labels:
                raise ValueError(f"label maps have labels up to {labels - 1}, but greys are given for {len(given)}")
            fixed = given + self.jitter * torch.randn(len(given), generator=generator) * (given > 0)
        if self.greys is not None or _uniform(0, 1, generator) >= self.contrasts:
            moving = fixed + self.difference * torch.randn(len(fixed), generator=generator) * (fixed > 0)
        return fixed.clamp(0, 1), moving.clamp(0, 1)

    def _random_greys(self, labels: int, generator: torch.Generator) -> Tensor:
        greys = 0.1 + 0.9 * torch.rand(labels, generator=generator)
        if _uniform(0, 1, generator) < self.dark_background:
            greys[0] = 0
        return greys

    def paint(self, labels: Tensor, greys: Tensor, generator: torch.Generator) -> Tensor:
        """The image (1, X, Y, Z) in [0, 1] of a label map of that shape."""
        return self.touch(_blurred(greys[labels.long()], _uniform(0.3, max(self.blur, 0.3), generator)), generator)

    def touch(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """An image (1, X, Y, Z) under a bias, noise and gamma of its own, in [0, 1]."""
        shape = tuple(image.shape[1:])
        image = image * (self.bias * spline_noise(shape, max(shape) / 2, 1, generator)).exp()
        image = image + _uniform(0, self.noise, generator) * torch.randn(image.shape, generator=generator)
        low, high = torch.aminmax(image)
        image = ((image - low) / (high - low + 1e-6)).clamp_(0, 1)
        exponent = self.gamma * torch.randn((), generator=generator)
        return image.pow_(float(exponent.exp()))


class SynthesizePaird(Randomizable, MapTransform):
    """Makes "fixed", "moving", "fixed_label", "moving_label" and "field" of a label map, or of one or two images.

    Args:
        keys: One key, of the label map (1, X, Y, Z), labels from 0 on. Where a sample has "image" (1, X, Y, Z), too, both
            images are that one, deformed and touched up; else they are painted from labels. With "fixed_image" and
            "fixed_label" the two are a real pair: both are deformed alike, and "field_given" is False.
        deformation: Between the two, and by default also from the given map to the moving one.
        appearance: Of both.
        spread: From the given map to the moving one; without, ``deformation``.
        flip: Probability that the first axis is reversed first.

    Raises:
        ValueError: More than one key is given.
    """

    def __init__(
        self,
        keys: Hashable | Sequence[Hashable] = "label",
        *,
        deformation: Deformation = Deformation(),
        appearance: Appearance = Appearance(),
        spread: Deformation | None = None,
        flip: float = 0.5,
    ) -> None:
        MapTransform.__init__(self, keys)  # type: ignore[arg-type]
        if len(self.keys) != 1:
            raise ValueError(f"a pair is made of one label map, found the keys {self.keys}")
        self.deformation, self.appearance = deformation, appearance
        self.spread, self.flip = spread or deformation, flip
        self._warp = Warp("bilinear", "border")

    def randomize(self, data: Any = None) -> torch.Generator:
        """A generator for one pair."""
        return torch.Generator().manual_seed(int(self.R.randint(2**31)))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make a pair; the label map itself and the image are left out, other keys stay.

        Raises:
            ValueError: The label map has another shape, or greys are given for fewer labels.
        """
        generator = self.randomize()
        key = self.keys[0]
        used = (key, "image", "fixed_image", "fixed_label")
        result: dict[Hashable, Any] = {name: value for name, value in data.items() if name not in used}
        # Label maps of all sources in one type, so that they can be collated.
        labels, image = (
            plain_tensor(data[key]).to(torch.int32),
            plain_tensor(data["image"]) if "image" in data else None,
        )
        if labels.ndim != 4 or labels.shape[0] != 1:
            raise ValueError(f"expected a label map (1, X, Y, Z), found {tuple(labels.shape)}")
        shape = tuple(labels.shape[1:])
        flipped = _uniform(0, 1, generator) < self.flip
        if flipped:
            labels, image = labels.flip(1), None if image is None else image.flip(1)
        spread = self.spread.draw(shape, generator)
        if "fixed_image" in data:
            others = [plain_tensor(data[name]) for name in ("fixed_label", "fixed_image")]
            label, other = (volume.flip(1) for volume in others) if flipped else others
            assert image is not None  # "fixed_image" comes with it
            pair = [self._warp(volume[None], spread[None])[0] for volume in (other, image)]
            images = [self.appearance.touch(each, generator) for each in pair]
            fixed_label, moving_label = _pulled(label.to(torch.int32), spread), _pulled(labels, spread)
            named: dict[Hashable, Any] = {"fixed": images[0], "moving": images[1]}
            named |= {"fixed_label": fixed_label, "moving_label": moving_label}
            return {**result, **named, "field": torch.zeros(3, *shape), "field_given": False}
        moving = _pulled(labels, spread)
        field = self.deformation.draw(shape, generator)
        fixed = _pulled(moving, field)
        if image is None:
            greys = self.appearance.draw_greys(int(labels.max()) + 1, generator)
            images = [self.appearance.paint(*pair, generator) for pair in zip((fixed, moving), greys, strict=True)]
        else:
            both = _followed(spread, field)  # the image itself is interpolated once
            images = [self._warp(image[None], way[None])[0] for way in (both, spread)]
            images = [self.appearance.touch(each, generator) for each in images]
        named = {"fixed": images[0], "moving": images[1], "fixed_label": fixed, "moving_label": moving, "field": field}
        return {**result, **named, "field_given": True}


def fixed_pairs(
    label_maps: Sequence[Mapping[Hashable, Any]], transform: SynthesizePaird, *, count: int, seed: int
) -> list[dict[Hashable, Any]]:
    """Pairs that stay the same, to validate on.

    Args:
        label_maps: Taken in turn.
        transform: Makes them; its random numbers are not touched.
        count: How many.
        seed: Of the random numbers.
    """
    own = copy(transform)
    own.set_random_state(seed)
    return [own(label_maps[number % len(label_maps)]) for number in range(count)]


def _followed(first: Tensor, then: Tensor) -> Tensor:
    """``compose(first, then)``, where the volume that ``then`` pulls is repeated beyond its border, as ``_pulled`` has it."""
    then = torch.stack([_clamped(then[axis], axis) for axis in range(3)])
    return then + Warp("bilinear", "border")(first[None], then[None])[0]


def _clamped(component: Tensor, axis: int) -> Tensor:
    """A component of a displacement that leads no place outside the volume."""
    size, ends = component.shape[axis], [1, 1, 1]
    ends[axis] = size
    line = torch.arange(size).view(ends)
    return (component + line).clamp(0, size - 1) - line


def plain_tensor(volume: Any) -> Tensor:
    """Without MONAI's metadata."""
    tensor = torch.as_tensor(volume)
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor


def _pulled(labels: Tensor, field: Tensor) -> Tensor:
    """``labels(x + u(x))`` of the nearest voxel, by index: an interpolator of floats takes four times as long."""
    flat = torch.zeros((), dtype=torch.int64)
    for axis, size in enumerate(labels.shape[1:]):
        ends = [1, 1, 1]
        ends[axis] = size
        place = (field[axis] + torch.arange(size).view(ends)).round_().clamp_(0, size - 1)
        flat = flat * size + place.long()
    return labels.reshape(-1)[flat][None]


def _blurred(image: Tensor, sigma: float) -> Tensor:
    places = torch.arange(-2, 3)
    kernel = torch.exp(-(places**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    for axis in (1, 2, 3):
        # Sums of shifted copies: a convolution of one channel is several times slower on a CPU.
        pad = [0] * 6
        pad[2 * (3 - axis)] = pad[2 * (3 - axis) + 1] = 2
        padded = F.pad(image[None], pad, mode="replicate")[0]
        size = image.shape[axis]
        image = kernel[2] * padded.narrow(axis, 2, size)
        for offset in (0, 1, 3, 4):
            image = image.add_(padded.narrow(axis, offset, size), alpha=float(kernel[offset]))
    return image


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
