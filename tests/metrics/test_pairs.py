from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.jafroc import figure_of_merit, figure_of_merit_analytic, figure_of_merit_estimate, figure_parts
from medpipe.metrics.roc import auc_estimate

AREAS = ("HrAuc", "AFROC", "wAFROC", "AFROC1", "wAFROC1", "FROC")


def psi(x: float, z: float) -> float:
    return 0.5 if x == z else float(x < z)


@given(seed=st.integers(0, 10**6), name=st.sampled_from(AREAS))
@settings(max_examples=60, deadline=None)
def test_sums_by_case_are_those_of_the_double_loop(simulated, seed: int, name: str) -> None:
    sample = figure_parts(simulated(seed), name)
    rows, columns = np.zeros(sample.n_cases), np.zeros(sample.n_cases)
    for x, x_case in zip(sample.x, sample.x_case, strict=True):
        for z, z_case, weight in zip(sample.z, sample.z_case, sample.z_weight, strict=True):
            rows[x_case] += weight * psi(x, z)
            columns[z_case] += weight * psi(x, z)
    found = sample.sums_by_case()
    np.testing.assert_allclose(found[0], rows, atol=1e-12)
    np.testing.assert_allclose(found[1], columns, atol=1e-12)


@given(seed=st.integers(0, 10**6), name=st.sampled_from(AREAS))
@settings(max_examples=60, deadline=None)
def test_influences_sum_to_zero_and_come_with_the_figure(simulated, seed: int, name: str) -> None:
    data = simulated(seed)
    figure, influence = figure_parts(data, name).influence()
    assert figure == pytest.approx(figure_of_merit(data, name), abs=1e-12)
    assert influence.sum() == pytest.approx(0, abs=1e-12)


@given(seed=st.integers(0, 10**6), name=st.sampled_from(AREAS))
@settings(max_examples=40, deadline=None)
def test_an_influence_is_the_derivative_by_the_weight_of_the_case(simulated, seed: int, name: str) -> None:
    data = simulated(seed)
    statistic = figure_parts(data, name).statistic()
    many, case = (
        10**6,
        seed % data.n_cases,
    )  # counts are whole numbers, so one case in a million times all is a small step
    counts = np.full(data.n_cases, many)
    counts[case] += 1
    slope = (statistic(counts) - statistic(np.full(data.n_cases, many))) * many
    assert slope == pytest.approx(figure_parts(data, name).influence()[1][case], abs=1e-5)


def test_with_one_mark_per_case_the_interval_is_delongs() -> None:
    draw = np.random.default_rng(3)
    labels = draw.random(80) < 0.4
    scores = np.round(draw.normal(size=80) + labels, 1)
    analytic = figure_of_merit_analytic(FreeResponseData.from_scores(scores, labels), "Wilcoxon")
    delong = auc_estimate(scores, labels)
    assert (analytic.value, analytic.low, analytic.high) == pytest.approx((delong.value, delong.low, delong.high))


@pytest.mark.parametrize("name", AREAS)
def test_the_analytic_interval_is_near_the_bootstraps_on_a_large_sample(simulated, name: str) -> None:
    data = simulated(5, 600, 500, levels=200)
    analytic, bootstrap = figure_of_merit_analytic(data, name), figure_of_merit_estimate(data, name, Bootstrap(2000))
    assert (analytic.high - analytic.low) / (bootstrap.high - bootstrap.low) == pytest.approx(1, abs=0.08)


def test_images_of_one_patient_widen_the_analytic_interval_as_they_widen_the_bootstraps() -> None:
    draw = np.random.default_rng(0)
    patient = np.repeat(np.arange(150), 4)
    labels = np.repeat(draw.random(150) < 0.5, 4)
    scores = np.repeat(draw.normal(size=150), 4) + 0.1 * draw.normal(size=600) + labels
    alone = FreeResponseData.from_scores(scores, labels)
    together = FreeResponseData.from_scores(scores, labels, [str(p) for p in patient])
    widths = [
        estimate.high - estimate.low
        for estimate in (
            figure_of_merit_analytic(alone, "Wilcoxon"),
            figure_of_merit_analytic(together, "Wilcoxon"),
            figure_of_merit_estimate(together, "Wilcoxon", Bootstrap(2000)),
        )
    ]
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.1)
    assert widths[1] == pytest.approx(widths[2], rel=0.08)


def test_one_diseased_case_has_no_analytic_variance(simulated) -> None:
    estimate = figure_of_merit_analytic(simulated(1, 5, 1), "wAFROC")
    assert np.isnan(estimate.low)
    assert "one patient" in str(estimate.reason)


def test_a_share_has_no_structural_components(simulated) -> None:
    with pytest.raises(ValueError, match="MaxLLF has no structural components"):
        figure_of_merit_analytic(simulated(1), "MaxLLF")


def test_without_nondiseased_cases_the_reason_is_given(simulated) -> None:
    assert "non-diseased" in str(figure_of_merit_analytic(simulated(1, 0, 4), "AFROC").reason)
    assert not np.isnan(figure_of_merit_analytic(simulated(1, 0, 40), "wAFROC1").low)
