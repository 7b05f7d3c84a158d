from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from medpipe.metrics.intervals import Estimate
from medpipe.metrics.roc import (
    auc,
    auc_estimate,
    compare_aucs,
    delong,
    roc_curve,
)

# Non-diseased 1, 2, 3 and diseased 2, 4: of six pairs four are in order, one is tied and one is reversed.
SCORES, LABELS = [1, 2, 3, 2, 4], [0, 0, 0, 1, 1]


def psi(x: float, y: float) -> float:
    return 1.0 if x < y else 0.5 if x == y else 0.0


def slow_delong(scores: list[float], labels: list[int]) -> tuple[float, list[float], list[float]]:
    x = [s for s, label in zip(scores, labels, strict=True) if not label]
    y = [s for s, label in zip(scores, labels, strict=True) if label]
    v10 = [sum(psi(a, b) for a in x) / len(x) for b in y]
    v01 = [sum(psi(a, b) for b in y) / len(y) for a in x]
    return sum(v10) / len(y), v10, v01


def slow_covariance(first: tuple, second: tuple) -> float:
    total = 0.0
    for k in (1, 2):
        total += float(np.cov(first[k], second[k])[0, 1]) / len(first[k])
    return total


scores_with_ties = st.integers(0, 4).map(float) | st.floats(-9, 9)


@st.composite
def samples(draw: st.DrawFn, min_class: int = 2) -> tuple[list[float], list[float], list[int]]:
    n, m = draw(st.integers(min_class, 8)), draw(st.integers(min_class, 8))
    labels = draw(st.permutations([0] * n + [1] * m))
    first, second = (draw(st.lists(scores_with_ties, min_size=n + m, max_size=n + m)) for _ in range(2))
    return first, second, labels


def test_hand_example() -> None:
    # The diseased score 2 is above 1, ties with 2 and is below 3: 1.5 of 3. The other one is above all.
    result = delong(SCORES, LABELS)
    assert result.v10.tolist() == [0.5, 1]
    assert result.v01.tolist() == [1, 0.75, 0.5]
    assert result.auc == auc(SCORES, LABELS) == 0.75
    # var(V10) = 1/8, var(V01) = 1/16.
    assert result.variance == pytest.approx(1 / 8 / 2 + 1 / 16 / 3)
    assert result.reason is None


@settings(deadline=None, max_examples=100)
@given(samples(min_class=1))
def test_auc_equals_that_of_scikit_learn(sample: tuple) -> None:
    scores, _, labels = sample
    assert auc(scores, labels) == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores), abs=1e-12)


@settings(deadline=None, max_examples=100)
@given(samples())
def test_components_and_variance_equal_the_double_loop(sample: tuple) -> None:
    scores, _, labels = sample
    result, expected = delong(scores, labels), slow_delong(scores, labels)
    assert result.auc == pytest.approx(expected[0], abs=1e-14)
    assert result.v10 == pytest.approx(expected[1], abs=1e-14)
    assert result.v01 == pytest.approx(expected[2], abs=1e-14)
    assert result.variance == pytest.approx(slow_covariance(expected, expected), abs=1e-14)


@settings(deadline=None, max_examples=100)
@given(samples())
def test_comparison_equals_the_textbook_formula(sample: tuple) -> None:
    first, second, labels = sample
    a, b = slow_delong(first, labels), slow_delong(second, labels)
    covariance = slow_covariance(a, b)
    variance = slow_covariance(a, a) + slow_covariance(b, b) - 2 * covariance
    result = compare_aucs(first, second, labels)
    assert result.covariance == pytest.approx(covariance, abs=1e-14)
    assert result.difference.value == pytest.approx(a[0] - b[0], abs=1e-14)
    if variance > 1e-12:
        z = (a[0] - b[0]) / math.sqrt(variance)
        assert result.z == pytest.approx(z, rel=1e-6, abs=1e-12)
        assert result.p == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), rel=1e-5, abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(samples())
def test_swapping_scores_or_classes_mirrors_the_result(sample: tuple) -> None:
    first, second, labels = sample
    there, back = compare_aucs(first, second, labels), compare_aucs(second, first, labels)
    assert there.z == -back.z
    assert there.p == back.p
    assert auc(first, labels) + auc(first, [1 - label for label in labels]) == pytest.approx(1)


def test_everything_in_order_everything_reversed_and_everything_tied() -> None:
    labels = [0, 0, 1, 1]
    assert auc([1, 2, 3, 4], labels) == 1
    assert auc([4, 3, 2, 1], labels) == 0
    assert auc([7, 7, 7, 7], labels) == 0.5


def test_minus_infinity_is_a_score_below_all_others() -> None:
    assert auc([-math.inf, 1, -math.inf, 2], [0, 0, 1, 1]) == (0.5 + 0 + 1 + 1) / 4


@pytest.mark.parametrize(("labels", "lacking"), [([1, 1], "non-diseased"), ([0, 0], "diseased")])
def test_one_class_is_nan_with_a_warning_or_a_reason(labels: list[int], lacking: str) -> None:
    with pytest.warns(RuntimeWarning, match=f"AUC is undefined: no {lacking} case"):
        assert math.isnan(auc([1, 2], labels))
    estimate = auc_estimate([1, 2], labels)
    assert math.isnan(estimate.value)
    assert math.isnan(estimate.low)
    assert estimate.reason == f"no {lacking} case"
    comparison = compare_aucs([1, 2], [2, 1], labels)
    assert math.isnan(comparison.p)
    assert comparison.difference.reason == f"no {lacking} case"
    with pytest.raises(ValueError, match="needs both classes"):
        roc_curve([1, 2], labels)


def test_one_case_of_a_class_has_an_auc_but_no_interval() -> None:
    estimate = auc_estimate([1, 2, 3], [0, 1, 0])
    assert estimate.value == 0.5
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)
    assert estimate.reason == "the variance needs two cases in each class, found 1 diseased and 2 non-diseased"
    comparison = compare_aucs([1, 2, 3], [3, 2, 1], [0, 1, 0])
    assert comparison.difference.value == 0
    assert math.isnan(comparison.z)
    assert math.isnan(comparison.p)


def test_normal_interval_by_hand() -> None:
    scores, labels = [1, 2, 3, 4, 5, 2.5, 3.5, 4.5, 5.5, 6], [0] * 5 + [1] * 5
    result = delong(scores, labels)
    half = 1.959963984540054 * math.sqrt(result.variance)
    estimate = auc_estimate(scores, labels)
    assert estimate.low == pytest.approx(result.auc - half)
    assert estimate.high == min(1, result.auc + half)
    assert estimate == Estimate(
        result.auc, estimate.low, estimate.high, 0.95, "DeLong, normal interval of independent cases", 10
    )


def test_normal_interval_is_clipped_and_logit_interval_stays_inside() -> None:
    scores, labels = [1, 2, 3, 4, 3.5, 5, 6, 7], [0] * 4 + [1] * 4
    normal, logit = auc_estimate(scores, labels), auc_estimate(scores, labels, interval="logit")
    assert normal.high == 1
    assert 0 < logit.low < logit.value == normal.value == 15 / 16 < logit.high < 1
    area, error = normal.value, math.sqrt(delong(scores, labels).variance)
    centre, half = math.log(area / (1 - area)), 1.959963984540054 * error / (area * (1 - area))
    assert logit.low == pytest.approx(1 / (1 + math.exp(-(centre - half))))
    assert logit.high == pytest.approx(1 / (1 + math.exp(-(centre + half))))


def test_higher_level_gives_a_wider_interval() -> None:
    narrow, wide = auc_estimate(SCORES, LABELS, level=0.5), auc_estimate(SCORES, LABELS, level=0.9)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_perfect_separation_says_so() -> None:
    normal = auc_estimate([1, 2, 3, 4], [0, 0, 1, 1])
    logit = auc_estimate([1, 2, 3, 4], [0, 0, 1, 1], interval="logit")
    assert (normal.low, normal.high) == (1, 1)
    assert math.isnan(logit.low)
    assert normal.reason == logit.reason == "the classes are perfectly separated: DeLong's variance is 0"


@pytest.mark.parametrize("interval", ["normal", "logit"])
def test_equal_scores_say_that_the_interval_has_no_width(interval) -> None:
    estimate = auc_estimate([2, 2, 2, 2, 2], [0, 0, 1, 1, 1], interval=interval)
    assert (estimate.value, estimate.low, estimate.high) == (0.5, 0.5, 0.5)
    assert estimate.reason == "DeLong's variance is 0, as when all scores are equal"


def test_identical_scores_do_not_differ() -> None:
    comparison = compare_aucs(SCORES, [10 * score for score in SCORES], LABELS)
    assert (comparison.z, comparison.p, comparison.difference.value) == (0, 1, 0)
    assert (comparison.difference.low, comparison.difference.high) == (0, 0)
    assert comparison.difference.reason == "the variance of the difference is 0"


def test_certain_difference_without_variance_has_infinite_z() -> None:
    comparison = compare_aucs([1, 2, 3, 4], [4, 3, 2, 1], [0, 0, 1, 1])
    assert (comparison.z, comparison.p) == (math.inf, 0)
    assert comparison.difference.reason == "the variance of the difference is 0"
    assert compare_aucs([4, 3, 2, 1], [1, 2, 3, 4], [0, 0, 1, 1]).z == -math.inf


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([1, math.nan], [0, 1], "found nan at position 1"),
        ([math.inf, 1], [0, 1], "found inf at position 0"),
        ([1, 2], [0, 2], "labels must hold only 0 and 1"),
        ([1, 2], [0, math.nan], "labels must hold only 0 and 1"),
        ([1, 2, 3], [0, 1], r"3 scores for labels of shape \(2,\)"),
        ([[1, 2]], [[0, 1]], "scores must be one-dimensional"),
    ],
)
def test_impossible_input_is_refused(scores: list, labels: list, message: str) -> None:
    for function in (auc, delong, auc_estimate, roc_curve):
        with pytest.raises(ValueError, match=message):
            function(scores, labels)  # type: ignore[operator]


def test_unknown_intervals_and_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="interval must be one of"):
        auc_estimate(SCORES, LABELS, interval="exact")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        compare_aucs(SCORES, SCORES, LABELS, level=95)


# Curve


@settings(deadline=None, max_examples=60)
@given(samples(min_class=1))
def test_curve_has_the_points_of_scikit_learn_and_the_area_of_the_auc(sample: tuple) -> None:
    scores, _, labels = sample
    curve = roc_curve(scores, labels)
    x, y, thresholds = sklearn_metrics.roc_curve(labels, scores, drop_intermediate=False)
    assert curve.x == pytest.approx(x)
    assert curve.y == pytest.approx(y)
    assert np.array_equal(curve.thresholds, thresholds)
    assert curve.area() == pytest.approx(auc(scores, labels), abs=1e-13)


def test_curve_with_unmarked_cases_ends_in_a_straight_line() -> None:
    scores, labels = [-math.inf, 1, -math.inf, 2], [0, 0, 1, 1]
    curve = roc_curve(scores, labels)
    assert list(zip(curve.x, curve.y, strict=True)) == [(0, 0), (0, 0.5), (0.5, 0.5)]
    assert curve.area() == auc(scores, labels)


# Reference results of pROC


def van_dyke(shared_data: Path) -> tuple[dict, list[list[np.ndarray]], np.ndarray]:
    """Reference, scores by [modality][reader], labels."""
    study = json.loads((shared_data / "froc" / "vandyke_roc.json").read_text())
    reference = json.loads((shared_data / "froc" / "vandyke_roc.reference.json").read_text())["delong"]
    healthy, diseased = study["n_nondiseased"], study["n_diseased"]

    def scores(i: int, j: int) -> np.ndarray:
        values = np.full(healthy + diseased, np.nan)
        for case, rating in study["NL"][i][j]:
            values[case] = rating
        for case, _, rating in study["LL"][i][j]:
            values[healthy + case] = rating
        return values

    labels = np.repeat([0, 1], [healthy, diseased])
    return reference, [[scores(i, j) for j in range(5)] for i in range(2)], labels


@pytest.mark.shared_data
def test_auc_variance_and_interval_equal_those_of_proc(shared_data: Path) -> None:
    reference, scores, labels = van_dyke(shared_data)
    assert len(reference["single"]) == 10
    for entry in reference["single"]:
        values = scores[entry["modality"]][entry["reader"]]
        estimate = auc_estimate(values, labels)
        assert estimate.value == pytest.approx(entry["auc"], abs=1e-12)
        assert delong(values, labels).variance == pytest.approx(entry["var_delong"], abs=1e-12)
        assert estimate.low == pytest.approx(entry["ci95_lower"], abs=1e-12)
        assert estimate.high == pytest.approx(entry["ci95_upper"], abs=1e-12)


@pytest.mark.shared_data
def test_paired_comparison_equals_that_of_proc(shared_data: Path) -> None:
    reference, scores, labels = van_dyke(shared_data)
    assert len(reference["paired_modality0_vs_1"]) == 5
    for entry in reference["paired_modality0_vs_1"]:
        result = compare_aucs(scores[0][entry["reader"]], scores[1][entry["reader"]], labels)
        assert result.z == pytest.approx(entry["z"], abs=1e-12)
        assert result.p == pytest.approx(entry["p"], abs=1e-12)
        assert result.covariance == pytest.approx(entry["cov"], abs=1e-12)
