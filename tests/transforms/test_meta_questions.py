"""Questions whose small image is grey or in colour, in training and in a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medpipe.data.lookalikes.path_vqa import write_path_vqa_lookalike
from medpipe.data.path_vqa import prepare
from medpipe.data.question_sets import answer_vocabulary, question_vocabulary, questions_of
from medpipe.data.vqa_datalist import write_vqa_datalist
from medpipe.transforms.meta_questions import meta_question_case, meta_question_training
from medpipe.transforms.vqa import stretched


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    root: Path = tmp_path_factory.mktemp("path") / "set"
    write_path_vqa_lookalike(root, cases=18, seed=0, size=64)
    write_vqa_datalist(prepare(root, split="published"), root / "list.json")
    return questions_of(root / "list.json", root, "training")


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("images", [("small",), ("small", "large")])
def test_the_small_image_has_its_colours_and_the_large_one_is_grey(entries, colours, images) -> None:
    words, answers = question_vocabulary(entries), answer_vocabulary(entries)
    sides = {"small_side": 32, "large_side": 16, "images": images, "colours": colours}
    for transform in (meta_question_training(words, answers, **sides), meta_question_case(words, **sides)):
        found = transform(entries[0])
        torch.testing.assert_close(found["small"], stretched(entries[0]["image"], 32, colours))
        assert found["small"].shape == (colours, 32, 32)
        assert ("large" in found) is ("large" in images)
        if "large" in found:
            assert found["large"].shape == (1, 16, 16)
    assert found["picture"].ndim == 2
    trained = meta_question_training(words, answers, **sides)(entries[0])
    assert trained.keys() == {"tokens", "target", *images}


def test_sides_that_cannot_be_are_refused(entries) -> None:
    words, answers = question_vocabulary(entries), answer_vocabulary(entries)
    with pytest.raises(ValueError, match="divisible by 4"):
        meta_question_training(words, answers, large_side=30, colours=3)
    with pytest.raises(ValueError, match="divisible by 4"):
        meta_question_case(words, large_side=30, colours=3)
