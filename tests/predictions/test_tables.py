from __future__ import annotations

import math

import numpy as np
import pytest

from medpipe.errors import InputDataError
from medpipe.predictions.journal import CaseResult
from medpipe.predictions.tables import CASE_COLUMNS, MARK_COLUMNS, read_table, write_cases, write_marks


def test_tables_hold_one_row_per_case_and_per_mark(tmp_path) -> None:
    mark = {"label": "ptx", "score": 0.5, "x": 1.5, "y": 2.0, "x_mm": math.nan, "y_mm": math.nan}
    results = [
        CaseResult("a", "done", "", {"file": "x, y.dcm", "rows": 7}, 0.5, [mark, {**mark, "score": 0.25}]),
        CaseResult("b", "skipped", 'view "LL"', {"file": "b.dcm"}),
    ]
    write_cases(tmp_path / "cases.csv", results)
    write_marks(tmp_path / "marks.csv", results)
    cases = read_table(tmp_path / "cases.csv", CASE_COLUMNS)
    marks = read_table(tmp_path / "marks.csv", MARK_COLUMNS)
    assert [(row["case"], row["file"], row["marks"]) for row in cases] == [("a", "x, y.dcm", "2"), ("b", "b.dcm", "")]
    assert cases[1]["reason"] == 'view "LL"'
    assert [(row["mark"], row["score"], row["x_mm"]) for row in marks] == [("0", "0.5", ""), ("1", "0.25", "")]


def test_scores_carry_a_float32_there_and_back(tmp_path) -> None:
    scores = [float(value) for value in np.random.default_rng(0).random(200, np.float32)]
    write_cases(tmp_path / "c.csv", [CaseResult(str(i), "done", score=score) for i, score in enumerate(scores)])
    read = [np.float32(row["score"]) for row in read_table(tmp_path / "c.csv", ["score"])]
    assert read == [np.float32(score) for score in scores]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"case;score\na;1\n", "lacks the column 'case'"),
        (b"case,score\na,1,2\n", "line 2: 3 fields, but 2 columns"),
        (b"case,score, score\na,1,2\n", "has the column 'score' twice"),
        (b"\xff\xfe\x00", "UTF-8"),
    ],
)
def test_wrong_tables_are_refused_with_the_place(tmp_path, content, message) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputDataError, match=message):
        read_table(tmp_path / "t.csv", ["case", "score"])


def test_a_missing_table_is_named(tmp_path) -> None:
    with pytest.raises(InputDataError, match=r"none.csv' does not exist"):
        read_table(tmp_path / "none.csv", ["case"])


def test_a_table_may_be_a_json_list_of_objects(tmp_path) -> None:
    path = tmp_path / "t.json"
    path.write_text(
        '[{"case": "a", "score": 0.25}, {"case": "b", "score": 3, "sex": "F"}, {"case": "c", "score": null}]'
    )
    assert read_table(path, ["case", "score"]) == [
        {"case": "a", "score": "0.25", "sex": ""},
        {"case": "b", "score": "3", "sex": "F"},
        {"case": "c", "score": "", "sex": ""},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "expected a JSON list of objects"),
        ("[1]", "expected a JSON list of objects"),
        ("[", "is no JSON"),
        ("[]", "lacks the column 'case'"),
        ('[{"case": ["a"]}]', "line 1, column 'case': expected a number or a text"),
        ('[{"case": true}]', "expected a number or a text"),
    ],
)
def test_wrong_json_tables_are_refused_with_the_place(tmp_path, content, message) -> None:
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(InputDataError, match=message):
        read_table(tmp_path / "t.json", ["case"])
