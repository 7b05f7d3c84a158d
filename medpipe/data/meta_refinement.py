"""Refining meta-data between rounds of meta-learning: labels for images without, and away with labels nobody is sure of.

Of MMQ (T Do et al., MICCAI 2021, https://arxiv.org/abs/2105.08913). Both decisions are made on the same data, from what a
meta-learned network said of images in many episodes, and then applied together. Images never move: the outcome is a manifest.

An image without a class is given class c when

- it was seen more than ``min_appearances`` times,
- c has strictly more votes than any other class, so that a tie gives nothing,
- c has more than ``min_votes`` votes; or, where that is left open, more than the share ``min_share`` of the votes for any
  class of its own,
- and c is not ``other``, the class of an episode that stands for all that were not drawn.

An image with a class loses it when its probability of that class never reached ``min_probability``.

The published numbers of appearances and votes (47 and 15 for VQA-RAD, 27 and 9 for PathVQA) belong to 600 episodes and to pools
of a size that was not published: an image is seen ``episodes * queries of an episode / pool`` times. Where ``min_appearances``
is left open it is half of that.

In an episode of n of N classes, an image's own class is missing in (N - n) / N of its appearances, and a network that is always
right says ``other`` then: it gives no image of 9 classes a label in episodes of 3. ``other_counts=False`` leaves these votes out
of the comparison, which the paper does not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from medpipe.errors import RequestError

from .meta_manifest import MetaImage, MetaManifest

__all__ = ["OTHER", "REFINES", "Refinement"]

REFINES = ("both", "unlabelled", "labelled", "none")
OTHER = "other"
_LEAST = 2  # images that a class must keep, because an episode learns from one and asks another

Votes = Mapping[str, Mapping[str, int]]
Probabilities = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Refinement:
    """The rules.

    Attributes:
        refine: ``both``, ``unlabelled`` (give labels alone), ``labelled`` (take labels away alone) or ``none``.
        min_appearances: See above; None for half of what is expected.
        min_votes: See above; None to go by ``min_share``.
        min_share: See above.
        min_probability: See above; 0 takes no label away.
        other_counts: Whether an image gets no class where ``other`` has as many votes as any.

    Raises:
        RequestError: A word is unknown, or a number out of range.
    """

    refine: str = "both"
    min_appearances: float | None = None
    min_votes: float | None = None
    min_share: float = 0.45
    min_probability: float = 0.3
    other_counts: bool = True

    def __post_init__(self) -> None:
        if self.refine not in REFINES:
            raise RequestError(f"refine must be one of {', '.join(REFINES)}; found {self.refine!r}")
        for name in ("min_appearances", "min_votes", "min_share", "min_probability"):
            value = getattr(self, name)
            if value is not None and (math.isnan(value) or value < 0):
                raise RequestError(f"{name} must not be negative, found {value}")

    @property
    def gives(self) -> bool:
        """Whether images are given labels."""
        return self.refine in ("both", "unlabelled")

    @property
    def takes(self) -> bool:
        """Whether labels are taken away."""
        return self.refine in ("both", "labelled")

    def added(self, votes: Votes, *, expected: float) -> dict[str, tuple[str, str]]:
        """Images that are given a class, which, and why.

        Args:
            votes: Image -> class or ``other`` -> how often the network took it for that; each appearance is one vote.
            expected: Mean number of appearances of an image.
        """
        least = expected / 2 if self.min_appearances is None else self.min_appearances
        found = {}
        for image, counts in votes.items():
            seen = sum(counts.values())
            running = {name: count for name, count in counts.items() if self.other_counts or name != OTHER}
            (first, most), *others = Counter(running).most_common(2) or [("", 0)]
            if seen <= least or first in ("", OTHER) or (others and others[0][1] == most):
                continue
            needed = self.min_votes
            if needed is None:
                needed = self.min_share * (seen - counts.get(OTHER, 0))
            if most > needed:
                found[image] = (first, f"{most} of {seen} votes")
        return found

    def removed(self, probabilities: Probabilities) -> dict[str, str]:
        """Images that lose their class, surest first to last, and why.

        Args:
            probabilities: Image -> its probability of its class at each appearance; one that never appeared keeps its class.
        """
        best = {image: max(values) for image, values in probabilities.items() if len(values)}
        unsure = sorted((value, image) for image, value in best.items() if value < self.min_probability)
        return {
            image: f"probability {value:.3f} at most in {len(probabilities[image])} appearances"
            for value, image in unsure
        }

    def refined(
        self, manifest: MetaManifest, votes: Votes, probabilities: Probabilities, *, expected: float, round_: int
    ) -> MetaManifest:
        """The data of the next round.

        A class keeps two images, the ones with the greatest probability, even where nobody is sure of them.

        Args:
            manifest: The data that votes and probabilities were gathered on, by the paths of the images.
            votes: As of ``added``; only of images without a class.
            probabilities: As of ``removed``; only of images with one.
            expected: As of ``added``.
            round_: Number of the next round, for the reasons.
        """
        given = self.added(votes, expected=expected) if self.gives else {}
        taken = self.removed(probabilities) if self.takes else {}
        left = manifest.counts()
        changed: dict[str, MetaImage] = {}
        by_path = {manifest.path(image): image for image in manifest.images}
        for path, reason in taken.items():
            image = by_path[path]
            if image.label is None or left[image.label] <= _LEAST:
                continue
            left[image.label] -= 1
            changed[image.image] = replace(image, label=None, reason=f"t{round_}: not {image.label}: {reason}")
        for path, (label, reason) in given.items():
            image = by_path[path]
            if image.label is None:
                changed[image.image] = replace(image, label=label, reason=f"t{round_}: {label}: {reason}")
        return replace(manifest, images=tuple(changed.get(image.image, image) for image in manifest.images))
