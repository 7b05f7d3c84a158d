from __future__ import annotations

import pytest
from sklearn.metrics import roc_auc_score

from medpipe.errors import InputDataError
from medpipe.evaluation.image_scores import evaluate_image_scores, scores_from_table
from medpipe.evaluation.truth import labels_from_table
from medpipe.metrics.intervals import Bootstrap

FEW = Bootstrap(n_resamples=50)


def tables(tmp_path, scores: str, labels: str):
    (tmp_path / "s.csv").write_text(scores)
    (tmp_path / "l.csv").write_text(labels)
    return scores_from_table(tmp_path / "s.csv"), labels_from_table(tmp_path / "l.csv")


def test_the_auc_is_that_of_scikit_learn(tmp_path) -> None:
    scores, labels = [0.9, 0.3, 0.3, 0.1, 0.7, 0.2], [1, 1, 0, 0, 0, 1]
    read = tables(
        tmp_path,
        "case,score\n" + "".join(f"c{i},{s}\n" for i, s in enumerate(scores)),
        "case,label\n" + "".join(f"c{i},{y}\n" for i, y in enumerate(labels)),
    )
    results = evaluate_image_scores(*read, FEW)
    assert results["headline"][0]["value"] == pytest.approx(roc_auc_score(labels, scores))
    assert results["curves"]["ROC"]["area"] == pytest.approx(roc_auc_score(labels, scores))


def test_cases_without_a_score_are_counted_and_runs_leave_out_what_is_not_done(tmp_path) -> None:
    scores = "case,score,status\na,0.5,done\nb,,failed\nc,0.1,done\n"
    results = evaluate_image_scores(*tables(tmp_path, scores, "case,label\na,1\nb,1\nc,0\n"), FEW)
    assert results["cohort"]["analysed"] == 2
    assert results["cohort"]["without_result"] == [{"case": "b", "reason": "no score"}]


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ("case,score\na,0.5\na,0.6\n", "case,label\na,1\n", "stands twice"),
        ("case,score\na,0.5\n", "case,label\na,1\na,0\n", "stands twice"),
        ("case,score\na,x\n", "case,label\na,1\n", "'x' must be a finite number"),
        ("case,score\na,0.5\n", "case,label\na,2\n", "label '2' must be 0 or 1"),
        ("case,score\nz,0.5\n", "case,label\na,1\n", "not in the truth"),
        ("case,score\n", "case,label\na,1\n", "no case has both"),
        ("case,score\na,1\n", "case,label\n", "lists no cases"),
    ],
)
def test_wrong_tables_are_refused_with_the_rule(tmp_path, scores, labels, message) -> None:
    with pytest.raises(InputDataError, match=message):
        evaluate_image_scores(*tables(tmp_path, scores, labels), FEW)


def test_one_class_is_undefined_with_a_reason(tmp_path) -> None:
    results = evaluate_image_scores(*tables(tmp_path, "case,score\na,1\nb,2\n", "case,label\na,1\nb,1\n"), FEW)
    assert results["headline"][0]["value"] is None
    assert "no non-diseased case" in results["headline"][0]["reason"]
    assert results["curves"] == {}
