"""Transforms of question answering around the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from medpipe.data.vqa_text import AnswerVocabulary, QuestionVocabulary
from medpipe.transforms.question_answering import (
    RankAnswersd,
    picture_training,
    question_case_preprocessing,
    question_training,
)

WORDS, ANSWERS = QuestionVocabulary.of(["is it a mass"]), AnswerVocabulary(("yes", "no", "left"))


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "wide.png"
    Image.fromarray(np.arange(64 * 128, dtype=np.uint32).reshape(64, 128).astype(np.uint8)).save(path)
    return str(path)


def test_the_most_probable_answers_come_first_with_the_logistic_of_their_logits() -> None:
    found = RankAnswersd(ANSWERS, most=2)({"pred": torch.tensor([0.0, 2.0, 0.0])})["answers"]
    assert [answer for answer, _ in found] == ["no", "yes"]  # of equal ones the first candidate
    assert [value for _, value in found] == pytest.approx([1 / (1 + np.exp(-2)), 0.5])
    assert len(RankAnswersd(ANSWERS)({"pred": torch.zeros(3)})["answers"]) == 3


def test_an_entry_becomes_what_can_be_stacked_and_nothing_else(image) -> None:
    entry = {"image": image, "question": "is it", "answers": ["No"], "question_type": ["ABN", "POS"], "case": "1"}
    found = question_training(WORDS, ANSWERS, small_side=16, large_side=20)(entry)
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "tokens": (12,),
        "small": (1, 16, 16),
        "large": (1, 20, 20),
        "target": (3,),
    }
    assert found["target"].tolist() == [0, 1, 0]


def test_a_case_gets_a_picture_in_its_proportions(image) -> None:
    preprocessing = question_case_preprocessing(WORDS, small_side=16, large_side=16, picture_size=32)
    found = preprocessing({"image": image, "question": "is it"})
    assert found["picture"].shape == (16, 32)
    assert (found["rows"], found["columns"]) == (64, 128)


def test_images_that_no_encoder_takes_are_not_made_and_without_any_no_file_is_read(image) -> None:
    entry = {"image": image, "question": "is it", "answers": ["No"]}
    assert set(question_training(WORDS, ANSWERS, small_side=16, images=("small",))(entry)) == {
        "tokens",
        "small",
        "target",
    }
    gone = {**entry, "image": "gone.png"}
    assert set(question_training(WORDS, ANSWERS, images=())(gone)) == {"tokens", "target"}
    assert set(question_case_preprocessing(WORDS, images=())(gone)) == {*gone, "tokens"}


def test_a_picture_without_a_label_is_stretched(image) -> None:
    assert tuple(picture_training(16)({"image": image})["image"].shape) == (1, 16, 16)


@pytest.mark.parametrize("sides", [(15, 16), (16, 18), (16, 12)])
def test_sides_that_no_network_takes_are_refused(sides) -> None:
    with pytest.raises(ValueError, match="divisible by 4"):
        question_training(WORDS, ANSWERS, small_side=sides[0], large_side=sides[1])
