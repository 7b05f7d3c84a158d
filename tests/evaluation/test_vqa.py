import json
from pathlib import Path
from typing import Any

import pytest

from medpipe.cli.main import invoke
from medpipe.data.vqa_rad import prepare
from medpipe.data.vqa_text import AnswerVocabulary
from medpipe.errors import InputDataError
from medpipe.evaluation.vqa import answered_questions, evaluate_vqa, most_frequent_answer
from medpipe.metrics.intervals import Bootstrap

FEW = Bootstrap(n_resamples=50)
TRUTH = """case,answer,image,answer_type,question_type,organ,phrase_type
1,Yes,a.jpg,closed,PRES,HEAD,freeform
2,The left lung,a.jpg,OPEN,"POS, ABN",HEAD,freeform
3,no,b.jpg,closed,PRES,ABD,para
4,3,b.jpg,open,COUNT,ABD,freeform
5,mri,c.jpg,open,MODALITY,,para
"""
ANSWERS = "case,answer\n1,yes\n2,left lung\n3,yes\n4,Three\n"


def tables(tmp_path: Path, answers: str = ANSWERS, truth: str = TRUTH) -> tuple[Path, Path]:
    (tmp_path / "a.csv").write_text(answers)
    (tmp_path / "t.csv").write_text(truth)
    return tmp_path / "a.csv", tmp_path / "t.csv"


def values(results: dict[str, Any]) -> dict[str, float]:
    return {figure["name"]: figure["value"] for figure in results["headline"]}


def test_probabilities_of_answers_are_compared_with_how_often_they_are_right(tmp_path, valid) -> None:
    given = "case,answer,probability,calibrated\n1,yes,0.2,0.9\n2,left lung,0.2,0.7\n3,yes,0.1,0.4\n4,,,\n"
    results = valid(evaluate_vqa(answered_questions(*tables(tmp_path, given)), FEW))
    brier, ece, large = results["calibration"]["figures"]
    assert brier["value"] == pytest.approx((0.1**2 + 0.3**2 + 0.4**2) / 3)
    assert ece["value"] == pytest.approx((0.1 + 0.3 + 0.4) / 3)
    assert large["value"] == pytest.approx(2 / 3 - 2 / 3)
    assert "of the calibrated probabilities of the 3 answers" in brier["definition"]
    assert "images" in brier["method"]
    assert "patients" not in json.dumps(results["calibration"])
    assert sum(part["n"] for part in results["calibration"]["bins"]) == 3


def test_uncalibrated_probabilities_are_named_so_and_tables_without_any_have_no_calibration(tmp_path) -> None:
    given = "case,answer,probability\n1,yes,0.2\n2,left lung,0.2\n"
    results = evaluate_vqa(answered_questions(*tables(tmp_path, given)), FEW)
    assert "of the uncalibrated probabilities" in results["calibration"]["figures"][0]["definition"]
    assert "calibration" not in evaluate_vqa(answered_questions(*tables(tmp_path)), FEW)


@pytest.mark.parametrize("text", ["1.5", "-0.1", "high", "nan"])
def test_what_is_no_probability_is_refused_with_its_line(tmp_path, text) -> None:
    with pytest.raises(InputDataError, match="line 3, column 'probability'"):
        answered_questions(*tables(tmp_path, f"case,answer,probability\n1,yes,0.2\n2,left lung,{text}\n"))


def test_both_conventions_are_named_and_count_their_own_questions(tmp_path, valid) -> None:
    results = valid(evaluate_vqa(answered_questions(*tables(tmp_path)), FEW))
    found = values(results)
    assert found["Accuracy, convention B"] == 0.75
    assert found["Accuracy, closed, convention B"] == 0.5
    assert found["Accuracy, open, convention B"] == 1
    assert found["Accuracy, convention A"] == 1
    assert found["Accuracy, closed, convention A"] == 1
    assert found["BLEU-2, open"] == found["Word F1, open"] == 1
    assert results["cohort"]["without_result"] == [{"case": "5", "reason": "no answer"}]
    assert results["cohort"]["patients"] == 2


def test_a_question_of_several_types_counts_in_each(tmp_path) -> None:
    results = evaluate_vqa(answered_questions(*tables(tmp_path)), FEW)
    rows = {entry["variable"]: entry["groups"] for entry in results["subgroups"]}
    by_type = {row["name"]: (row["n"], row["figure"]["value"]) for row in rows["question type"]}
    assert by_type == {"ABN": (1, 1), "COUNT": (1, 1), "POS": (1, 1), "PRES": (2, 0.5)}
    assert {row["name"]: row["n"] for row in rows["organ"]} == {"HEAD": 2, "ABD": 2}
    assert {row["name"]: row["patients"] for row in rows["answer type"]} == {"closed": 2, "open": 2}


def test_without_phrase_types_there_is_one_convention(tmp_path) -> None:
    truth = "\n".join(",".join(line.split(",")[:2]) for line in TRUTH.replace('"POS, ABN"', "POS").splitlines())
    results = evaluate_vqa(answered_questions(*tables(tmp_path, truth=truth)), FEW)
    assert values(results) == {"Accuracy": 0.75}
    assert results["cohort"]["patients"] == 4


def test_the_candidates_set_an_upper_bound(tmp_path) -> None:
    data = answered_questions(*tables(tmp_path))
    assert values(evaluate_vqa(data, FEW, AnswerVocabulary(("yes", "no"))))["Answerable"] == 0.5


def test_ten_annotators_are_scored_as_in_vqa_2(tmp_path) -> None:
    truth = "case,answer\n1," + "|".join(["cat"] * 2 + ["Cats."] + ["dog"] * 7) + "\n"
    data = answered_questions(*tables(tmp_path, "case,answer\n1,cat\n", truth))
    assert data.accuracies().tolist() == [pytest.approx(0.6)]
    data = answered_questions(*tables(tmp_path, "case,answer\n1,dog\n", truth.replace("|dog|dog", "")))
    assert data.accuracies().tolist() == [1.0]


@pytest.mark.parametrize(
    ("answers", "truth", "message"),
    [
        ("case,answer\n9,yes\n", TRUTH, r"a\.csv', line 2: case '9' is not in the truth 't\.csv'"),
        ("case,answer\n1,yes\n1,no\n", TRUTH, "line 3: case '1' stands twice"),
        ("case,reply\n1,yes\n", TRUTH, "lacks the column 'answer'"),
        (
            ANSWERS,
            TRUTH.replace("closed", "yes/no", 1),
            "line 2, column 'answer_type': 'yes/no' must be closed or open",
        ),
        (ANSWERS, TRUTH + "5,ct,c.jpg,open,MODALITY,,para\n", "line 7: case '5' stands twice"),
        (ANSWERS, "case,answer\n", "lists no questions"),
        ("case,answer\n", TRUTH, "no question has an answer"),
    ],
)
def test_wrong_tables_are_refused_with_row_and_rule(tmp_path, answers, truth, message) -> None:
    with pytest.raises(InputDataError, match=message):
        evaluate_vqa(answered_questions(*tables(tmp_path, answers, truth)), FEW)


def test_the_command_scores_compares_and_reports(tmp_path, capsys) -> None:
    answers, truth = (str(path) for path in tables(tmp_path))
    (tmp_path / "other.csv").write_text("case,answer\n1,no\n2,left lung\n3,no\n4,4\n")
    AnswerVocabulary(("yes", "no")).save(tmp_path / "c.json")
    out = tmp_path / "out"
    more = ["--compare", str(tmp_path / "other.csv"), "--candidates", str(tmp_path / "c.json"), "--bootstrap", "20"]
    assert invoke(["score", "vqa", answers, truth, "-o", str(out), *more]) == 0
    results = json.loads((out / "results.json").read_text())
    assert results["comparison"]["figures"][0]["difference"]["value"] == 0.25
    page = (out / "report/index.html").read_text()
    for text in (
        "question type",
        "Right answer",
        "wrong answers first",
        "4 questions about 2 images",
        "Questions</th>",
    ):
        assert text in page
    assert ">Diseased</th>" not in page
    assert invoke(["score", "vqa", answers, str(tmp_path / "none.csv"), "-o", str(tmp_path / "o2")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_a_datalist_is_the_truth_of_its_section(tmp_path, capsys) -> None:
    root = tmp_path / "set"
    assert invoke(["data", "synth", "vqa_rad", str(root), "--cases", "27", "--size", "64", "--workers", "1"]) == 0
    datalist = tmp_path / "list.json"
    assert invoke(["data", "prepare", "vqa_rad", str(root), "-o", str(datalist), "--split", "published"]) == 0
    rows = [{"case": row["case"], "answer": "yes"} for row in json.loads(datalist.read_text())["test"]]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    out = tmp_path / "out"
    assert invoke(["score", "vqa", str(tmp_path / "a.json"), str(datalist), "-o", str(out), "--bootstrap", "20"]) == 0
    results = json.loads((out / "results.json").read_text())
    assert values(results)["Accuracy, closed, convention B"] == 0.5
    assert results["data"]["generated"] is True
    assert "say nothing about patients" in (out / "report/index.html").read_text()
    arguments = ["score", "vqa", str(tmp_path / "a.json"), str(datalist), "-o", str(tmp_path / "o2")]
    assert invoke([*arguments, "--section", "validation"]) == 2
    assert "no questions in its section 'validation'" in capsys.readouterr().err


@pytest.mark.shared_data
def test_always_yes_on_the_real_questions_has_the_share_of_yes(shared_data: Path, tmp_path: Path) -> None:
    datalist = prepare(shared_data / "vqa/vqa_rad", split="published")
    (tmp_path / "t.json").write_text(json.dumps(datalist))
    rows = [{"case": row["case"], "answer": "Yes"} for row in datalist["test"]]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    results = evaluate_vqa(answered_questions(tmp_path / "a.json", tmp_path / "t.json"), FEW)
    yes = sum(row["answers"][0].strip().lower() == "yes" for row in datalist["test"])
    assert values(results)["Accuracy, convention B"] == pytest.approx(yes / 240)
    free = [row for row in datalist["test"] if row["phrase_type"] == "freeform"]
    assert len(free) == 167
    yes = sum(row["answers"][0].strip().lower() == "yes" for row in free)
    assert values(results)["Accuracy, convention A"] == pytest.approx(yes / 167)


def test_the_accuracy_of_one_answer_to_all_stands_beside(tmp_path) -> None:
    found = values(evaluate_vqa(answered_questions(*tables(tmp_path)), FEW, constant="no"))
    assert found["Constant answer, convention B"] == 0.25
    assert found["Constant answer, closed, convention B"] == 0.5
    assert found["Constant answer, open, convention B"] == 0
    assert found["Constant answer, convention A"] == 0


def test_the_most_frequent_answer_is_that_of_the_training_questions(tmp_path) -> None:
    head = {"name": "x", "description": "d", "generated": True, "split": "s", "tensorImageSize": "2D", "task": "vqa"}
    entries = [
        {"image": f"{n}.jpg", "case": str(n), "patient": str(n), "question": "?", "answers": [a], "answer_type": "open"}
        for n, a in enumerate(["Two", "Yes", "2", "yes.", "no"])
    ]
    parts = {"training": entries[:4], "validation": [], "test": entries[4:]}
    (tmp_path / "list.json").write_text(json.dumps({**head, **parts}))
    assert most_frequent_answer(tmp_path / "list.json") == "2"
    assert most_frequent_answer(tmp_path / "list.json", "test") == "no"
    assert most_frequent_answer(tmp_path / "list.json", "validation") is None
