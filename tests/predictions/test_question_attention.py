"""attention.json: what is written is read back, and names of patients are not in it."""

from __future__ import annotations

import pytest

from medpipe.io.privacy import PatientWords
from medpipe.predictions.question_attention import read_question_attention, write_question_attention

ATTENDED = {"words": ["is", "it", ""], "known": [True] * 3, "weights": [0.5, 1 / 3, 1 / 6], "places": [[0.25, 0.75]]}


def test_what_is_written_is_read_back_to_six_digits(tmp_path) -> None:
    write_question_attention(tmp_path / "a.json", ATTENDED, lambda text: text)
    assert read_question_attention(tmp_path / "a.json") == {**ATTENDED, "weights": [0.5, 0.333333, 0.166667]}


@pytest.mark.parametrize("words", [["is", "canary", ""], ["is", "li", "wu"]])
def test_words_that_name_a_patient_are_hidden_be_it_together(tmp_path, words) -> None:
    privacy = PatientWords()
    privacy.add(["Canary^Bird", "Li^Wu"])
    write_question_attention(tmp_path / "a.json", {**ATTENDED, "words": words}, privacy)
    text = (tmp_path / "a.json").read_text()
    assert "canary" not in text
    assert not ("li" in text.split('"known"')[0] and "wu" in text)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"words": ["a"], "known": [true], "weights": [1, 2]}'])
def test_a_file_of_another_kind_is_taken_for_none(tmp_path, text) -> None:
    (tmp_path / "a.json").write_text(text)
    assert read_question_attention(tmp_path / "a.json") is None
    assert read_question_attention(tmp_path / "gone.json") is None
