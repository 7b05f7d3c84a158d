"""Small classification tasks drawn from images by class, for meta-learning.

An episode has a few of the classes, and of each some images to learn from (support) and others to be judged on (query).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Episode", "sample_episode"]


@dataclass(frozen=True)
class Episode:
    """One task.

    Attributes:
        classes: Name of each label; the last is ``other`` where images of all further classes are one more class.
        support, query: Pairs of an image and its label; no image is in both.
    """

    classes: tuple[str, ...]
    support: tuple[tuple[str, int], ...]
    query: tuple[tuple[str, int], ...]


def sample_episode(
    images: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
    *,
    ways: int,
    support: int,
    query: int,
    other: bool = False,
) -> Episode:
    """Draw an episode.

    No image is both in support and query. A class that is too small for that many different images is divided in the same
    proportion, and images are repeated within support or query.

    Args:
        images: Class -> its images.
        rng: Decides on everything.
        ways: Classes drawn.
        support: Images to learn from per class.
        query: Images to be judged on per class.
        other: Make the images of all classes not drawn one more class.

    Raises:
        ValueError: There are too few classes, or a number is below 1.
    """
    needed = ways + other
    if min(ways, support, query) < 1 or needed > len(images):
        raise ValueError(
            f"{ways} ways{' and other' if other else ''} of {support} + {query} images cannot be drawn from "
            f"{len(images)} classes"
        )
    names = [str(name) for name in rng.permutation(sorted(images))]
    groups = {name: list(images[name]) for name in names[:ways]}
    if other:
        groups["other"] = [image for name in sorted(names[ways:]) for image in images[name]]
    labels = rng.permutation(len(groups))  # which class is which label says nothing
    classes = [""] * len(groups)
    drawn: tuple[list[tuple[str, int]], list[tuple[str, int]]] = ([], [])
    for (name, pool), label in zip(groups.items(), labels.tolist(), strict=True):
        classes[label] = name
        for part, chosen in zip(drawn, _two_parts(pool, rng, support, query), strict=True):
            part += [(image, label) for image in chosen]
    return Episode(tuple(classes), tuple(drawn[0]), tuple(drawn[1]))


def _two_parts(pool: Sequence[str], rng: np.random.Generator, support: int, query: int) -> tuple[list[str], list[str]]:
    if len(pool) < 2:
        raise ValueError(f"a class needs at least 2 images, found {len(pool)}")
    shuffled = [pool[place] for place in rng.permutation(len(pool))]
    first = support
    if len(pool) < support + query:
        first = min(max(1, round(len(pool) * support / (support + query))), len(pool) - 1)
    return _filled(shuffled[:first], support), _filled(shuffled[first:], query)


def _filled(images: Sequence[str], count: int) -> list[str]:
    """The first ``count``, starting over where there are fewer."""
    return [images[place % len(images)] for place in range(count)]
