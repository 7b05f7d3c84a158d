from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from medpipe.metrics.free_response import FreeResponseData, equal_weights
from medpipe.metrics.froc import (
    CAMELYON16_RATES,
    CURVES,
    LUNA16_RATES,
    NODE21_RATES,
    compare_froc_scores,
    froc_estimates,
    froc_score,
    froc_statistic,
    operating_curve,
)
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.jafroc import figure_of_merit

Image = tuple[list[float], list["float | None"]]
"""Ratings of the false positives, rating of each lesion (None: missed)."""


def build(images: list[Image], weights: list[float] | None = None) -> FreeResponseData:
    """Data of the images; those without lesions must come first."""
    healthy = sum(not lesions for _, lesions in images)
    nls = [(k, rating) for k, (fps, _) in enumerate(images) for rating in fps]
    lls = [
        (k - healthy, lesion, rating)
        for k, (_, lesions) in enumerate(images)
        for lesion, rating in enumerate(lesions)
        if rating is not None
    ]
    per_case = [len(lesions) for _, lesions in images[healthy:]]
    return FreeResponseData(
        n_nondiseased=healthy,
        n_diseased=len(images) - healthy,
        nl_case=[case for case, _ in nls],
        nl_rating=[rating for _, rating in nls],
        ll_case=[case for case, _, _ in lls],
        ll_lesion=[lesion for _, lesion, _ in lls],
        ll_rating=[rating for _, _, rating in lls],
        lesions_per_case=per_case,
        lesion_weights=equal_weights(per_case) if weights is None else weights,
    )


# Two images with a lesion each, scores .9 and .2, and false positives .3 and .6.
ALL_FOUND = build([([0.3], [0.9]), ([0.6], [0.2])])

# Three non-diseased cases and two diseased ones (one with two lesions weighted .6 and .4).
HAND_EXAMPLE = build([([2, 1], []), ([], []), ([3], []), ([1], [3, None]), ([4], [None])], [0.6, 0.4, 1])


# Curves


@pytest.mark.parametrize(
    ("name", "x", "y", "thresholds"),
    [
        ("ROC", [0, 0, 1 / 3, 2 / 3], [0, 1 / 2, 1, 1], [math.inf, 4, 3, 2]),
        ("AFROC", [0, 1 / 3, 2 / 3], [0, 1 / 3, 1 / 3], [math.inf, 3, 2]),
        ("wAFROC", [0, 1 / 3, 2 / 3], [0, 0.3, 0.3], [math.inf, 3, 2]),
        ("AFROC1", [0, 0.2, 0.4, 0.6, 0.8], [0, 0, 1 / 3, 1 / 3, 1 / 3], [math.inf, 4, 3, 2, 1]),
        ("wAFROC1", [0, 0.2, 0.4, 0.6, 0.8], [0, 0, 0.3, 0.3, 0.3], [math.inf, 4, 3, 2, 1]),
        ("FROC", [0, 0.2, 0.4, 0.6, 1], [0, 0, 1 / 3, 1 / 3, 1 / 3], [math.inf, 4, 3, 2, 1]),
    ],
)
def test_hand_example(name: str, x: list[float], y: list[float], thresholds: list[float]) -> None:
    curve = operating_curve(HAND_EXAMPLE, name)
    assert curve.x == pytest.approx(x)
    assert curve.y == pytest.approx(y)
    assert curve.thresholds.tolist() == thresholds
    assert curve.name == name
    assert curve.extends is (name != "FROC")


ratings = st.integers(1, 4).map(float) | st.floats(-9, 9)


@st.composite
def studies(draw: st.DrawFn, min_healthy: int = 1, min_diseased: int = 1) -> list[Image]:
    fps = st.lists(ratings, max_size=3)
    healthy = draw(st.lists(fps, min_size=min_healthy, max_size=5))
    diseased = draw(
        st.lists(
            st.tuples(fps, st.lists(st.none() | ratings, min_size=1, max_size=3)),
            min_size=min_diseased,
            max_size=5,
        )
    )
    return [(marks, []) for marks in healthy] + diseased


@settings(deadline=None, max_examples=150)
@given(studies(), st.randoms(use_true_random=False))
def test_area_under_every_curve_is_its_figure_of_merit(images: list[Image], random: object) -> None:
    raw = [[random.random() + 0.01 for _ in lesions] for _, lesions in images if lesions]  # type: ignore[attr-defined]
    data = build(images, [weight / sum(case) for case in raw for weight in case])
    for name in CURVES:
        figure = "HrAuc" if name == "ROC" else name
        assert operating_curve(data, name).area() == pytest.approx(figure_of_merit(data, figure), abs=1e-13)


@settings(deadline=None, max_examples=60)
@given(studies())
def test_curves_rise_from_the_origin_and_stay_in_the_unit_square(images: list[Image]) -> None:
    data = build(images)
    for name in CURVES:
        curve = operating_curve(data, name)
        assert (curve.x[0], curve.y[0], curve.thresholds[0]) == (0, 0, math.inf)
        assert (np.diff(curve.x) >= 0).all()
        assert (np.diff(curve.y) >= 0).all()
        assert (np.diff(curve.thresholds) < 0).all()
        assert curve.y.max() <= 1 + 1e-12
        if curve.extends:
            assert curve.x.max() <= 1


def test_curves_without_the_cases_they_need_are_refused() -> None:
    only_diseased, only_healthy = build([([1], [2])]), build([([1], [])])
    for name in ("ROC", "AFROC", "wAFROC"):
        with pytest.raises(ValueError, match=f"the {name} curve needs non-diseased cases"):
            operating_curve(only_diseased, name)
    for name in CURVES:
        with pytest.raises(ValueError, match=f"the {name} curve needs diseased cases"):
            operating_curve(only_healthy, name)
    for name in ("AFROC1", "wAFROC1"):
        assert operating_curve(only_diseased, name).area() == 1


def test_unknown_curves_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown curve 'froc'; choose from ROC, AFROC"):
        operating_curve(HAND_EXAMPLE, "froc")


# Sensitivity at fixed rates


def test_last_operating_point_is_kept_when_every_lesion_is_found() -> None:
    # monai.metrics.froc 1.6.1 ends at (1.0, 0.5) here.
    curve = operating_curve(ALL_FOUND, "FROC")
    assert list(zip(curve.x, curve.y, strict=True)) == [(0, 0), (0, 0.5), (0.5, 0.5), (1, 0.5), (1, 1)]
    assert froc_score(ALL_FOUND).end_point == (1, 1)


def test_challenge_rates() -> None:
    assert LUNA16_RATES == (0.125, 0.25, 0.5, 1, 2, 4, 8)
    assert CAMELYON16_RATES == (0.25, 0.5, 1, 2, 4, 8)
    assert NODE21_RATES == (0.25,)


def test_highest_point_counts_at_its_abscissa_and_rates_beyond_the_end_keep_the_last() -> None:
    score = froc_score(ALL_FOUND)
    assert score.sensitivities == (0.5, 0.5, 0.5, 1, 1, 1, 1)
    assert score.beyond == (False, False, False, False, True, True, True)
    assert score.mean == pytest.approx(5.5 / 7)
    assert score.rates == LUNA16_RATES
    assert score.reason is None


# Points (0, 0), (.5, 0), (.5, .5), (1, .5), (1.5, .5), (1.5, 1).
STAIRS = build([([9, 7], [8]), ([6], [5])])


@pytest.mark.parametrize(
    ("rate", "linear", "step"),
    [
        (0, 0, 0),
        (0.25, 0, 0),
        (0.5, 0.5, 0.5),
        (0.75, 0.5, 0.5),
        (1.25, 0.5, 0.5),
        (1.5, 1, 1),
        (2, 1, 1),
    ],
)
def test_no_interpolation_up_a_vertical_part(rate: float, linear: float, step: float) -> None:
    assert froc_score(STAIRS, [rate]).sensitivities == (linear,)
    assert froc_score(STAIRS, [rate], "step").sensitivities == (step,)


def test_linear_interpolation_between_slanted_points_and_step_below() -> None:
    # One false positive and one lesion share each rating: points (0, 0), (.5, .5), (1, 1).
    data = build([([2], [2]), ([1], [1])])
    assert froc_score(data, [0.125, 0.75]).sensitivities == (0.125, 0.75)
    assert froc_score(data, [0.125, 0.75], "step").sensitivities == (0, 0.5)
    assert froc_score(data, [0.75], "step").interpolation == "step"


def test_no_lesion_is_nan_with_a_reason() -> None:
    score = froc_score(build([([1], []), ([], [])]))
    assert all(math.isnan(value) for value in (*score.sensitivities, score.mean, score.end_point[1]))
    assert score.end_point[0] == 0.5
    assert score.reason == "sensitivity needs lesions, and there are none"
    estimates = froc_estimates(build([([1], []), ([], [])]), [0.5, 1])
    assert len(estimates) == 3
    assert all(math.isnan(e.value) and e.reason == score.reason for e in estimates)


def test_no_false_positive_is_the_maximum_at_every_rate() -> None:
    score = froc_score(build([([], []), ([], [3, 2, None])]), [0, 0.125, 8])
    assert score.sensitivities == pytest.approx((2 / 3,) * 3)
    assert score.beyond == (False, True, True)


def test_no_candidate_is_zero_at_every_rate() -> None:
    for interpolation in ("linear", "step"):
        score = froc_score(build([([], []), ([], [None])]), interpolation=interpolation)
        assert set(score.sensitivities) == {0}
        assert score.end_point == (0, 0)
        assert all(score.beyond)


def test_images_without_candidates_count() -> None:
    with_empty = build([([], []), ([], []), ([9, 7], [8]), ([6], [5])])
    assert froc_score(with_empty).end_point == (0.75, 1)
    assert froc_score(STAIRS).end_point == (1.5, 1)


def oracle_points(images: list[Image]) -> list[tuple[float, float]]:
    fps = [rating for marks, _ in images for rating in marks]
    lesions = [rating for _, ratings in images for rating in ratings]
    hits = [rating for rating in lesions if rating is not None]
    return [(0.0, 0.0)] + [
        (sum(r >= t for r in fps) / len(images), sum(r >= t for r in hits) / len(lesions))
        for t in sorted({*fps, *hits}, reverse=True)
    ]


def oracle(images: list[Image], rate: float, interpolation: str) -> float:
    points = oracle_points(images)
    below = [point for point in points if point[0] <= rate]
    above = [point for point in points if point[0] > rate]
    best = max(y for _, y in below)
    if interpolation == "step" or not above or below[-1][0] == rate:
        return best
    (x0, _), (x1, y1) = below[-1], above[0]
    return best + (y1 - best) * (rate - x0) / (x1 - x0)


rates = st.sampled_from(LUNA16_RATES) | st.floats(0, 3) | st.sampled_from([0.1, 0.2, 1 / 3, 0.6])


@settings(deadline=None, max_examples=150)
@given(studies(min_healthy=0), rates, st.sampled_from(["linear", "step"]))
def test_sensitivity_equals_the_loop_over_thresholds(images: list[Image], rate: float, interpolation: str) -> None:
    score = froc_score(build(images), [rate], interpolation)  # type: ignore[arg-type]
    assert score.sensitivities[0] == pytest.approx(oracle(images, rate, interpolation), abs=1e-12)
    points = oracle_points(images)
    assert score.end_point == points[-1]
    assert score.beyond == (rate > points[-1][0],)


@settings(deadline=None, max_examples=100)
@given(studies(min_healthy=0), st.sampled_from(["linear", "step"]), st.data())
def test_counts_weigh_images_like_repeating_them(images: list[Image], interpolation: str, data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(images), max_size=len(images)))
    sample = [image for image, count in zip(images, counts, strict=True) for _ in range(count)]
    assume(any(lesions for _, lesions in sample))
    statistic = froc_statistic(build(images), [0.25, 1], interpolation)  # type: ignore[arg-type]
    expected = [oracle(sample, rate, interpolation) for rate in (0.25, 1)]
    assert statistic(np.array(counts)) == pytest.approx([*expected, np.mean(expected)], abs=1e-12)


def test_sample_without_lesions_is_nan() -> None:
    statistic = froc_statistic(build([([1], []), ([], [2])]), [0.5])
    assert np.isnan(statistic(np.array([1, 0]))).all()


def simulated(n: int = 40) -> FreeResponseData:
    generator = np.random.default_rng(7)

    def fps() -> list[float]:
        return generator.normal(size=generator.poisson(1.0)).tolist()

    healthy: list[Image] = [(fps(), []) for _ in range(n)]
    return build(healthy + [(fps(), [float(generator.normal(1)), None]) for _ in range(n)])


@pytest.mark.parametrize("interpolation", ["linear", "step"])
def test_estimates_have_the_values_of_the_score(interpolation: str) -> None:
    data = simulated()
    score = froc_score(data, LUNA16_RATES, interpolation)  # type: ignore[arg-type]
    estimates = froc_estimates(data, LUNA16_RATES, interpolation, Bootstrap(n_resamples=200))  # type: ignore[arg-type]
    assert [e.value for e in estimates] == pytest.approx([*score.sensitivities, score.mean], abs=1e-15)
    for estimate in estimates[:3]:
        assert estimate.low < estimate.value < estimate.high
    assert all(estimate.n == 80 for estimate in estimates)


def test_lesions_are_counted_anew_in_each_resample() -> None:
    # Half of every case's lesions are found whatever is drawn, so the last sensitivity does not vary.
    last = froc_estimates(simulated(), [100.0], bootstrap=Bootstrap(n_resamples=100))[0]
    assert (last.low, last.value, last.high) == (0.5, 0.5, 0.5)


def test_comparison_gives_each_rate_and_the_mean() -> None:
    data = simulated()
    worse = replace(data, ll_rating=data.ll_rating - 3)
    comparisons = compare_froc_scores(data, worse, [0.125, 0.25], bootstrap=Bootstrap(n_resamples=199))
    assert len(comparisons) == 3
    for comparison in comparisons:
        assert comparison.difference.low > 0
        assert comparison.p == pytest.approx(2 / 200)
    same = compare_froc_scores(data, data, [0.25, 1], bootstrap=Bootstrap(n_resamples=50))
    assert [c.difference.value for c in same] == [0, 0, 0]
    assert [c.p for c in same] == [1, 1, 1]


def test_readings_do_not_differ_at_a_rate_beyond_both_end_points() -> None:
    data = simulated()
    worse = replace(data, ll_rating=data.ll_rating - 3)
    comparison = compare_froc_scores(data, worse, [100.0], bootstrap=Bootstrap(n_resamples=50))[0]
    assert (comparison.difference.value, comparison.p) == (0, 1)


def test_comparison_needs_the_same_images_and_lesions() -> None:
    with pytest.raises(ValueError, match="not readings of the same cases"):
        compare_froc_scores(ALL_FOUND, replace(STAIRS, case_ids=("a", "b")))
    healthy = build([([1], []), ([], [])])
    with pytest.raises(ValueError, match="needs lesions"):
        compare_froc_scores(healthy, healthy)


@pytest.mark.parametrize("bad", [[], [-1.0], [math.nan], [math.inf]])
def test_rates_are_finite_and_not_negative(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="rates must be finite"):
        froc_score(ALL_FOUND, bad)


def test_unknown_interpolation_is_refused() -> None:
    with pytest.raises(ValueError, match="interpolation must be one of"):
        froc_score(ALL_FOUND, [1], "cubic")  # type: ignore[arg-type]


@pytest.mark.shared_data
def test_areas_of_real_readings_are_the_reference_figures(shared_data: Path) -> None:
    study = json.loads((shared_data / "froc" / "fed_froc.json").read_text())
    reference = json.loads((shared_data / "froc" / "fed_froc.reference.json").read_text())
    figures = reference["computed"]["figures_of_merit"]
    nls, lls = np.array(study["NL"][2][1]), np.array(study["LL"][2][1])
    data = FreeResponseData(
        n_nondiseased=study["n_nondiseased"],
        n_diseased=study["n_diseased"],
        nl_case=nls[:, 0],
        nl_rating=nls[:, 1],
        ll_case=lls[:, 0],
        ll_lesion=lls[:, 1],
        ll_rating=lls[:, 2],
        lesions_per_case=study["lesions_per_case"],
        lesion_weights=np.concatenate(study["lesion_weights"]),
    )
    for name in CURVES:
        expected = figures["HrAuc" if name == "ROC" else name][2][1]
        assert operating_curve(data, name).area() == pytest.approx(expected, abs=1e-12)
    assert froc_score(data).end_point == pytest.approx(
        (figures["MaxNLFAllCases"][2][1], figures["MaxLLF"][2][1]), abs=1e-12
    )
