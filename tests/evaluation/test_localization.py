from __future__ import annotations

import json

import numpy as np
import pytest

from medpipe.data.datalist import write_datalist
from medpipe.data.rle import encode_relative_rle
from medpipe.errors import InputDataError
from medpipe.evaluation.localization import PredictedCase, evaluate_localization, predictions_from_table, score_run
from medpipe.evaluation.truth import TruthCase, truth_from_datalist, truth_from_table
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.lesions import Lesion
from medpipe.metrics.matching import HitRule, Mark
from medpipe.predictions.journal import CaseResult
from medpipe.predictions.results import read_results
from medpipe.predictions.run_folder import RunFolder

RULE = HitRule("mask_distance", tolerance=2)
FEW = Bootstrap(n_resamples=50)


def lesion(x: float, y: float) -> Lesion:
    return Lesion(circle=(x, y, 3))


def hand_example() -> tuple[list[PredictedCase], list[TruthCase]]:
    """Section 4 of the method's description: AFROC 7/18, wAFROC 11/30, HrAuc 11/12, found 1 of 3 lesions."""
    truth = [TruthCase(f"n{k}", False, f"n{k}", []) for k in range(3)]
    a = TruthCase("a", True, "a", [Lesion(circle=(10, 10, 3), weight=0.6), Lesion(circle=(50, 50, 3), weight=0.4)])
    b = TruthCase("b", True, "b", [lesion(10, 10)])
    far = (90, 90)
    predictions = [
        PredictedCase("n0", 2, [Mark(*far, 2), Mark(70, 70, 1)]),
        PredictedCase("n1", 0, []),
        PredictedCase("n2", 3, [Mark(*far, 3)]),
        PredictedCase("a", 3, [Mark(11, 10, 3), Mark(*far, 1)]),
        PredictedCase("b", 4, [Mark(*far, 4)]),
    ]
    return predictions, [*truth, a, b]


def figures(results: dict) -> dict[str, float]:
    return {figure["name"]: figure["value"] for figure in results["headline"]}


@pytest.mark.parametrize(
    ("weights", "message"),
    [((0.0, 0.0), "sum to 1, found 0, 0"), ((0.5, 0.6), "sum to 1"), ((1.0, None), "1 of 2 lesions have a weight")],
)
def test_impossible_weights_of_lesions_are_refused_by_the_case(weights, message) -> None:
    truth = TruthCase("a7", True, "p", [Lesion(circle=(50 * k, 10, 3), weight=w) for k, w in enumerate(weights)])
    with pytest.raises(InputDataError, match=f"truth of case 'a7': .*{message}"):
        evaluate_localization([], [truth], RULE, FEW)


def test_the_hand_worked_example_gives_its_figures() -> None:
    results, audit = evaluate_localization(*hand_example(), RULE, FEW)
    values = figures(results)
    assert values["AFROC"] == pytest.approx(7 / 18)
    assert values["wAFROC"] == pytest.approx(11 / 30)
    assert values["AUC"] == pytest.approx(11 / 12)
    assert results["cohort"]["lesions"] == 3
    assert results["froc"]["end_point"] == [pytest.approx(1.0), pytest.approx(1 / 3)]
    assert [row["kind"] for row in audit] == ["NL", "NL", "NL", "LL", "NL", "NL"]
    row = next(row for row in results["cases"] if row["case"] == "a")
    assert (row["lesions"], row["found"], row["false_positives"]) == (2, 1, 1)


def test_results_are_json_with_null_and_a_reason_where_undefined(tmp_path) -> None:
    predictions = [PredictedCase("n", 0.5, [Mark(1, 1, 0.5)])]
    results, _ = evaluate_localization(predictions, [TruthCase("n", False, "n", [])], RULE, FEW)
    text = json.dumps(results, allow_nan=False)
    assert "NaN" not in text
    for figure in results["headline"]:
        assert figure["value"] is None
        assert figure["reason"]
    assert "cannot be said" in results["statement"]


def test_a_case_without_a_result_is_left_out_and_counted() -> None:
    predictions, truth = hand_example()
    results, _ = evaluate_localization(predictions[1:], truth, RULE, FEW, missing={"n0": "failed: cut short"})
    assert results["cohort"]["analysed"] == 4
    assert results["cohort"]["without_result"] == [{"case": "n0", "reason": "failed: cut short"}]


def test_a_case_that_the_run_does_not_know_is_left_out_by_name() -> None:
    predictions, truth = hand_example()
    results, _ = evaluate_localization(predictions[1:], truth, RULE, FEW, missing={})
    assert results["cohort"]["without_result"] == [{"case": "n0", "reason": "not among the cases of the run"}]


def test_without_a_run_a_case_without_marks_has_none() -> None:
    predictions, truth = hand_example()
    results, _ = evaluate_localization([p for p in predictions if p.case != "n1"], truth, RULE, FEW)
    assert figures(results)["AFROC"] == pytest.approx(7 / 18)


def test_a_diseased_case_of_unknown_place_counts_for_roc_and_not_for_froc() -> None:
    predictions, truth = hand_example()
    truth.append(TruthCase("c", True, "c", None))
    predictions.append(PredictedCase("c", 9, [Mark(1, 1, 9)]))
    results, _ = evaluate_localization(predictions, truth, RULE, FEW)
    assert figures(results)["AFROC"] == pytest.approx(7 / 18)
    assert figures(results)["AUC"] == pytest.approx(17 / 18)
    assert results["cohort"]["diseased_without_known_place"] == 1


def test_images_of_one_patient_add_an_interval_over_patients() -> None:
    predictions, truth = hand_example()
    truth[0] = TruthCase("n0", False, "shared", [])
    truth[1] = TruthCase("n1", False, "shared", [])
    names = [figure["name"] for figure in evaluate_localization(predictions, truth, RULE, FEW)[0]["headline"]]
    assert names[:2] == ["AUC", "AUC, images taken as independent"]


def test_an_unknown_case_is_refused() -> None:
    predictions, truth = hand_example()
    with pytest.raises(InputDataError, match="not in the truth \\(first: 'zz'\\)"):
        evaluate_localization([*predictions, PredictedCase("zz", 1, [])], truth, RULE, FEW)


def test_a_rule_in_millimetres_without_spacing_names_the_case() -> None:
    with pytest.raises(InputDataError, match="case '.*': .*spacing"):
        evaluate_localization(*hand_example(), HitRule("mask_distance", tolerance=1, unit="mm"), FEW)


def test_random_scores_are_not_called_better_than_chance() -> None:
    rng = np.random.default_rng(5)
    truth = [TruthCase(str(i), bool(i % 2), str(i), None if i % 2 else []) for i in range(200)]
    predictions = [PredictedCase(str(i), float(rng.random()), []) for i in range(200)]
    results, _ = evaluate_localization(predictions, truth, RULE, FEW)
    assert "not shown to be better than chance" in results["statement"]
    assert "contains 0.5" in results["statement"]
    good = [PredictedCase(str(i), float(rng.random() + i % 2), []) for i in range(200)]
    assert "are better than chance" in evaluate_localization(good, truth, RULE, FEW)[0]["statement"]


def test_truth_tables_give_circles_boxes_masks_and_healthy_cases(tmp_path) -> None:
    mask = np.zeros((20, 30), bool)
    mask[4:6, 7:9] = True
    path = tmp_path / "truth.csv"
    path.write_text(
        "case,patient,x,y,radius,width,height,rle,rows,columns\n"
        "a,p1,10,12,3,,,,,\na,p1,5,6,,8,9,,,\n"
        f"b,p2,,,,,,{encode_relative_rle(mask)},20,30\nc,p2,,,,,,,,\n"
    )
    cases = {case.case: case for case in truth_from_table(path)}
    assert [case.diseased for case in cases.values()] == [True, True, False]
    assert cases["a"].lesions[0].circle == (10, 12, 3)
    assert cases["a"].lesions[1].box == (5, 6, 8, 9)
    assert cases["b"].lesions[0].contains(8, 5)
    assert cases["b"].shape == (20, 30)
    assert cases["c"].patient == "p2"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,1,2,3,\na,,,,\n", "with and without a lesion"),
        ("a,,,,\na,,,,\n", "twice none"),
        ("a,nan,2,3,\n", "line 2, column 'x': 'nan' must be a finite number"),
        ("a,inf,2,3,\n", "finite"),
        ("a,one,2,3,\n", "'one' must be a finite number"),
        ("a,1,2,-3,\n", "line 2"),
        ("a,1,2,3,-0.5\n", "must not be negative"),
        ("", "lists no cases"),
    ],
)
def test_wrong_truth_names_the_line_and_the_rule(tmp_path, rows, message) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("case,x,y,radius,weight\n" + rows)
    with pytest.raises(InputDataError, match=message):
        truth_from_table(path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,1,2,nan\n", "line 2, column 'score'"),
        ("a,1,2,high\n", "'high' must be a finite number"),
        ("a,1,2,0.5\na,1,2,0.5\n", "line 3: the same mark"),
    ],
)
def test_wrong_marks_name_the_line_and_the_rule(tmp_path, rows, message) -> None:
    path = tmp_path / "marks.csv"
    path.write_text("case,x,y,score\n" + rows)
    with pytest.raises(InputDataError, match=message):
        predictions_from_table(path)


def test_a_datalist_gives_components_boxes_and_unknown_places(tmp_path) -> None:
    mask = np.zeros((40, 40), bool)
    mask[2:6, 2:6] = mask[20:24, 30:34] = True
    base = {"label": 1, "localized": True, "rows": 40, "columns": 40}
    entries = [
        {**base, "image": "a.png", "case": "a", "patient": "1", "rle": [encode_relative_rle(mask)]},
        {**base, "image": "b.png", "case": "b", "patient": "2", "boxes": [[1, 2, 3, 4]]},
        {**base, "image": "c.png", "case": "c", "patient": "3", "localized": False},
        {**base, "image": "d.png", "case": "d", "patient": "4", "label": 0},
    ]
    head = {"name": "n", "description": "d", "generated": True, "split": "s", "labels": {"0": "no", "1": "yes"}}
    write_datalist(
        {**head, "tensorImageSize": "2D", "training": [], "validation": [], "test": entries}, tmp_path / "d.json"
    )
    cases, read = truth_from_datalist(tmp_path / "d.json", "test")
    assert [None if case.lesions is None else len(case.lesions) for case in cases] == [2, 1, None, 0]
    assert read["generated"] is True
    with pytest.raises(InputDataError, match="no images in its section 'training'"):
        truth_from_datalist(tmp_path / "d.json", "training")
    _score_a_run(tmp_path)


def test_fragments_below_the_smallest_lesion_are_left_out_unless_nothing_would_remain(tmp_path) -> None:
    mask = np.zeros((100, 100), bool)
    mask[10:20, 10:20] = mask[50, 50] = True
    lone = np.zeros((100, 100), bool)
    lone[3, 3] = True
    base = {"label": 1, "localized": True, "rows": 100, "columns": 100}
    entries = [
        {**base, "image": f"{name}.png", "case": name, "patient": name, "rle": [encode_relative_rle(pixels)]}
        for name, pixels in (("a", mask), ("b", lone))
    ]
    head = {"name": "n", "description": "d", "generated": True, "split": "s", "labels": {"0": "no", "1": "yes"}}
    sections = {"training": [], "validation": [], "test": entries}
    write_datalist({**head, "tensorImageSize": "2D", **sections}, tmp_path / "d.json")
    counts = {}
    for least in (0.0, 0.0002, 0.011):
        cases, _ = truth_from_datalist(tmp_path / "d.json", "test", minimum_lesion=least)
        counts[least] = [len(case.lesions) for case in cases]
    assert counts == {0.0: [2, 1], 0.0002: [1, 1], 0.011: [2, 1]}


def _score_a_run(tmp_path) -> None:
    run = RunFolder(tmp_path / "out", bundle="b")
    run.start()
    facts = {"rows": 40, "columns": 40, "row_mm": 0.5, "column_mm": 0.5}
    hit = {"label": "x", "score": 0.9, "x": 3.0, "y": 3.0}
    run.record(CaseResult("a", "done", facts=facts, score=0.9, marks=[hit]))
    run.record(CaseResult("b", "done", facts=facts, score=0.2))
    run.record(CaseResult("c", "failed", "cut short"))
    run.record(CaseResult("d", "done", facts=facts, score=0.1))
    run.finish()
    path = score_run(tmp_path / "out", tmp_path / "d.json", "test", HitRule("containment"), bootstrap=20)
    results = read_results(path)
    assert results["cohort"]["without_result"] == [{"case": "c", "reason": "failed: cut short"}]
    assert figures(results)["AUC"] == 1.0
    assert (tmp_path / "out" / "matches.csv").read_text().splitlines()[1] == "a,0,3.0,3.0,0.9,LL,0"
