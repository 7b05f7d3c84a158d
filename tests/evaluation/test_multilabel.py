from __future__ import annotations

from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score

from medpipe.errors import InputDataError
from medpipe.evaluation.multilabel import evaluate_multilabel, multilabel_from_tables
from medpipe.metrics.intervals import Bootstrap

FEW = Bootstrap(n_resamples=50)

SCORES = "case,Effusion,Nodule,Hernia\na,.9,.2,.1\nb,.4,.8,.1\nc,.3,.7,.2\nd,.6,.1,.3\n"
TRUTH = "case,patient,sex,Nodule,Hernia,Effusion\na,p1,F,0,0,1\nb,p2,M,1,0,0\nc,p3,F,,0,1\nd,p4,M,0,0,0\ne,p5,F,1,1,1\n"


def tables(tmp_path: Path, scores: str = SCORES, truth: str = TRUTH):
    (tmp_path / "s.csv").write_text(scores)
    (tmp_path / "t.csv").write_text(truth)
    return multilabel_from_tables(tmp_path / "s.csv", tmp_path / "t.csv")


def test_classes_are_those_predicted_and_the_mean_is_over_those_that_have_an_area(tmp_path, valid) -> None:
    results = valid(evaluate_multilabel(tables(tmp_path), FEW))
    effusion, nodule, hernia = results["multilabel"]["classes"]
    assert effusion["auc"]["value"] == pytest.approx(roc_auc_score([1, 0, 1, 0], [0.9, 0.4, 0.3, 0.6]))
    assert (nodule["positives"], nodule["negatives"], nodule["auc"]["value"]) == (1, 2, 1.0)
    assert hernia["auc"]["value"] is None
    assert results["multilabel"]["undefined"] == ["Hernia"]
    assert results["headline"][0]["value"] == pytest.approx((effusion["auc"]["value"] + 1) / 2)


def test_cases_without_scores_are_counted_and_left_out(tmp_path) -> None:
    cohort = evaluate_multilabel(tables(tmp_path), FEW)["cohort"]
    assert (cohort["listed"], cohort["analysed"], cohort["diseased"]) == (5, 4, 3)
    assert cohort["without_result"] == [{"case": "e", "reason": "no scores"}]


@pytest.mark.parametrize(
    ("scores", "truth", "message"),
    [
        ("case\na\n", TRUTH, "no column of scores"),
        ("case,Effuson\na,.1\n", TRUTH, "lacks the column 'Effuson'"),
        ("case,Nodule\nz,.1\n", TRUTH, r"line 2: case 'z' is not in the truth 't.csv'"),
        ("case,Nodule\na,.1\na,.2\n", TRUTH, "line 3: case 'a' stands twice"),
        ("case,Nodule\na,high\n", TRUTH, "column 'Nodule': 'high' must be a finite number"),
        ("case,Nodule\na,nan\n", TRUTH, "'nan' must be a finite number"),
        (SCORES, TRUTH.replace("p2,M,1", "p2,M,2"), "line 3, column 'Nodule': label '2' must be 0, 1 or empty"),
        ("case,Nodule\n", TRUTH, "lists no cases"),
        ("", TRUTH, "is empty"),
    ],
)
def test_wrong_tables_are_refused_with_row_column_and_rule(tmp_path, scores, truth, message) -> None:
    with pytest.raises(InputDataError, match=message):
        tables(tmp_path, scores, truth)
