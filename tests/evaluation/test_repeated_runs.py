"""Settings as modalities and seeds as readers: the same numbers as a reader study of the same ratings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from medpipe.errors import InputDataError
from medpipe.evaluation.repeated_runs import compare_repeated_runs, figure_value, readings_of
from medpipe.metrics.dbm import dorfman_berbaum_metz
from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.jafroc import figure_of_merit
from medpipe.metrics.obuchowski_rockette import obuchowski_rockette
from medpipe.metrics.reader_study import ReaderStudy

HAND = {
    # The hand example of the figures of merit: AFROC 7/18.
    "cases": [
        {"case": "n1", "diseased": False, "score": None, "lesions": 0, "lesion_ratings": [], "false_positive_ratings": [2, 1]},
        {"case": "n2", "diseased": False, "score": None, "lesions": 0, "lesion_ratings": [], "false_positive_ratings": []},
        {"case": "n3", "diseased": False, "score": None, "lesions": 0, "lesion_ratings": [], "false_positive_ratings": [3]},
        {
            "case": "dA",
            "diseased": True,
            "score": None,
            "lesions": 2,
            "lesion_ratings": [3, None],
            "lesion_weights": [0.6, 0.4],
            "false_positive_ratings": [1],
        },
        {"case": "dB", "diseased": True, "score": None, "lesions": 1, "lesion_ratings": [None], "false_positive_ratings": [4]},
    ]
}  # fmt: skip


def run(seed: int, gain: float, *, cases: int = 40) -> dict[str, Any]:
    """Results of one run: half the cases have a lesion, whose rating and score exceed the others' by ``gain``."""
    rng, common = np.random.default_rng([seed, int(gain * 10)]), np.random.default_rng(5).normal(size=cases)
    rows = []
    for k in range(cases):
        diseased = k % 2 == 0
        score = float(common[k] + rng.normal() * 0.5 + gain * diseased)
        lesions = [score] if diseased else []
        false = [float(rng.normal())] if rng.random() < 0.5 else []
        rows.append(
            {
                "case": f"c{k:02d}",
                "patient": str(k),
                "diseased": diseased,
                "score": score,
                "lesions": len(lesions),
                "lesion_ratings": lesions,
                "false_positive_ratings": false,
            }
        )
    return {"cases": rows}


@pytest.fixture
def readings() -> dict[str, dict[int, dict[str, FreeResponseData]]]:
    gains = {"none": 0.5, "se": 1.0, "acm": 2.0}
    return {name: {seed: readings_of(run(seed, gain)) for seed in (0, 1, 2)} for name, gain in gains.items()}


def test_marks_of_the_hand_example_give_its_figure() -> None:
    found = readings_of(HAND)
    assert set(found) == {"AFROC"}
    assert figure_of_merit(found["AFROC"], "AFROC") == pytest.approx(7 / 18)
    assert figure_of_merit(found["AFROC"], "wAFROC") == pytest.approx(0.3666666666666667)


def test_cases_whose_lesions_have_no_known_place_have_a_score_alone() -> None:
    rows = [
        {"case": "a", "diseased": True, "score": 0.9, "lesions": None},
        {"case": "b", "diseased": False, "score": 0.1, "lesions": None},
    ]
    found = readings_of({"cases": rows})
    assert set(found) == {"Wilcoxon"}
    assert figure_of_merit(found["Wilcoxon"], "Wilcoxon") == 1


@pytest.mark.parametrize("figure", ["AFROC", "Wilcoxon"])
def test_tests_and_differences_are_those_of_the_reader_study(readings, figure) -> None:
    found = compare_repeated_runs(readings, "none", figure)
    names = ("se", "acm", "none")
    study = ReaderStudy(names, ("a", "b", "c"), tuple(tuple(readings[n][s][figure] for s in (0, 1, 2)) for n in names))
    for method, analysis in (("OR", obuchowski_rockette(study, figure)), ("DBM", dorfman_berbaum_metz(study, figure))):
        expected = analysis.analysis("RRRC")
        assert found[method]["F"] == pytest.approx(expected.test.statistic)
        assert found[method]["p"] == pytest.approx(expected.test.p)
        wanted = {one.label: one for one in expected.differences if one.label.endswith("-none")}
        assert [row["label"] for row in found[method]["differences"]] == list(wanted) == ["se-none", "acm-none"]
        for row in found[method]["differences"]:
            one = wanted[row["label"]]
            assert (row["estimate"], row["ci_low"], row["ci_high"]) == pytest.approx((one.estimate, one.low, one.high))
    assert found["OR"]["differences"][1]["estimate"] > 0  # setting minus reference, and acm is the better one
    assert (found["analysis"], found["seeds"]) == ("RRRC", [0, 1, 2])


def test_one_seed_gives_the_analysis_of_fixed_readers(readings) -> None:
    alone = {name: {0: runs[0]} for name, runs in readings.items()}
    found = compare_repeated_runs(alone, "none", "AFROC")
    assert found["analysis"] == "FRRC"
    assert "chisq" in found["OR"]


def test_seeds_that_a_setting_lacks_are_left_out_of_all(readings) -> None:
    del readings["se"][1]
    assert compare_repeated_runs(readings, "none", "AFROC")["seeds"] == [0, 2]


def test_a_setting_without_a_run_is_left_out_and_named(readings) -> None:
    readings["se"] = {}
    found = compare_repeated_runs(readings, "none", "AFROC")
    assert (found["settings"], found["left_out"]) == (["acm", "none"], ["se"])


def _without_reference(readings):
    readings["none"] = {}


def _alone(readings):
    del readings["se"], readings["acm"]


def _no_common_seed(readings):
    readings["none"] = {7: readings["none"][0]}


def _other_cases(readings):
    readings["acm"][1] = readings_of(run(1, 2.0, cases=38))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_without_reference, "no run of 'none', which the others are compared with, has one score for every image"),
        (_alone, "no setting but 'none' has one score for every image"),
        (_no_common_seed, "no seed has ended well in all settings"),
        (_other_cases, "have not seen the same test cases"),
    ],
)
def test_what_cannot_be_compared_says_why(readings, change, reason) -> None:
    change(readings)
    assert reason in compare_repeated_runs(readings, "none", "Wilcoxon")["unavailable"]


def test_a_figure_is_read_by_its_name_and_a_missing_one_is_named() -> None:
    results = {
        "headline": [
            {"name": "AUC", "value": None, "reason": "one class only"},
            {"name": "AFROC", "value": 0.5, "reason": None},
        ]
    }
    assert figure_value(results, "AFROC") == (0.5, None)
    assert figure_value(results, "AUC") == (None, "one class only")
    with pytest.raises(InputDataError, match="no figure 'Mean AUC'; it gives AUC, AFROC"):
        figure_value(results, "Mean AUC")
