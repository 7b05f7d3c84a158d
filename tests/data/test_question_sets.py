"""Vocabularies of a training, unlabelled pictures by part, and the files that a training starts from."""

from __future__ import annotations

import hashlib
import json
import pickle

import numpy as np
import pytest

from medpipe.data.question_sets import (
    answer_vocabulary,
    arrays_of,
    check_keep,
    file_hashes,
    pictures_of_part,
    question_vocabulary,
    save_vocabularies,
    stored_answers,
    stored_questions,
    word_tables,
)
from medpipe.errors import InputDataError, RequestError

ENTRIES = [
    {"question": "Is it CT?", "answers": ["Yes"]},
    {"question": "Is there a mass?", "answers": ["no"]},
    {"question": "Is it MR?", "answers": ["No"]},
]


def test_vocabularies_are_read_beside_the_weights_as_they_were_written(tmp_path) -> None:
    words, answers = question_vocabulary(ENTRIES), answer_vocabulary(ENTRIES)
    assert words.words == ("is", "it", "ct", "there", "a", "mass", "mr", "<unk>")
    assert answers.answers == ("yes", "no")
    save_vocabularies(tmp_path, words, answers)
    weights = tmp_path / "model.pt"
    weights.touch()
    assert stored_questions(None, weights) == words
    assert stored_answers(tmp_path / "answers.json", weights) == answers
    assert set(json.loads((tmp_path / "answers.json").read_text())) == {"answers", "medical"}


def test_what_is_missing_beside_weights_is_named_with_the_option(tmp_path) -> None:
    with pytest.raises(RequestError, match="weight file"):
        stored_answers(None, tmp_path / "model.pt")
    (tmp_path / "model.pt").touch()
    with pytest.raises(RequestError, match=r"answers\.json' does not exist.*answers=FILE"):
        stored_answers(None, tmp_path / "model.pt")


def test_the_best_epoch_needs_questions_that_say_which_it_is() -> None:
    check_keep("best", ENTRIES)
    check_keep("last", [])
    with pytest.raises(RequestError, match="keep=best goes by questions for validation.*give keep=last"):
        check_keep("best", [])
    with pytest.raises(RequestError, match="keep must be last or best, found 'first'"):
        check_keep("first", ENTRIES)


def test_rare_answers_are_no_candidates_where_a_count_is_asked_for() -> None:
    assert answer_vocabulary(ENTRIES, min_count=2).answers == ("no",)
    with pytest.raises(RequestError, match="smaller min_count"):
        answer_vocabulary(ENTRIES, min_count=3)


@pytest.mark.parametrize(("fraction", "test"), [(0.2, 2), (0.01, 1), (0.99, 9)])
def test_each_picture_is_in_one_part_and_no_part_is_empty(tmp_path, fraction, test) -> None:
    for number in range(10):
        (tmp_path / f"{number}.{('jpg', 'png', 'dcm')[number % 3]}").touch()
    (tmp_path / "notes.txt").touch()
    parts = {
        part: [entry["image"] for entry in pictures_of_part(tmp_path, part, test_fraction=fraction, seed=1)]
        for part in ("training", "test")
    }
    assert len(parts["test"]) == test
    assert sorted(parts["training"] + parts["test"]) == sorted(
        str(path) for path in tmp_path.iterdir() if "notes" not in path.name
    )


def test_pictures_that_cannot_be_divided_are_refused(tmp_path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(InputDataError, match="holds 1 pictures"):
        pictures_of_part(tmp_path, "test")
    with pytest.raises(RequestError, match="test_fraction"):
        pictures_of_part(tmp_path, "test", test_fraction=1)


def test_word_vectors_come_with_means_over_what_stands_together(tmp_path) -> None:
    path = tmp_path / "glove.txt"
    path.write_text("is 1 0\nit 0 1\nct 2 2\n")
    tables = word_tables(path, question_vocabulary(ENTRIES[:1]), ENTRIES[:1], 2)
    assert tables is not None
    assert tables.words.tolist() == [[1, 0], [0, 1], [2, 2], [0, 0]]
    assert tables.augmenting.tolist() == [[1, 1.5], [1.5, 1], [0.5, 0.5], [0, 0]]
    assert word_tables(None, question_vocabulary(ENTRIES), ENTRIES) is None


def test_a_published_pickle_gives_arrays_and_a_file_of_torch_none(tmp_path) -> None:
    path = tmp_path / "pretrained_maml.weights"
    path.write_bytes(pickle.dumps({"b1": np.zeros(3, np.float32)}))
    found = arrays_of(path)
    assert found is not None
    assert found["b1"].tolist() == [0, 0, 0]
    (tmp_path / "model.pt").write_bytes(b"PK\x03\x04")
    assert arrays_of(tmp_path / "model.pt") is None
    assert arrays_of(None) is None
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(InputDataError, match="expected arrays by name"):
        arrays_of(path)


def test_hashes_of_files_stand_by_their_names(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    assert file_hashes(a=tmp_path / "a", b=None) == {"a": hashlib.sha256(b"1").hexdigest(), "b": None}
    (tmp_path / "b").write_bytes(b"2")
    several = file_hashes(many=[tmp_path / "b", tmp_path / "a"])
    assert several == {"many": [hashlib.sha256(content).hexdigest() for content in (b"2", b"1")]}
    for given in (tmp_path / "c", [tmp_path / "a", tmp_path / "c"]):
        with pytest.raises(RequestError, match="c=.*cannot be read"):
            file_hashes(c=given)
