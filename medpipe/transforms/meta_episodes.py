"""Episodes that are the same for every network that sees them, with the names of their images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from medpipe.data.episodes import Episode, sample_episode
from medpipe.transforms.vqa import SIDES, pictures

__all__ = ["SeededEpisodes"]


class SeededEpisodes:
    """Episodes with one more class, ``other``, drawn by a seed and their number alone.

    Each is a dictionary: "support" (N, colours, side, side) and "support_label" (N,), "query" (M, ...), "query_image", the paths
    of its M images, and "classes", the name of each label. Where queries are of the classes drawn there is also "query_label"
    (M,); where they are of a pool without classes, there is none, and for each class ``query`` different ones of them are drawn.

    Args:
        images: Class -> its image files.
        pool: Images without a class to be asked about; None to ask about those of the classes.
        count: Number of episodes.
        ways: Classes drawn.
        support: Images to learn from per class.
        query: Images to be asked about per class; no more than the pool has.
        side: Rows and columns.
        colours: As of ``medpipe.transforms.vqa.stretched``.
        seed: Numbers from 0.

    Raises:
        ValueError: Episodes cannot be drawn from so few classes or images.
    """

    def __init__(
        self,
        images: Mapping[str, Sequence[str]],
        pool: Sequence[str] | None = None,
        *,
        count: int,
        ways: int = 3,
        support: int = 3,
        query: int = 3,
        side: int = SIDES["small"],
        colours: int = 1,
        seed: Sequence[int] = (0,),
    ) -> None:
        self.images, self.pool, self.count = images, pool, count
        self.side, self.colours, self.seed = side, colours, tuple(seed)
        self.options: dict[str, Any] = {"ways": ways, "support": support, "query": query, "other": True}
        self._draw(0)

    def __len__(self) -> int:
        """Number of episodes."""
        return self.count

    @property
    def appearances(self) -> float:
        """Mean number of times that an image of the pool is asked about; 0 without a pool."""
        if not self.pool:
            return 0.0
        rows = self.options["ways"] + 1
        return self.count * rows * min(self.options["query"], len(self.pool)) / len(self.pool)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The episodes, the same each time."""
        for number in range(self.count):
            episode, asked = self._draw(number)
            labels = (
                {} if self.pool is not None else {"query_label": torch.tensor([label for _, label in episode.query])}
            )
            yield {
                "support": pictures((image for image, _ in episode.support), self.side, self.colours),
                "support_label": torch.tensor([label for _, label in episode.support]),
                "query": pictures(asked, self.side, self.colours),
                "query_image": asked,
                "classes": episode.classes,
                **labels,
            }

    def _draw(self, number: int) -> tuple[Episode, list[str]]:
        rng = np.random.default_rng([*self.seed, number])
        episode = sample_episode(self.images, rng, **self.options)
        if self.pool is None:
            return episode, [image for image, _ in episode.query]
        rows = (
            rng.choice(len(self.pool), min(self.options["query"], len(self.pool)), replace=False)
            for _ in episode.classes
        )
        return episode, [self.pool[place] for row in rows for place in row]
