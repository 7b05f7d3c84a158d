"""Transforms of question answering around the network: entries of a training, cases of a run, and ranked answers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from monai.transforms import Compose, SelectItemsd, Transform
from monai.utils import CommonKeys as Keys

from medpipe.data.vqa_text import AnswerVocabulary, QuestionVocabulary
from medpipe.io.radiograph import read_radiograph
from medpipe.transforms.scale_to_fit import ScaleToFit
from medpipe.transforms.vqa import StretchedImagesd, vqa_preprocessing

__all__ = ["ANSWERS", "RankAnswersd", "picture_training", "question_case_preprocessing", "question_training"]

ANSWERS = 5
"""Most probable answers that are kept."""


def question_training(
    questions: QuestionVocabulary,
    answers: AnswerVocabulary,
    *,
    small_side: int = 84,
    large_side: int = 128,
    images: Sequence[str] = ("small", "large"),
) -> Compose:
    """Tokens, images and target of an entry of a datalist, and nothing else of it, so that entries can be stacked.

    Args:
        questions: The words.
        answers: The candidates.
        small_side: Rows and columns of the images of the meta-learned encoder.
        large_side: The same of the auto-encoder's, divisible by 4.
        images: Which of the two are made; without any, no file is read.

    Raises:
        ValueError: A side is too small, or not divisible.
    """
    sides = _sides(small_side, large_side, images)
    return Compose(
        [vqa_preprocessing(questions, answers, sides=sides), SelectItemsd(keys=["tokens", *sides, "target"])]
    )


def picture_training(side: int = 128) -> Compose:
    """The picture under "image" as (1, side, side) in [0, 1], for an auto-encoder.

    Raises:
        ValueError: The side is not divisible by 4.
    """
    _checked(16, side)
    return Compose([StretchedImagesd({Keys.IMAGE: side})])


def question_case_preprocessing(
    questions: QuestionVocabulary,
    *,
    small_side: int = 84,
    large_side: int = 128,
    images: Sequence[str] = ("small", "large"),
    picture_size: int = 512,
) -> Compose:
    """Tokens and images of a case of a run, and a picture for people, unless no image is made.

    Args:
        questions: The words.
        small_side: As for ``question_training``.
        large_side: As for ``question_training``.
        images: As for ``question_training``.
        picture_size: Longer side of the picture.

    Raises:
        ValueError: A side is too small, or not divisible.
    """
    sides = _sides(small_side, large_side, images)
    picture = [_Picture(picture_size)] if sides else []
    return Compose([*picture, vqa_preprocessing(questions, sides=sides)])


def _sides(small: int, large: int, images: Sequence[str]) -> dict[str, int]:
    return {name: side for name, side in _checked(small, large).items() if name in images}


def _checked(small: int, large: int) -> dict[str, int]:
    if small < 16 or large < 16 or large % 4:
        raise ValueError(
            f"small_side and large_side must be 16 or more, large_side divisible by 4; found {small} and {large}"
        )
    return {"small": small, "large": large}


class _Picture(Transform):
    """Add "picture", (rows, columns) uint8, and the "rows" and "columns" of the file under "image"."""

    def __init__(self, size: int) -> None:
        self._scale = ScaleToFit(size)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with its picture."""
        pixels = np.ascontiguousarray(read_radiograph(str(data["image"])).pixels, np.float32)
        small = np.asarray(self._scale(torch.from_numpy(pixels)[None]))[0]
        picture = np.rint(np.clip(small, 0, 1) * 255).astype(np.uint8)
        return {**data, "picture": picture, "rows": pixels.shape[0], "columns": pixels.shape[1]}


class Calibration(Protocol):
    """From an answer's logit to the probability that it is right: ``medpipe.predictions.answer_calibration``."""

    def probability(self, logit: float) -> float:
        """Of one answer."""


class RankAnswersd(Transform):
    """Add "answers": the most probable candidates with their probabilities, from the logits (candidates,) under "pred".

    Each candidate was trained as a yes or no of its own, so its probability is the logistic function of its logit; they do
    not add up to 1. With a calibration "calibrated" is added: the probability that the first answer is right.

    Args:
        vocabulary: The candidates.
        most: How many are kept.
        calibration: Of the network.
    """

    def __init__(
        self, vocabulary: AnswerVocabulary, most: int = ANSWERS, *, calibration: Calibration | None = None
    ) -> None:
        self.vocabulary, self.most, self.calibration = vocabulary, most, calibration

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with its answers; of equal ones the first candidate comes first."""
        probabilities = torch.as_tensor(data[Keys.PRED]).double().sigmoid()
        order = torch.sort(torch.as_tensor(data[Keys.PRED]), descending=True, stable=True).indices[: self.most]
        ranked = [[self.vocabulary.answers[place], float(probabilities[place])] for place in order.tolist()]
        found = {**data, "answers": ranked}
        if self.calibration is not None:
            found["calibrated"] = self.calibration.probability(float(data[Keys.PRED][order[0]]))
        return found
