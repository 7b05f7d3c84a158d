from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medpipe.errors import RequestError
from medpipe.evaluation.mrmc import evaluate_reader_study
from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.obuchowski_rockette import obuchowski_rockette
from medpipe.metrics.reader_study import ReaderStudy

FEW = Bootstrap(n_resamples=60)


def roc_study(modalities: int = 2, readers: int = 4, n: int = 40, shift: float = 0.6) -> ReaderStudy:
    """Ratings 1 to 5 with effects of cases; the first modality and the last reader separate best."""
    draw = np.random.default_rng(0)
    labels = np.arange(2 * n) % 2
    case = draw.normal(size=2 * n)
    rows = []
    for i in range(modalities):
        skill = 1.2 + shift * (i == 0)
        latent = [case + draw.normal(size=2 * n) + labels * (skill + 0.5 * j) for j in range(readers)]
        cut = [np.digitize(values, [-1, 0, 1, 2]) + 1.0 for values in latent]
        rows.append(tuple(FreeResponseData.from_scores(ratings, labels) for ratings in cut))
    return ReaderStudy(tuple(f"m{i}" for i in range(modalities)), tuple(f"r{j}" for j in range(readers)), tuple(rows))


def froc_study(readers: int = 3) -> ReaderStudy:
    """14 + 11 cases with one or two lesions, most of them found, and false positives everywhere."""
    lesions = np.array([1, 2] * 5 + [1])
    case = np.repeat(np.arange(11), lesions)
    number = np.concatenate([np.arange(n) for n in lesions])
    rows = []
    for i in range(2):
        draws = [np.random.default_rng(10 * i + j) for j in range(readers)]
        rows.append(
            tuple(
                FreeResponseData(
                    *(14, 11, draw.integers(0, 25, 20), draw.integers(1, 5, 20).astype(float)),
                    *(case[2:], number[2:], draw.integers(2, 6, case.size - 2) + 0.0),
                    *(lesions, 1 / np.repeat(lesions, lesions)),
                )
                for draw in draws
            )
        )
    return ReaderStudy(("a", "b"), tuple(f"r{j}" for j in range(readers)), tuple(rows))


def test_a_roc_study_leads_with_means_and_their_difference_for_random_readers_and_cases(valid) -> None:
    study = roc_study()
    results = valid(evaluate_reader_study(study, FEW))
    names = [entry["name"] for entry in results["headline"]]
    assert names == ["Wilcoxon, m0", "Wilcoxon, m1", "Wilcoxon, m0 - m1"]
    found = obuchowski_rockette(study, "Wilcoxon").analysis("RRRC")
    assert results["headline"][2]["low"] == pytest.approx(found.differences[0].low)
    assert f"F(1, {found.test.ddf:.1f}) = {found.test.statistic:.2f}" in results["statement"]
    assert results["cohort"]["readings"] == 2 * 4 * 80


def test_marks_are_led_by_wafroc_and_have_curves_of_every_reading(valid) -> None:
    results = valid(evaluate_reader_study(froc_study(), FEW))
    study = results["reader_study"]
    assert study["main_figure"] == "wAFROC"
    assert set(study["curves"]) == {"wAFROC", "AFROC", "ROC", "FROC"}
    assert len(study["curves"]["FROC"]) == 6
    means = np.mean(study["figures_of_merit"]["wAFROC"], axis=1)
    assert [entry["value"] for entry in results["headline"][:2]] == pytest.approx(means.tolist())
    areas = [curve["area"] for curve in study["curves"]["wAFROC"]]
    assert areas == pytest.approx(np.ravel(study["figures_of_merit"]["wAFROC"]).tolist())


def test_one_reader_is_told_about_these_readers_only() -> None:
    results = evaluate_reader_study(froc_study(readers=1), FEW)
    assert "these readers, random cases" in results["statement"]
    assert "planning" not in results["reader_study"]
    assert "unavailable" in results["reader_study"]["tests"]["wAFROC"]["OR"]["RRRC"]


def test_one_modality_is_described_and_not_compared(valid) -> None:
    results = valid(evaluate_reader_study(roc_study(modalities=1), FEW))
    assert "nothing to compare" in results["statement"]
    assert [entry["name"] for entry in results["headline"]] == ["Wilcoxon, m0"]
    assert results["headline"][0]["low"] < results["headline"][0]["value"]


def test_equal_readings_are_not_shown_to_differ(valid) -> None:
    one = roc_study(modalities=1)
    twice = ReaderStudy(("a", "b"), one.readers, (one.readings[0], one.readings[0]))
    results = valid(evaluate_reader_study(twice, FEW))
    assert results["statement"].startswith("Whether the modalities differ in Wilcoxon cannot be said: the denominator")
    assert results["headline"][2]["reason"] == "the standard error is 0"


@pytest.mark.parametrize("readers", [1, 3])
@pytest.mark.parametrize(("first", "second"), [(1.0, 1.0), (1.0, -1.0), (0.0, 0.0)])
def test_readings_without_any_variation_do_not_tell_whether_modalities_differ(valid, readers, first, second) -> None:
    """Everyone perfect, one modality perfect and the other perfectly wrong, all ratings equal."""
    labels = np.arange(12) % 2
    rows = [(FreeResponseData.from_scores(sign * labels, labels),) * readers for sign in (first, second)]
    study = ReaderStudy(("a", "b"), tuple(f"r{j}" for j in range(readers)), tuple(rows))
    results = valid(evaluate_reader_study(study, FEW, resample=True))
    assert "cannot be said: the denominator is 0" in results["statement"]
    assert [entry["reason"] for entry in results["headline"]] == ["the standard error is 0"] * 3
    assert all(
        entry["text"].endswith("(interval without width: the standard error is 0)") for entry in results["headline"]
    )
    for row in results["reader_study"].get("planning", {}).get("rows", []):
        assert "no error variance" in row["reason"]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([0, 0, 0, 1], "needs at least two cases of each kind"),
        ([1, 1, 1], "needs non-diseased cases"),
        ([0, 0, 0], "needs diseased cases"),
    ],
)
def test_two_modalities_that_cannot_be_analysed_say_why(valid, labels, reason) -> None:
    draw = np.random.default_rng(0)
    rows = [[FreeResponseData.from_scores(draw.normal(size=len(labels)), labels) for _ in range(2)] for _ in range(2)]
    results = valid(evaluate_reader_study(ReaderStudy(("a", "b"), ("x", "y"), tuple(map(tuple, rows))), FEW))
    assert results["statement"].startswith("Whether the modalities differ in Wilcoxon cannot be said")
    assert reason in results["statement"]
    assert results["headline"] == []


def test_a_covariance_that_the_leading_figure_has_not_is_the_reason(valid) -> None:
    results = valid(evaluate_reader_study(froc_study(), FEW, covariance="delong"))
    assert "DeLong's covariance is of Wilcoxon and HrAuc alone, not of wAFROC" in results["statement"]


def test_readers_that_are_all_alike_leave_infinitely_many_degrees_of_freedom() -> None:
    rows = roc_study(readers=1).readings
    study = ReaderStudy(("a", "b"), ("x", "y", "z"), tuple(row * 3 for row in rows))
    assert "F(1, infinity) = " in evaluate_reader_study(study, FEW)["statement"]


def test_cases_of_one_patient_are_pointed_out_in_the_headline() -> None:
    rows = [
        [replace(reading, patients=tuple(str(k // 2) for k in range(reading.n_cases))) for reading in row]
        for row in roc_study().readings
    ]
    study = ReaderStudy(("a", "b"), tuple("wxyz"), tuple(map(tuple, rows)))
    assert "take cases as independent" in evaluate_reader_study(study, FEW)["headline"][0]["reason"]
    assert evaluate_reader_study(study, FEW, covariance="bootstrap")["headline"][0]["reason"] is None


def test_resampling_is_done_when_asked_for(valid) -> None:
    results = valid(evaluate_reader_study(roc_study(), Bootstrap(400), resample=True))
    found = results["reader_study"]["bootstrap"]
    assert {"cases", "cases and readers"} <= set(found)
    widths = [
        found[kind]["modality_means"][0]["high"] - found[kind]["modality_means"][0]["low"]
        for kind in ("cases", "cases and readers")
    ]
    assert widths[0] < widths[1]


def test_planning_rows_reach_the_power_wanted_with_fewer_cases_for_more_readers() -> None:
    planning = evaluate_reader_study(roc_study(), FEW, effect=0.08)["reader_study"]["planning"]
    rows = [row for row in planning["rows"] if row["cases"]]
    assert all(row["power"] >= 0.8 for row in rows)
    assert [row["cases"] for row in rows] == sorted((row["cases"] for row in rows), reverse=True)
    assert "0.08" in planning["assumptions"]


def test_an_unknown_figure_or_covariance_is_refused() -> None:
    with pytest.raises(RequestError, match="unknown figure of merit"):
        evaluate_reader_study(roc_study(), FEW, ["AUC2"])
    with pytest.raises(RequestError, match="covariance must be one of"):
        evaluate_reader_study(roc_study(), FEW, covariance="guess")  # type: ignore[arg-type]


def test_another_name_of_a_figure_leads_under_its_own() -> None:
    results = evaluate_reader_study(froc_study(), FEW, ["JAFROC"])
    assert results["reader_study"]["main_figure"] == "AFROC"
    assert results["headline"][0]["name"] == "AFROC, a"


def test_the_headline_ends_at_one_where_the_exact_interval_goes_beyond() -> None:
    draw = np.random.default_rng(4)
    labels = np.arange(24) % 2
    rows = [[FreeResponseData.from_scores(labels * 2.2 + draw.normal(size=24), labels) for _ in range(3)] for _ in "ab"]
    results = evaluate_reader_study(ReaderStudy(("a", "b"), ("x", "y", "z"), tuple(map(tuple, rows))), FEW)
    exact = results["reader_study"]["tests"]["Wilcoxon"]["OR"]["RRRC"]["per_modality"]
    beyond = [place for place, row in enumerate(exact) if row["ci_high"] > 1]
    assert beyond
    for place in beyond:
        assert results["headline"][place]["high"] == 1
        assert "beyond what is possible" in results["headline"][place]["reason"]
