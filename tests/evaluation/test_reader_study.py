from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medpipe.errors import RequestError
from medpipe.evaluation.definitions import FIGURE_DEFINITIONS
from medpipe.evaluation.reader_study import planning_results, reader_study_results
from medpipe.metrics.free_response import FreeResponseData, equal_weights
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.jafroc import FIGURES_OF_MERIT
from medpipe.metrics.obuchowski_rockette import obuchowski_rockette
from medpipe.metrics.reader_study import ReaderStudy
from medpipe.metrics.study_size import PilotStudy, cases_needed

LABELS = np.repeat([0, 1], [9, 8])


def roc_study(modalities: int = 2, readers: int = 3, patients: list[str] | None = None) -> ReaderStudy:
    draw = np.random.default_rng(0)
    rows = [
        [
            FreeResponseData.from_scores(np.round(draw.normal(size=17) + LABELS, 1), LABELS, patients)
            for _ in range(readers)
        ]
        for _ in range(modalities)
    ]
    return ReaderStudy(tuple(f"m{i}" for i in range(modalities)), tuple(f"r{j}" for j in range(readers)), rows)


def froc_study(n_nondiseased: int = 8, n_diseased: int = 7) -> ReaderStudy:
    draw = np.random.default_rng(1)
    lesions = draw.integers(1, 3, n_diseased)
    case = np.repeat(np.arange(n_diseased), lesions)
    number = np.arange(lesions.sum()) - (np.cumsum(lesions) - lesions)[case]

    def reading() -> FreeResponseData:
        found, n_nl = draw.random(lesions.sum()) < 0.7, 9
        return FreeResponseData(
            n_nondiseased,
            n_diseased,
            draw.integers(0, n_nondiseased + n_diseased, n_nl),
            draw.normal(size=n_nl),
            case[found],
            number[found],
            draw.normal(size=found.sum()) + 1,
            lesions,
            equal_weights(lesions),
        )

    return ReaderStudy(("old", "new"), ("a", "b", "c"), [[reading() for _ in "abc"] for _ in range(2)])


def plain(results: dict[str, Any]) -> None:
    """What JSON can hold: no NaN, no infinity; and a reason beside every null."""
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    stack: list[Any] = [results]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            if None in part.values():
                assert part["reason"], part
            stack += part.values()
        elif isinstance(part, list):
            stack += part


def test_free_response_data_are_tested_by_every_figure_but_wilcoxon() -> None:
    results = reader_study_results(froc_study())
    plain(results)
    names = [name for name in FIGURES_OF_MERIT if name != "Wilcoxon"]
    assert list(results["figures_of_merit"]) == list(results["tests"]) == list(results["definitions"]) == names
    assert list(results["unavailable"]) == ["Wilcoxon"]
    assert "exactly one rating per case" in results["unavailable"]["Wilcoxon"]
    head = {key: results[key] for key in ("type", "modalities", "readers", "n_nondiseased", "n_diseased", "n_lesions")}
    assert head == {
        "type": "FROC",
        "modalities": ["old", "new"],
        "readers": ["a", "b", "c"],
        "n_nondiseased": 8,
        "n_diseased": 7,
        "n_lesions": froc_study().n_lesions,
    }
    assert (results["level"], results["covariance"], results["multiplicity"]) == (0.95, "jackknife", "none")
    assert "caution" not in results


def test_roc_data_are_tested_by_wilcoxon_alone() -> None:
    results = reader_study_results(roc_study())
    plain(results)
    assert results["type"] == "ROC"
    assert list(results["tests"]) == ["Wilcoxon"]
    assert set(results["unavailable"]) == set(FIGURES_OF_MERIT) - {"Wilcoxon"}
    assert "ROC data" in results["unavailable"]["wAFROC"]


def test_figures_asked_for_are_the_ones_given_also_by_another_name() -> None:
    results = reader_study_results(froc_study(), ["JAFROC", "Wilcoxon", "AFROC"])
    assert list(results["tests"]) == ["AFROC"]
    assert "exactly one rating" in results["unavailable"]["Wilcoxon"]
    assert results["unavailable"]["wAFROC"] == "not asked for"


def test_every_figure_has_a_definition() -> None:
    assert set(FIGURE_DEFINITIONS) == set(FIGURES_OF_MERIT)


def test_one_reader_has_frrc_and_a_reason_for_the_others() -> None:
    results = reader_study_results(roc_study(readers=1))
    plain(results)
    tests = results["tests"]["Wilcoxon"]
    for method in ("OR", "DBM"):
        assert tests[method]["FRRC"]["p"] < 1
        for kind in ("RRRC", "RRFC"):
            assert list(tests[method][kind]) == ["unavailable"]
            assert "needs at least two, found 1" in tests[method][kind]["unavailable"]
    assert tests["or_mean_squares"]["TR"] is None
    assert tests["or_mean_squares"]["reason"] == "R, TR: undefined with one reader or one modality"


def test_one_modality_has_means_and_no_test() -> None:
    results = reader_study_results(roc_study(modalities=1))
    plain(results)
    for method in ("OR", "DBM"):
        for kind in ("RRRC", "FRRC", "RRFC"):
            entry = results["tests"]["Wilcoxon"][method][kind]
            assert entry["p"] is None
            assert entry["reason"] == "one modality: there is nothing to compare"
            assert entry["differences"] == []
            assert entry["per_modality"][0]["ci_low"] < results["tests"]["Wilcoxon"]["modality_means"][0]


def test_identical_modalities_have_p_one_and_null_with_a_reason() -> None:
    row = roc_study().readings[0]
    results = reader_study_results(ReaderStudy(("a", "b"), ("1", "2", "3"), (row, row)))
    plain(results)
    entry = results["tests"]["Wilcoxon"]["OR"]["RRRC"]
    assert (entry["F"], entry["p"]) == (None, 1)
    assert "denominator is 0" in entry["reason"]
    assert entry["differences"][0]["t"] is None
    assert entry["differences"][0]["reason"] == "the standard error is 0"


def test_covariance_that_a_figure_has_not_leaves_the_other_method() -> None:
    results = reader_study_results(froc_study(), ["HrAuc", "wAFROC"], covariance="delong")
    plain(results)
    assert results["covariance"] == "delong"
    assert results["tests"]["HrAuc"]["OR"]["RRRC"]["p"] < 1
    tests = results["tests"]["wAFROC"]
    for entry in (tests["or_components"], tests["OR"]["RRRC"], tests["OR"]["FRRC"]):
        assert entry == {
            "unavailable": "DeLong's covariance is of Wilcoxon and HrAuc alone, not of wAFROC; use the jackknife"
        }
    assert tests["or_mean_squares"]["T"] > 0
    assert tests["DBM"]["RRRC"]["p"] < 1


def test_bootstrap_covariance_depends_on_the_seed() -> None:
    one, same, other = (
        reader_study_results(roc_study(), covariance="bootstrap", bootstrap=Bootstrap(200, seed=seed))
        for seed in (1, 1, 2)
    )
    assert one == same
    assert one["tests"]["Wilcoxon"]["or_components"] != other["tests"]["Wilcoxon"]["or_components"]
    assert one["tests"]["Wilcoxon"]["DBM"] == other["tests"]["Wilcoxon"]["DBM"]


def test_too_few_cases_for_a_covariance_leave_the_figures() -> None:
    results = reader_study_results(froc_study(n_diseased=1), ["wAFROC"])
    plain(results)
    assert np.shape(results["figures_of_merit"]["wAFROC"]) == (2, 3)
    entry = results["tests"]["wAFROC"]["OR"]["RRRC"]
    assert "needs at least two cases of each kind" in entry["unavailable"]
    assert results["tests"]["wAFROC"]["DBM"]["FRRC"] == entry


def test_without_nondiseased_cases_only_figures_over_all_cases_are_tested() -> None:
    results = reader_study_results(froc_study(n_nondiseased=0))
    plain(results)
    assert list(results["tests"]) == ["AFROC1", "wAFROC1"]
    assert "needs non-diseased cases" in results["unavailable"]["wAFROC"]


def test_holm_and_level_are_passed_on() -> None:
    wide, narrow = (reader_study_results(roc_study(modalities=3), level=level, holm=True) for level in (0.99, 0.9))
    assert wide["multiplicity"] == "Holm"
    for one, two in zip(*(r["tests"]["Wilcoxon"]["OR"]["FRRC"]["differences"] for r in (wide, narrow)), strict=True):
        assert one["ci_high"] - one["ci_low"] > two["ci_high"] - two["ci_low"]
        assert one["p_holm"] >= one["p"] == two["p"]


def test_several_cases_of_a_patient_call_for_caution() -> None:
    patients = [str(k // 2) for k in range(17)]
    results = reader_study_results(roc_study(patients=patients))
    assert results["caution"].startswith("17 cases of 9 patients: the jackknife and DeLong's covariance take cases as")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"figures": ["wafroc"]}, "unknown figure of merit 'wafroc'"),
        ({"covariance": "exact"}, "covariance must be one of"),
        ({"level": 95}, "level must lie between 0 and 1"),
    ],
)
def test_impossible_requests_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        reader_study_results(roc_study(), **arguments)


# Planning


def test_plan_gives_cases_for_every_number_of_readers() -> None:
    study = froc_study()
    plan = planning_results(study, "JAFROC", 0.2, readers=(3, 6, 12))
    plain(plan)
    model = obuchowski_rockette(study, "AFROC")
    pilot = PilotStudy.from_analysis(model, 15)
    assert plan["figure_of_merit"] == "AFROC"
    assert plan["pilot"] == {"readers": 3, "nondiseased": 8, "diseased": 7, "or_components": model.components}
    assert [row["readers"] for row in plan["table"]] == [3, 6, 12]
    assert [row["cases"] for row in plan["table"]] == [cases_needed(pilot, 0.2, j) for j in (3, 6, 12)]
    assert all(row["power"] is None or row["power"] >= 0.8 for row in plan["table"])


def test_plan_says_where_no_number_of_cases_suffices() -> None:
    plan = planning_results(froc_study(), "wAFROC", 0.0001, readers=(3,))
    assert plan["table"] == [
        {"readers": 3, "cases": None, "power": None, "reason": "not even 10,000 cases suffice"},
    ]


def test_study_without_components_cannot_be_planned_from() -> None:
    for study in (roc_study(modalities=1), roc_study(readers=1)):
        plan = planning_results(study, "Wilcoxon", 0.05)
        assert list(plan) == ["unavailable"]
        assert "at least two modalities and two readers" in plan["unavailable"]


def test_impossible_plans_are_refused() -> None:
    with pytest.raises(RequestError, match="effect must be a difference other than 0"):
        planning_results(roc_study(), "Wilcoxon", 0.0)
    with pytest.raises(RequestError, match="RRRC generalises to other readers"):
        planning_results(roc_study(), "Wilcoxon", 0.05, readers=(1,))
    with pytest.raises(RequestError, match="power must lie between 0 and 1"):
        planning_results(roc_study(), "Wilcoxon", 0.05, power=80)


# The layout is that of RJafroc's results


def json_study(path: Path) -> ReaderStudy:
    content = json.loads(path.read_text())

    def reading(i: int, j: int) -> FreeResponseData:
        nl, ll = (np.array(content[kind][i][j], dtype=float) for kind in ("NL", "LL"))
        return FreeResponseData(
            content["n_nondiseased"],
            content["n_diseased"],
            nl[:, 0].astype(int),
            nl[:, 1],
            ll[:, 0].astype(int),
            ll[:, 1].astype(int),
            ll[:, 2],
            content["lesions_per_case"],
            np.concatenate(content["lesion_weights"]),
        )

    rows = [[reading(i, j) for j in range(len(content["readers"]))] for i in range(len(content["modalities"]))]
    return ReaderStudy(content["modalities"], content["readers"], rows)


def assert_same(found: Any, expected: Any, where: str) -> None:
    if isinstance(expected, dict):
        assert list(found) == list(expected), where
        for key, value in expected.items():
            assert_same(found[key], value, f"{where}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for k, value in enumerate(expected):
            assert_same(found[k], value, f"{where}/{k}")
    else:
        assert found == (expected if isinstance(expected, str) else pytest.approx(expected, rel=1e-10, abs=1e-13)), (
            where
        )


@pytest.mark.shared_data
@pytest.mark.parametrize("study", ["vandyke_roc", "fed_froc"])
def test_results_have_the_reference_files_keys_in_their_order_and_their_numbers(shared_data: Path, study: str) -> None:
    results = reader_study_results(json_study(shared_data / "froc" / f"{study}.json"))
    plain(results)
    expected = json.loads((shared_data / "froc" / f"{study}.reference.json").read_text())["computed"]
    assert set(results["figures_of_merit"]) == set(expected["figures_of_merit"])
    for name, values in expected["figures_of_merit"].items():
        assert_same(results["figures_of_merit"][name], values, name)
    for name, tests in expected["tests"].items():
        assert_same(results["tests"][name], tests, name)
