"""Questions about images as cases of a run."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from medpipe.data.question_cases import NOT_UNDERSTOOD, check_watch, find_questions, listed_questions
from medpipe.data.vqa_text import QuestionVocabulary
from medpipe.errors import InputDataError, RequestError
from medpipe.predictions.fingerprints import case_key

WORDS = QuestionVocabulary.of(["Is there a mass?"])


@pytest.fixture
def images(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.arange(1024, dtype=np.uint16).reshape(32, 32).astype(np.uint8)).save(
            tmp_path / "in" / f"{name}.png"
        )
    return tmp_path / "in"


def table(folder, text: str):
    path = folder / "asked.csv"
    path.write_text(text)
    return path


def test_each_image_is_asked_each_question_and_every_case_has_a_name_and_a_key(images) -> None:
    cases = find_questions(images, ["Is there a mass?", "A mass?"], WORDS)
    assert [case["case"] for case in cases] == ["a_q1", "a_q2", "b_q1", "b_q2"]
    assert [case["question"] for case in cases] == ["Is there a mass?", "A mass?"] * 2
    assert len({case_key(case) for case in cases}) == 4
    assert [case["case"] for case in find_questions(images, "Is there a mass?", WORDS)] == ["a", "b"]


def test_a_question_without_a_known_word_is_refused_and_the_unknown_word_is_none(images) -> None:
    for text in ("Wozu?", "<unk>"):
        (case, _) = find_questions(images, text, WORDS)
        assert (case["status"], case["reason"], case["refused"]) == ("skipped", NOT_UNDERSTOOD, True)
    (case, _) = find_questions(images, "Wozu mass?", WORDS)
    assert case["status"] == "pending"


def test_paths_of_a_table_start_from_its_folder(images) -> None:
    path = table(images, 'image,question\na.png,Is there a mass?\na.png,"A mass, there?"\nb.png,mass\n')
    cases = find_questions(path, None, WORDS)
    assert [case["case"] for case in cases] == ["a_q1", "a_q2", "b"]
    assert [case["question"] for case in cases] == ["Is there a mass?", "A mass, there?", "mass"]
    assert {case["status"] for case in cases} == {"pending"}


def test_a_wrong_row_of_a_table_fails_alone_with_its_line(images) -> None:
    path = table(
        images, "case,image,question\none,a.png,mass\none,b.png,mass\n,gone.png,mass\n,.,mass\n,b.png,\n,b.png,mass\n"
    )
    cases = find_questions(path, None, WORDS)
    assert [case["status"] for case in cases] == ["pending", "failed", "failed", "failed", "failed", "pending"]
    reasons = [case["reason"] for case in cases]
    assert reasons[1] == "line 3: the case name 'one' stands twice"
    assert reasons[2] == "line 4: image 'gone.png' does not exist"
    assert "is no single image" in reasons[3]
    assert reasons[4] == "line 6: the question is empty"
    assert len({case["case"].lower() for case in cases}) == len(cases)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,text\na.png,mass\n", "lacks the column 'question'; it has image, text"),
        ("image,question\n", "has no rows"),
        ("image,question\na.png,is,mass\n", "line 2: 3 fields, but 2 columns; quote commas"),
        ("image,question\n,mass\n", "line 2: the image is empty"),
        ("", "the table is empty"),
    ],
)
def test_a_table_that_is_none_is_refused(images, text, message) -> None:
    with pytest.raises(InputDataError, match=message):
        find_questions(table(images, text), None, WORDS)


@pytest.mark.parametrize(
    ("question", "message"),
    [(None, "no question given"), ("  ", "is empty"), ([], "is empty"), (True, "is empty"), (["a", "a"], "twice")],
)
def test_a_request_without_a_question_is_refused(images, question, message) -> None:
    with pytest.raises(RequestError, match=message):
        find_questions(images, question, WORDS)


def test_a_folder_may_end_as_tables_do(images) -> None:
    folder = images.rename(images.with_name("in.csv"))
    assert [case["case"] for case in find_questions(folder, "Is there a mass?", WORDS)] == ["a", "b"]
    check_watch(folder, "Is there a mass?", WORDS)


@pytest.mark.parametrize(
    ("path", "question", "message"),
    [
        ("a.png", "Is there a mass?", r"a\.png' is no folder"),
        ("gone", "Is there a mass?", "gone' is no folder"),
        (".", None, "no question given"),
        (".", ["Is there a mass?", "Why not"], f"question 'Why not': {NOT_UNDERSTOOD}"),
    ],
)
def test_what_cannot_be_watched_is_refused(images, path, question, message) -> None:
    with pytest.raises(RequestError, match=message):
        check_watch(images / path, question, WORDS)


def test_a_patient_of_a_header_is_hidden_in_names_of_a_table(write_dicom, ramp, tmp_path) -> None:
    path = write_dicom("canary.dcm", ramp)
    asked = table(tmp_path, f"case,image,question\ncanary_1,{path.name},mass\n")
    (case,) = find_questions(asked, None, WORDS)
    assert "canary" not in (case["case"] + case["file"] + case["reason"]).lower()
    assert case["status"] == "pending"


def test_questions_of_a_datalist_keep_their_names_and_not_their_answers(images) -> None:
    entry = {"image": "a.png", "patient": "x", "answers": ["yes"], "answer_type": "closed"}
    entries = [{**entry, "case": "1", "question": "mass?"}, {**entry, "case": "2", "question": "Wozu?"}]
    head = {"name": "n", "description": "d", "generated": True, "split": "s", "tensorImageSize": "2D", "task": "vqa"}
    path = images / "list.json"
    path.write_text(json.dumps({**head, "training": [], "validation": [], "test": entries}))
    first, second = listed_questions(path, images, "test", WORDS)
    assert (first["case"], first["status"], second["status"]) == ("1", "pending", "skipped")
    assert "answers" not in first
    assert case_key(first) != case_key(second)
    entries[0]["case"] = "a/b"
    path.write_text(json.dumps({**head, "training": [], "validation": [], "test": entries}))
    with pytest.raises(InputDataError, match="cannot name a folder"):
        listed_questions(path, images, "test", WORDS)
