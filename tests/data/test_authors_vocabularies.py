"""Vocabularies as the authors pickled them."""

from __future__ import annotations

import collections
import pickle

import pytest

from medpipe.data.authors_vocabularies import read_authors_answers, read_authors_words
from medpipe.errors import InputDataError


def pickled(path, content):
    path.write_bytes(pickle.dumps(content, 2))
    return path


def test_words_keep_their_numbers_and_an_unknown_one_is_the_last(tmp_path) -> None:
    words = ["is", "there", "hypo-dense"]
    file = pickled(tmp_path / "dictionary.pkl", [{word: number for number, word in enumerate(words)}, words])
    found = read_authors_words(file)
    assert found.words == tuple(words)
    assert found.encode("Is there fluid?")[:4] == [0, 1, 2, 3]  # fluid as the last word; then padding
    assert found.length == 12


@pytest.mark.parametrize("content", [{"yes": 0, "left lung": 2, "no": 1}, ["yes", "no", "left lung"]])
def test_answers_are_in_the_order_of_their_labels(tmp_path, content) -> None:
    found = read_authors_answers(pickled(tmp_path / "a.pkl", content))
    assert found.answers == ("yes", "no", "left lung")
    assert found.medical


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 0}, "expected a dictionary of words and their list"),
        ([{"a": 0, "b": 1}, ["b", "a"]], "not in the order"),
        ([{"a": 0, "b": 2}, ["a", "b"]], "expected the numbers 0 to 1"),
        ([{}, []], "expected a number for each"),
        ([collections.Counter("ab"), ["a"]], "refused: it names 'collections.Counter'"),
    ],
)
def test_a_file_that_is_no_dictionary_is_refused(tmp_path, content, message) -> None:
    with pytest.raises(InputDataError, match=message):
        read_authors_words(pickled(tmp_path / "d.pkl", content))


@pytest.mark.parametrize("content", [{"a": "0"}, ["a", "a"], [["a"]], {1: 0, "1": 1}, "a"])
def test_a_file_that_lists_no_answers_is_refused(tmp_path, content) -> None:
    with pytest.raises(InputDataError, match=r"a\.pkl"):
        read_authors_answers(pickled(tmp_path / "a.pkl", content))
