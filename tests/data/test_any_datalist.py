"""Each datalist is checked by the rules of its own task."""

from __future__ import annotations

import json

import pytest

from medpipe.data.any_datalist import is_about_questions, load_any_datalist, write_any_datalist
from medpipe.errors import InputDataError

HEAD = {"name": "x", "description": "d", "generated": True, "split": "s", "tensorImageSize": "2D"}
LABELS = {"labels": {"0": "none", "1": "pneumothorax"}}
VOLUMES = {
    **{key: value for key, value in HEAD.items() if key != "tensorImageSize"},
    "labels": {"1": "liver"},
    "pairs": {},
}
QUESTION = {"image": "a.jpg", "case": "1", "patient": "a", "question": "Why?", "answers": ["no"], "answer_type": "open"}
RADIOGRAPH = {"image": "a.dcm", "case": "1", "patient": "a", "rows": 8, "columns": 8, "label": 0, "localized": True}
VOLUME = {"image": "a.nii", "case": "1", "subject": "a", "modality": "CT"}


@pytest.mark.parametrize(
    ("content", "asks"),
    [
        ({**HEAD, "task": "vqa", "training": [QUESTION], "validation": [], "test": []}, True),
        ({**HEAD, **LABELS, "training": [RADIOGRAPH], "validation": [], "test": []}, False),
        ({**VOLUMES, "training": [VOLUME], "validation": [], "test": []}, False),
    ],
)
def test_what_is_written_is_read_back(content, asks, tmp_path) -> None:
    path = tmp_path / "list.json"
    write_any_datalist(content, path)
    assert load_any_datalist(path) == content
    assert is_about_questions(content) is asks


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**HEAD, "task": "vqa", "training": [RADIOGRAPH], "validation": [], "test": []}, "question"),
        ({**HEAD, **LABELS, "training": [QUESTION], "validation": [], "test": []}, "rows"),
        ({**VOLUMES, "training": [RADIOGRAPH], "validation": [], "test": []}, "subject"),
        ([], "expected a JSON object"),
    ],
)
def test_an_entry_of_another_task_is_refused(content, message, tmp_path) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputDataError, match=message):
        load_any_datalist(path)


def test_a_file_that_is_no_json_is_named(tmp_path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(InputDataError, match=r"x\.json: not readable as a JSON file"):
        load_any_datalist(tmp_path / "x.json")
