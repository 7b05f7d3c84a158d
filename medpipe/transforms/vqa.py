"""From a question about an image to what a network takes: word numbers, images of two sizes, scores of the candidates."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import Compose, Transform
from torch import Tensor
from torch.utils.data import Dataset

from medpipe.data.episodes import sample_episode
from medpipe.data.vqa_text import AnswerVocabulary, QuestionVocabulary
from medpipe.errors import CaseError, InputDataError
from medpipe.io.colour_picture import read_colours
from medpipe.io.radiograph import read_radiograph

__all__ = [
    "AnswerTargetsd",
    "EpisodeBatches",
    "QuestionTokensd",
    "StretchedImagesd",
    "check_pictures",
    "pictures",
    "stretched",
    "vqa_preprocessing",
]

SIDES = {"small": 84, "large": 128}
"""Rows and columns of the images of the meta-learned and of the denoising encoder."""

_KEPT = 4096  # images of one size that are kept in memory
_PHOTOGRAPHS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and standard deviation of each colour


def stretched(path: str | Path, side: int, colours: int = 1) -> Tensor:
    """A picture as (colours, side, side), bilinear with antialiasing, whatever its proportions.

    Args:
        path: The file.
        side: Rows and columns.
        colours: 1 for display values in [0, 1]; 3 for red, green and blue, normalised as photographs are (ImageNet).

    Raises:
        ValueError: Another number of colours.
    """
    if colours not in (1, 3):
        raise ValueError(f"colours must be 1 or 3, found {colours}")
    pixels = read_radiograph(str(path)).pixels[:, :, None] if colours == 1 else read_colours(str(path))
    planes = torch.from_numpy(np.ascontiguousarray(pixels, np.float32)).permute(2, 0, 1)
    found = F.interpolate(planes[None], (side, side), mode="bilinear", align_corners=False, antialias=True)[0].clamp(
        0, 1
    )
    if colours == 1:
        return found
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in _PHOTOGRAPHS)
    return (found - mean) / std


_stretched = lru_cache(maxsize=_KEPT)(stretched)


def pictures(paths: Iterable[str], side: int, colours: int = 1) -> Tensor:
    """Pictures as ``stretched`` makes them, (N, colours, side, side); each is decoded once as long as it is kept."""
    return torch.stack([_stretched(path, side, colours) for path in paths])


def check_pictures(paths: Iterable[str], side: int, colours: int = 1) -> None:
    """Read pictures before long work; they are kept as for ``pictures``.

    Raises:
        InputDataError: Some cannot be read; the first are named, with the reasons.
    """
    problems = []
    for path in paths:
        try:
            _stretched(path, side, colours)
        except CaseError as error:
            problems.append(f"{path} ({error})")
    if problems:
        raise InputDataError(
            f"{len(problems)} pictures cannot be read: {'; '.join(problems[:3])}; mend them or leave them out"
        )


class QuestionTokensd(Transform):
    """Add "tokens" to the dictionary: the word numbers (length,) of the text under "question".

    Args:
        vocabulary: Of the training questions, or the file that it was written to.
    """

    def __init__(self, vocabulary: QuestionVocabulary | str | Path) -> None:
        self.vocabulary = _loaded(vocabulary, QuestionVocabulary)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with its tokens."""
        return {**data, "tokens": torch.tensor(self.vocabulary.encode(str(data["question"])))}


class AnswerTargetsd(Transform):
    """Add "target" to the dictionary: the score (candidates,) of each candidate, from the texts under "answers".

    Args:
        vocabulary: The candidates, or the file that they were written to.
    """

    def __init__(self, vocabulary: AnswerVocabulary | str | Path) -> None:
        self.vocabulary = _loaded(vocabulary, AnswerVocabulary)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with its target."""
        return {**data, "target": torch.from_numpy(self.vocabulary.targets(data["answers"]))}


class StretchedImagesd(Transform):
    """Add the picture under "image" in one or several square sizes, as ``stretched`` makes it.

    Many questions are about one image; each is decoded once per size as long as it is kept.

    Args:
        sides: Key to add -> rows and columns.
        colours: Key -> number of colours, where it is not 1.
    """

    def __init__(self, sides: Mapping[str, int], colours: Mapping[str, int] | None = None) -> None:
        self.sides, self.colours = dict(sides), dict(colours or {})

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with its images."""
        image = str(data["image"])
        found: dict[Hashable, Any] = {
            key: _stretched(image, side, self.colours.get(key, 1)) for key, side in self.sides.items()
        }
        return {**data, **found}


def vqa_preprocessing(
    questions: QuestionVocabulary | str | Path,
    answers: AnswerVocabulary | str | Path | None = None,
    *,
    sides: Mapping[str, int] | None = None,
    colours: Mapping[str, int] | None = None,
) -> Compose:
    """Tokens and images of an entry of a datalist of questions, and its target where candidates are given.

    Args:
        questions: The words.
        answers: The candidates; None where answers are not known.
        sides: Key of an image -> rows and columns; None for ``SIDES``.
        colours: Key of an image -> number of its colours, where it is not 1.
    """
    steps: list[Any] = [QuestionTokensd(questions), StretchedImagesd(SIDES if sides is None else sides, colours)]
    return Compose(steps if answers is None else [*steps, AnswerTargetsd(answers)])


class EpisodeBatches(Dataset[dict[str, Tensor]]):
    """Batches of episodes for meta-learning, drawn by torch's generator; to be loaded with ``batch_size=None``.

    A batch has "support" (episodes, N, colours, side, side) and "query" with "support_label" and "query_label" (episodes, N).

    Args:
        images: Class -> its image files (``medpipe.data.meta_manifest.images_by_class``).
        batches: Per epoch.
        episodes: Per batch.
        ways: Classes of an episode.
        support: Images to learn from per class.
        query: Images to be judged on per class.
        other: Make the images of all classes not drawn one more class.
        side: Rows and columns.
        colours: As of ``stretched``.

    Raises:
        ValueError: There is no batch or no episode, or episodes cannot be drawn from so few classes or images.
    """

    def __init__(
        self,
        images: Mapping[str, Sequence[str]],
        *,
        batches: int,
        episodes: int = 5,
        ways: int = 3,
        support: int = 3,
        query: int = 3,
        other: bool = False,
        side: int = SIDES["small"],
        colours: int = 1,
    ) -> None:
        if min(batches, episodes) < 1:
            raise ValueError(f"an epoch needs a batch, and a batch an episode; found {batches} and {episodes}")
        self.images, self.batches, self.episodes = images, batches, episodes
        self.side, self.colours = side, colours
        self.options: dict[str, Any] = {"ways": ways, "support": support, "query": query, "other": other}
        sample_episode(images, np.random.default_rng(0), **self.options)  # refuses what cannot be drawn

    def __len__(self) -> int:
        """Batches per epoch."""
        return self.batches

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """One batch; another each time it is asked for."""
        if not 0 <= number < self.batches:
            raise IndexError(number)
        rng = np.random.default_rng(int(torch.randint(2**31 - 1, ())))
        drawn = [sample_episode(self.images, rng, **self.options) for _ in range(self.episodes)]
        batch = {}
        for part in ("support", "query"):
            pairs = [getattr(episode, part) for episode in drawn]
            batch[part] = torch.stack(
                [pictures((image for image, _ in episode), self.side, self.colours) for episode in pairs]
            )
            batch[f"{part}_label"] = torch.tensor([[label for _, label in episode] for episode in pairs])
        return batch


def _loaded(vocabulary: Any, kind: Any) -> Any:
    return vocabulary if isinstance(vocabulary, kind) else kind.load(vocabulary)
