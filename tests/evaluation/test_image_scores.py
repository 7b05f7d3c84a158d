from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medpipe.errors import InputDataError, RequestError
from medpipe.evaluation.image_scores import evaluate_image_scores, scores_from_table
from medpipe.evaluation.truth import TruthCase, labels_from_table
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


def simulated(n: int = 120) -> tuple[dict[str, float], list[TruthCase]]:
    draw = np.random.default_rng(0)
    truth = [
        TruthCase(f"c{k}", bool(k % 3 == 0), f"p{k}", groups={"sex": "FM"[k % 2], "age": str(20 + k % 60)})
        for k in range(n)
    ]
    return {case.case: float(1 / (1 + np.exp(-draw.normal() - case.diseased))) for case in truth}, truth


def test_the_results_follow_the_schema_and_hold_every_part(valid) -> None:
    results = valid(evaluate_image_scores(*simulated(), FEW, thresholds=[0.5]))
    assert [entry["name"] for entry in results["headline"]] == ["AUC", "Average precision"]
    assert set(results["curves"]) == {"ROC", "PR"}
    assert [point["preset"] for point in results["operating_points"]] == [True, False, False, False]
    assert len(results["calibration"]["bins"]) == 10
    assert [entry["variable"] for entry in results["subgroups"]] == ["sex", "age"]
    assert results["curves"]["PR"]["area"] == pytest.approx(results["headline"][1]["value"])


def test_a_threshold_given_before_counts_as_the_table_says() -> None:
    scores, truth = simulated()
    point = evaluate_image_scores(scores, truth, FEW, thresholds=[0.6])["operating_points"][0]
    called = [case for case in truth if scores[case.case] >= 0.6]
    assert point["counts"]["tp"] == sum(case.diseased for case in called)
    assert point["counts"]["fp"] == sum(not case.diseased for case in called)
    assert point["threshold"] == 0.6


def test_scores_that_are_no_probabilities_have_no_calibration_with_the_reason(valid) -> None:
    scores, truth = simulated()
    results = valid(evaluate_image_scores({case: 10 * s for case, s in scores.items()}, truth, FEW))
    assert "no probabilities" in results["calibration"]["reason"]


def test_names_of_patients_do_not_reach_the_results() -> None:
    scores, truth = simulated()
    truth = [replace(case, patient="Doe^Jane" if k < 2 else case.patient) for k, case in enumerate(truth)]
    results = evaluate_image_scores(scores, truth, FEW)
    assert "Doe" not in json.dumps(results)
    assert [row["patient"] for row in results["cases"][:3]] == ["1", "1", "2"]


def test_intervals_of_images_say_when_these_are_not_independent() -> None:
    scores, truth = simulated()
    truth = [replace(case, patient=f"p{k // 2}") for k, case in enumerate(truth)]
    results = evaluate_image_scores(scores, truth, FEW)
    point = results["operating_points"][0]
    assert "several images of one patient" in point["reason"]
    assert "several images of one patient" in point["specificity"]["reason"]
    by_patient, by_image = results["headline"][:2]
    assert (by_patient["name"], by_patient["reason"], by_patient["n"]) == ("AUC", None, 60)
    assert by_image["name"] == "AUC, images taken as independent"
    assert "several images of one patient" in by_image["reason"]
    assert evaluate_image_scores(*simulated(), FEW)["operating_points"][0]["reason"] is None


@pytest.mark.parametrize(
    ("scores", "statement"),
    [
        ([0, 0, 0, 1, 1, 1], "On these images every diseased case scores above every other (AUC 1.000)"),
        ([1, 1, 1, 0, 0, 0], "On these images every diseased case scores below every other (AUC 0.000)"),
        ([0.5] * 6, "Whether the scores are better than chance cannot be said"),
    ],
)
def test_an_interval_without_width_allows_no_verdict_on_a_handful(valid, scores, statement) -> None:
    truth = [TruthCase(f"c{k}", k >= 3, f"p{k}") for k in range(6)]
    results = valid(evaluate_image_scores({f"c{k}": float(s) for k, s in enumerate(scores)}, truth, FEW))
    assert results["statement"].startswith(statement)
    assert all("interval without width" in entry["text"] for entry in results["headline"])


def test_perfect_separation_of_five_and_five_is_better_than_chance() -> None:
    truth = [TruthCase(f"c{k}", k >= 5, f"p{k}") for k in range(10)]
    results = evaluate_image_scores({f"c{k}": float(k) for k in range(10)}, truth, FEW)
    assert "the scores are better than chance: every diseased case scores above" in results["statement"]


def test_a_point_above_every_score_has_no_threshold_and_says_so(valid) -> None:
    truth = [TruthCase(f"c{k}", k < 3, f"p{k}") for k in range(6)]
    points = valid(evaluate_image_scores({f"c{k}": float(k) for k in range(6)}, truth, FEW))["operating_points"]
    assert (points[0]["threshold"], points[0]["reason"]) == (None, "the threshold lies above every score")


def test_a_threshold_is_a_number() -> None:
    for wrong in (np.nan, np.inf):
        with pytest.raises(RequestError, match="a threshold must be a finite number"):
            evaluate_image_scores(*simulated(), FEW, thresholds=[wrong])


def test_a_wrong_cell_is_named_by_its_line_in_the_file(tmp_path) -> None:
    with pytest.raises(InputDataError, match="line 4"):
        tables(tmp_path, "case,score\n\na,1\na,2\n", "case,label\na,1\n")


def test_a_large_curve_is_stored_with_a_thousand_points_and_its_whole_area(valid) -> None:
    draw = np.random.default_rng(1)
    labels = draw.random(20_000) < 0.5
    values = draw.normal(size=20_000) + labels
    truth = [TruthCase(str(k), bool(label), str(k)) for k, label in enumerate(labels)]
    results = valid(evaluate_image_scores(dict(zip(map(str, range(20_000)), values, strict=True)), truth, FEW))
    roc = results["curves"]["ROC"]
    assert len(roc["x"]) <= 1000 < roc["n_points"]
    assert (roc["x"][0], roc["y"][0], roc["x"][-1], roc["y"][-1]) == (0, 0, 1, 1)
    assert np.trapezoid(roc["y"], roc["x"]) == pytest.approx(roc["area"], abs=1e-3)
    assert roc["area"] == pytest.approx(roc_auc_score(labels, values))


def test_near_one_the_logit_interval_stands_beside_the_normal_one() -> None:
    scores, truth = simulated()
    clear = {case.case: scores[case.case] + 0.45 * case.diseased for case in truth}
    normal, logit, *_ = evaluate_image_scores(clear, truth, FEW)["headline"]
    assert logit["name"] == "AUC, logit interval"
    assert logit["value"] == normal["value"] > 0.9
    assert logit["low"] < normal["low"]


def test_a_handful_of_patients_allows_no_verdict() -> None:
    truth = [TruthCase(f"c{k}", k < 4, f"p{k}") for k in range(8)]
    results = evaluate_image_scores(
        dict(zip((f"c{k}" for k in range(8)), [9, 8, 3, 7, 6, 2, 1, 0], strict=True)), truth, FEW
    )
    assert results["headline"][0]["low"] > 0.5
    assert "cannot be said: a group has only 4 patients" in results["statement"]


def test_a_threshold_fixed_before_is_shown_also_where_all_are_diseased(valid) -> None:
    truth = [TruthCase(f"c{k}", True, f"p{k}") for k in range(4)]
    (point,) = valid(evaluate_image_scores({f"c{k}": k / 4 for k in range(4)}, truth, FEW, thresholds=[0.5]))[
        "operating_points"
    ]
    assert point["counts"] == {"tp": 2, "fp": 0, "tn": 0, "fn": 2}
    assert point["specificity"]["value"] is None
