"""Scores of a run of questions."""

from __future__ import annotations

import json

import pytest

from medpipe.data.vqa_text import AnswerVocabulary
from medpipe.errors import InputDataError
from medpipe.evaluation.vqa_run import score_vqa_run
from medpipe.predictions.answer_calibration import question_digest

HEAD = {"name": "n", "description": "d", "generated": False, "split": "s", "tensorImageSize": "2D", "task": "vqa"}


def run_folder(tmp_path, answers: str):
    entry = {"image": "a.png", "patient": "x", "question": "?", "answers": ["Yes"], "answer_type": "closed"}
    entries = [{**entry, "case": case} for case in ("1", "2", "3")]
    (tmp_path / "list.json").write_text(json.dumps({**HEAD, "training": [], "validation": [], "test": entries}))
    (tmp_path / "answers.csv").write_text("case,answer\n" + answers)
    (tmp_path / "cases.csv").write_text("case,status,reason\n1,done,\n2,skipped,not understood\n3,failed,damaged\n")
    return tmp_path


def test_a_refused_question_counts_as_wrong_and_one_without_its_image_has_no_result(tmp_path) -> None:
    folder = run_folder(tmp_path, "1,yes\n2,\n")
    path = score_vqa_run(folder, folder / "list.json", "test", AnswerVocabulary(("yes",)), bootstrap=20)
    results = json.loads(path.read_text())
    assert {figure["name"]: figure["value"] for figure in results["headline"]} == {
        "Accuracy": 0.5,
        "Accuracy, closed": 0.5,
        "Answerable": 1.0,
    }
    assert results["cohort"]["without_result"] == [{"case": "3", "reason": "failed: damaged"}]
    assert results["data"]["name"] == "n"


def test_a_run_without_an_answer_is_refused(tmp_path) -> None:
    folder = run_folder(tmp_path, "")
    with pytest.raises(InputDataError, match="has no answers to questions in section 'test'"):
        score_vqa_run(folder, folder / "list.json", "test", AnswerVocabulary(("yes",)))


@pytest.mark.parametrize("seen", [True, False])
def test_figures_on_the_questions_of_the_calibration_are_said_to_be_too_good(tmp_path, seen) -> None:
    folder = run_folder(tmp_path, "")
    (folder / "answers.csv").write_text("case,answer,probability,calibrated\n1,yes,0.9,0.6\n2,no,0.8,0.5\n")
    fitted = [question_digest("2", "?"), question_digest("9", "?")] if seen else []
    path = score_vqa_run(folder, folder / "list.json", "test", AnswerVocabulary(("yes",)), bootstrap=20, fitted=fitted)
    reason = json.loads(path.read_text())["calibration"]["reason"]
    assert (reason or "").startswith("the calibration was fitted on 1 of these 2 questions") is seen
