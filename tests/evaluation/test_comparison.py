from __future__ import annotations

import numpy as np
import pytest

from medpipe.errors import InputDataError
from medpipe.evaluation.comparison import compare_results
from medpipe.evaluation.image_scores import evaluate_image_scores
from medpipe.evaluation.localization import PredictedCase, evaluate_localization
from medpipe.evaluation.multilabel import LabelledScores, evaluate_multilabel
from medpipe.evaluation.truth import TruthCase
from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.jafroc import compare_figures_of_merit
from medpipe.metrics.lesions import Lesion
from medpipe.metrics.matching import HitRule, Mark
from medpipe.metrics.roc import compare_aucs

FEW = Bootstrap(n_resamples=100)
RULE = HitRule("radius", tolerance=5)
NAMES = ("new", "old")


def image_results(shift: float, n: int = 90, per_patient: int = 1):
    draw = np.random.default_rng(0)
    truth = [TruthCase(f"c{k}", k % 2 == 0, f"p{k // per_patient}") for k in range(n)]
    base, noise = draw.normal(size=n), np.random.default_rng(int(shift * 10)).normal(size=n)
    scores = {case.case: float(base[k] + 0.5 * noise[k] + shift * case.diseased) for k, case in enumerate(truth)}
    return scores, [case.diseased for case in truth], evaluate_image_scores(scores, truth, FEW)


def mark_results(skill: float):
    draw = np.random.default_rng(5)
    truth, predictions = [], []
    for k in range(60):
        lesions = [Lesion(circle=(50.0 * n, 0, 5)) for n in range(k % 3)]
        truth.append(TruthCase(f"c{k}", bool(lesions), f"p{k}", lesions))
        marks = [Mark(50.0 * n, 0, float(draw.normal() + skill)) for n in range(k % 3) if draw.random() < 0.8]
        marks += [Mark(500, 500, float(draw.normal())) for _ in range(draw.poisson(0.7))]
        predictions.append(PredictedCase(f"c{k}", None, marks))
    return evaluate_localization(predictions, truth, RULE, FEW)[0]


def test_image_scores_are_compared_by_delongs_paired_test(valid) -> None:
    (one, labels, first), (two, _, second) = image_results(2.0), image_results(0.5)
    found = compare_results(first, second, NAMES, FEW)
    oracle = compare_aucs(list(one.values()), list(two.values()), labels)
    entry = found["figures"][0]
    assert (entry["p"], entry["difference"]["value"]) == pytest.approx((oracle.p, oracle.difference.value))
    assert "new is better" in found["statement"]
    valid({**first, "comparison": found})


def test_images_of_one_patient_are_compared_by_resampling_patients() -> None:
    first, second = image_results(2.0, per_patient=3)[2], image_results(0.5, per_patient=3)[2]
    entry = compare_results(first, second, NAMES, FEW)["figures"][0]
    assert entry["test"].startswith("paired bootstrap")
    assert "30 patients" in entry["difference"]["method"]


def test_a_model_does_not_differ_from_itself() -> None:
    first = image_results(1.0)[2]
    found = compare_results(first, first, NAMES, FEW)
    assert found["figures"][0]["difference"]["value"] == 0
    assert found["figures"][0]["p"] == 1
    assert "not shown to differ" in found["statement"]


def test_a_difference_without_uncertainty_names_no_winner(valid) -> None:
    truth = [TruthCase(f"c{k}", k % 2 == 0, f"p{k}") for k in range(6)]
    right, wrong = (evaluate_image_scores({c.case: s * c.diseased for c in truth}, truth, FEW) for s in (1.0, -1.0))
    found = compare_results(right, wrong, NAMES, FEW)
    assert (
        found["statement"] == "Whether new and old differ in AUC cannot be said: the variance of the difference is 0."
    )
    valid({**right, "comparison": found})


def test_marks_are_compared_from_the_stored_rows_as_from_the_data(valid) -> None:
    first, second = mark_results(2.0), mark_results(0.3)
    found = compare_results(first, second, NAMES, FEW)
    assert [entry["name"] for entry in found["figures"]][:2] == ["AFROC", "wAFROC"]
    for place, name in enumerate(("AFROC", "wAFROC")):
        stored = next(entry for entry in first["headline"] if entry["name"] == name)
        assert found["figures"][place]["first"]["value"] == pytest.approx(stored["value"], abs=1e-12)
    valid({**first, "comparison": found})


def test_the_comparison_of_marks_is_the_paired_bootstrap() -> None:
    from medpipe.evaluation.comparison import _case

    first, second = mark_results(2.0), mark_results(0.3)
    one, two = (FreeResponseData.from_cases(_case(row, row["patient"]) for row in r["cases"]) for r in (first, second))
    oracle = compare_figures_of_merit(one, two, "wAFROC", FEW)
    found = compare_results(first, second, NAMES, FEW)["figures"][1]
    assert (found["difference"]["low"], found["p"]) == pytest.approx((oracle.difference.low, oracle.p))


def test_marks_are_compared_when_one_model_lacks_cases_of_other_patients(valid) -> None:
    """Patients are numbered within each result; the numbers of two results need not agree."""
    first, second = mark_results(2.0), mark_results(0.3)
    second["cases"] = [{**row, "patient": str(k + 1)} for k, row in enumerate(second["cases"][5:])]
    found = compare_results(first, second, NAMES, FEW)
    assert found["n"] == 55
    first["cases"] = first["cases"][5:]
    assert compare_results(first, second, NAMES, FEW)["figures"] == found["figures"]


def test_classes_are_compared_one_by_one_and_by_their_mean(valid) -> None:
    draw = np.random.default_rng(3)
    labels = (draw.random((80, 2)) < 0.4).astype(float)
    labels[:5, 0] = np.nan
    names = tuple(f"c{k}" for k in range(80))
    strong, weak = (
        evaluate_multilabel(
            LabelledScores(
                ("a", "b"), names, names, draw.normal(size=(80, 2)) + skill * np.nan_to_num(labels), labels, ()
            ),
            FEW,
        )
        for skill in (3.0, 0.2)
    )
    found = compare_results(strong, weak, NAMES, FEW)
    assert [entry["name"] for entry in found["figures"]] == ["Mean AUC", "AUC of a", "AUC of b"]
    means = [entry["value"] for entry in (strong["multilabel"]["mean"], weak["multilabel"]["mean"])]
    assert found["figures"][0]["difference"]["value"] == pytest.approx(means[0] - means[1])
    valid({**strong, "comparison": found})


def test_cases_that_only_one_has_are_left_out_and_named() -> None:
    first, second = image_results(2.0)[2], image_results(0.5)[2]
    second["cases"] = second["cases"][1:]
    found = compare_results(first, second, NAMES, FEW)
    assert found["n"] == 89
    assert found["left_out"] == [{"case": "c0", "reason": "not in old"}]


def test_other_tasks_truths_rules_and_cases_are_refused() -> None:
    first = image_results(1.0)[2]
    with pytest.raises(InputDataError, match="'new' is of the task 'roc', 'old' of 'localization'"):
        compare_results(first, mark_results(1.0), NAMES, FEW)
    wrong = image_results(1.0)[2]
    wrong["cases"][3]["diseased"] = not wrong["cases"][3]["diseased"]
    with pytest.raises(
        InputDataError, match="case 'c3': 'new' has diseased False, 'old' has True; they must be scored against"
    ):
        compare_results(first, wrong, NAMES, FEW)
    with pytest.raises(InputDataError, match="no case in common"):
        compare_results(first, {**first, "cases": []}, NAMES, FEW)
    marks = mark_results(1.0)
    with pytest.raises(InputDataError, match="different hit rules"):
        compare_results(marks, {**marks, "hit_rule": "another"}, NAMES, FEW)
    with pytest.raises(InputDataError, match="two reader studies are not compared"):
        compare_results({**first, "task": "mrmc"}, {**first, "task": "mrmc"}, NAMES, FEW)
