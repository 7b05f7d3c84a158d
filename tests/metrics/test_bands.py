from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.metrics.bands import curve_band, few_resamples, free_response_band
from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.froc import CURVES, curve_points, operating_curve
from medpipe.metrics.intervals import Bootstrap, Cohort
from medpipe.metrics.precision_recall import precision_recall_curve, precision_recall_points
from medpipe.metrics.roc import roc_curve


@given(seed=st.integers(0, 10**6), name=st.sampled_from(CURVES))
@settings(max_examples=60, deadline=None)
def test_with_every_case_once_the_points_are_those_of_the_curve(simulated, seed: int, name: str) -> None:
    data = simulated(seed)
    x, y = curve_points(data, name)(np.ones(data.n_cases, dtype=np.int64))
    line_x, line_y = operating_curve(data, name).line()
    np.testing.assert_allclose(x, line_x, atol=1e-12)
    np.testing.assert_allclose(y, line_y, atol=1e-12)


@given(seed=st.integers(0, 10**6), name=st.sampled_from(CURVES))
@settings(max_examples=40, deadline=None)
def test_points_of_a_resample_are_those_of_the_data_with_its_cases_repeated(simulated, seed: int, name: str) -> None:
    data = simulated(seed)
    counts = data.cohort.counts(seed, 0)
    x, y = curve_points(data, name)(counts)
    expected_x, expected_y = operating_curve(repeated(data, counts), name).line()
    grid = np.linspace(0, expected_x.max(), 20)
    np.testing.assert_allclose(np.interp(grid, x, y), np.interp(grid, expected_x, expected_y), atol=1e-9)


def repeated(data: FreeResponseData, counts: np.ndarray) -> FreeResponseData:
    """Each case as often as it was drawn, written out."""
    cases = np.repeat(np.arange(data.n_cases), counts)
    healthy, diseased = cases[cases < data.n_nondiseased], cases[cases >= data.n_nondiseased] - data.n_nondiseased
    nl = [(new, r) for new, old in enumerate(cases) for r in data.nl_rating[data.nl_case == old]]
    ll, weights = [], []
    for new, old in enumerate(diseased):
        own = data.ll_case == old
        ll += [(new, lesion, r) for lesion, r in zip(data.ll_lesion[own], data.ll_rating[own], strict=True)]
        weights += data.lesion_weights[data.lesion_case == old].tolist()
    return FreeResponseData(
        healthy.size,
        diseased.size,
        np.array([c for c, _ in nl], dtype=np.int64),
        np.array([r for _, r in nl]),
        np.array([c for c, _, _ in ll], dtype=np.int64),
        np.array([n for _, n, _ in ll], dtype=np.int64),
        np.array([r for _, _, r in ll]),
        data.lesions_per_case[diseased],
        np.array(weights),
    )


@pytest.mark.parametrize("name", ["ROC", "AFROC", "wAFROC", "FROC"])
def test_the_band_surrounds_the_curve_and_narrows_with_more_cases(simulated, name: str) -> None:
    widths = []
    for n in (30, 480):
        data = simulated(3, n, n, levels=40)
        curve = operating_curve(data, name)
        band = free_response_band(data, curve, Bootstrap(300))
        middle = slice(10, 90)
        value = np.interp(band.x[middle], *curve.line())
        assert (band.low[middle] <= value + 0.02).all()
        assert (band.high[middle] >= value - 0.02).all()
        widths.append((band.high - band.low)[middle].mean())
    assert widths[1] < widths[0] / 2.5


@pytest.mark.parametrize("levels", [6, 10**6])
def test_the_band_of_precision_holds_the_quantiles_of_curves_drawn_by_hand(levels: int) -> None:
    draw = np.random.default_rng(levels)
    labels = draw.random(40) < 0.4
    scores, cohort, bootstrap = draw.integers(0, levels, 40) + 0.0, Cohort(labels), Bootstrap(80, seed=3, level=0.9)
    band = curve_band(
        precision_recall_points(scores, labels), precision_recall_curve(scores, labels), cohort, bootstrap
    )
    ordinates = []
    for number in range(80):
        counts = cohort.counts(3, number)
        score, label = np.repeat(scores, counts), np.repeat(labels, counts)
        above = [score >= threshold for threshold in np.unique(score)[::-1]]
        points = [(label[part].sum() / label.sum(), label[part].mean()) for part in above]
        ordinates.append([next(y for recall, y in points if recall >= x - 1e-9) for x in band.x])
    low, high = np.quantile(ordinates, (0.05, 0.95), axis=0)
    np.testing.assert_allclose(band.low, low, atol=1e-12)
    np.testing.assert_allclose(band.high, high, atol=1e-12)


def test_the_band_of_an_roc_curve_holds_the_quantiles_of_curves_drawn_by_hand() -> None:
    draw = np.random.default_rng(0)
    labels = np.repeat([0, 1], 15)
    scores, bootstrap = draw.normal(size=30) + labels, Bootstrap(60, seed=1)
    data, ordinates = FreeResponseData.from_scores(scores, labels), []
    band = free_response_band(data, operating_curve(data, "ROC"), bootstrap)
    for number in range(60):
        counts = data.cohort.counts(1, number)
        x, y = roc_curve(np.repeat(scores, counts), np.repeat(labels, counts)).line()
        ordinates.append(np.interp(band.x, x, y))
    low, high = np.quantile(ordinates, (0.025, 0.975), axis=0)
    np.testing.assert_allclose(band.low, low, atol=1e-12)
    np.testing.assert_allclose(band.high, high, atol=1e-12)


@pytest.mark.parametrize(
    ("asked", "n_cases", "used"), [(2000, 100, 2000), (2000, 20_000, 1000), (2000, 10**6, 200), (50, 10**6, 50)]
)
def test_large_samples_are_resampled_less_often_for_a_band(asked: int, n_cases: int, used: int) -> None:
    assert few_resamples(Bootstrap(asked, seed=7), n_cases) == Bootstrap(used, seed=7)


def test_a_single_diseased_patient_gives_no_band(simulated) -> None:
    data = simulated(1, 8, 1)
    assert free_response_band(data, operating_curve(data, "AFROC"), Bootstrap(10)) is None


def test_the_same_seed_draws_the_same_band(simulated) -> None:
    data = simulated(2)
    curve = operating_curve(data, "wAFROC")
    first, again = (free_response_band(data, curve, Bootstrap(50, seed=4)) for _ in range(2))
    np.testing.assert_array_equal(first.low, again.low)
