"""Meta-data in two parts: what the rounds of meta-learning work on, and labelled images that models are compared on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medpipe.errors import InputDataError, RequestError

from .meta_manifest import MetaManifest, meta_images
from .meta_refinement import OTHER

__all__ = ["MetaSplit", "split_meta"]

_LEAST = 2  # images of a class, one to learn from and one to be asked about


@dataclass(frozen=True)
class MetaSplit:
    """The two parts.

    Attributes:
        rounds: All that meta-learning may see; each class has two images or more.
        held_out: Labelled images alone, of which meta-learning sees none; the same holds.
    """

    rounds: MetaManifest
    held_out: MetaManifest

    def paths(self) -> list[str]:
        """All images."""
        return [part.path(image) for part in (self.rounds, self.held_out) for image in part.images]


def split_meta(
    source: str | Path, *, ways: int, val: str | Path | None = None, fraction: float = 0.2, seed: int = 0
) -> MetaSplit:
    """Divide meta-data.

    Without ``val``, a share of each class is held out by chance: two images at least, of classes that have four or more;
    smaller classes are learnt from whole. A class of a single image cannot be learnt: its image goes on without a class.

    Args:
        source: A manifest, or a folder in one of the layouts of ``medpipe.data.meta_manifest``.
        ways: Classes that are drawn for an episode, which has one more for all others.
        val: The part that is held out, where there is one, likewise.
        fraction: Of each class, above 0 and below 1.
        seed: Of the division, which depends on the names alone.

    Raises:
        RequestError: The fraction is out of range.
        InputDataError: A source is wrong, too few classes are in a part, or an image is in both.
    """
    whole = _named(source)
    if val is None:
        if not 0 < fraction < 1:
            raise RequestError(f"val_fraction must be above 0 and below 1, found {fraction}")
        held = _drawn(whole, fraction, seed)
        rounds = replace(whole, images=tuple(image for image in whole.images if image.image not in held))
        held_out = replace(whole, images=tuple(image for image in whole.images if image.image in held))
    else:
        rounds, held_out = whole, _labelled(_named(val))
        _check_apart(rounds, held_out)
    rounds, held_out = _without_singles(rounds), _labelled(_without_singles(held_out))
    _check_classes(rounds, ways, f"'{source}'" if val is not None else f"'{source}', outside the part held out")
    _check_classes(held_out, ways, f"'{val}'" if val is not None else f"the part of '{source}' that is held out")
    return MetaSplit(rounds, held_out)


def _named(source: str | Path) -> MetaManifest:
    manifest = meta_images(source)
    if OTHER in manifest.counts():
        raise InputDataError(f"'{source}' has a class '{OTHER}', which is the name of all classes not drawn; rename it")
    return manifest


def _drawn(manifest: MetaManifest, fraction: float, seed: int) -> set[str]:
    held: set[str] = set()
    for place, name in enumerate(manifest.counts()):
        images = sorted(image.image for image in manifest.images if image.label == name)
        if len(images) < 2 * _LEAST:
            continue
        count = min(max(_LEAST, round(fraction * len(images))), len(images) - _LEAST)
        order = np.random.default_rng([seed, place]).permutation(len(images))
        held |= {images[number] for number in order[:count]}
    return held


def _labelled(manifest: MetaManifest) -> MetaManifest:
    return replace(manifest, images=tuple(image for image in manifest.images if image.label is not None))


def _without_singles(manifest: MetaManifest) -> MetaManifest:
    counts = manifest.counts()
    single = {name for name, count in counts.items() if count < _LEAST}
    images = (
        replace(image, label=None, reason=f"the only image of {image.label}") if image.label in single else image
        for image in manifest.images
    )
    return replace(manifest, images=tuple(images))


def _check_apart(rounds: MetaManifest, held_out: MetaManifest) -> None:
    both = {Path(rounds.path(i)).resolve() for i in rounds.images} & {
        Path(held_out.path(i)).resolve() for i in held_out.images
    }
    if both:
        raise InputDataError(
            f"{len(both)} images of val= are in meta=, too (first: {min(both)}); leave them out of one"
        )


def _check_classes(manifest: MetaManifest, ways: int, where: str) -> None:
    count = len(manifest.counts())
    if count < ways + 1:
        raise InputDataError(
            f"{where}: holds {count} classes of 2 or more images; episodes of {ways} classes and one for all others need "
            f"{ways + 1}; give a smaller ways=, more images (a class of 4 can be divided), or val="
        )
