"""Shares of regions and words as words, weights and maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medpipe.data.vqa_text import QuestionVocabulary
from medpipe.transforms.question_attention import QuestionAttentiond

KNOWN = QuestionVocabulary.of(["is it a mass"])


def shares(*shape: int) -> torch.Tensor:
    values = torch.rand(*shape, generator=torch.Generator().manual_seed(0))
    return values / values.flatten(1).sum(dim=1).view(-1, *([1] * (len(shape) - 1)))


def test_weights_are_the_mean_over_glimpses_and_the_sum_over_regions_as_a_loop_gives_them() -> None:
    given = shares(2, 4, 12)
    found = QuestionAttentiond(KNOWN)({"question": "Is it ODD?", "attention": given})["attended"]
    expected = [0.0] * 12
    for glimpse in range(2):
        for region in range(4):
            for word in range(12):
                expected[word] += float(given[glimpse, region, word]) / 2
    assert found["weights"] == pytest.approx(expected)
    assert sum(found["weights"]) == pytest.approx(1)  # with padding, which is attended to like words
    assert found["words"] == ["is", "it", "odd", *[""] * 9]
    assert found["known"] == [True, True, False, *[True] * 9]


def test_places_of_a_grid_keep_their_rows_and_are_laid_over_the_picture() -> None:
    attention = torch.zeros(1, 4, 12)
    attention[0, 1, 0] = 1  # all on the right of the first row
    picture = np.zeros((20, 40), np.uint8)
    found = QuestionAttentiond(KNOWN)({"question": "is", "attention": attention, "picture": picture})
    assert found["attended"]["places"] == [[0, 1], [0, 0]]
    (over,) = found["maps"].values()
    assert over.shape == (20, 40)
    assert over[0, 39] == over.max() == 1
    assert over[19, 0] == 0


def test_hops_give_places_alone_and_one_region_gives_words_alone() -> None:
    stacked = QuestionAttentiond(KNOWN)({"question": "is it", "attention": shares(3, 9)})["attended"]
    assert stacked["weights"] is None
    assert np.sum(stacked["places"]) == pytest.approx(1)
    one = QuestionAttentiond(KNOWN)({"question": "is it", "attention": shares(2, 1, 12), "picture": np.zeros((4, 4))})
    assert one["attended"]["places"] is None
    assert "maps" not in one


def test_words_beyond_the_length_are_cut_and_nothing_is_added_without_attention() -> None:
    question = " ".join(f"w{number}" for number in range(14))
    found = QuestionAttentiond(KNOWN)({"question": question, "attention": shares(1, 1, 12)})["attended"]
    assert found["words"] == [f"w{number}" for number in range(12)]
    assert QuestionAttentiond(KNOWN)({"question": "is"}) == {"question": "is"}
