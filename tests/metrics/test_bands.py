from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.metrics.bands import free_response_band
from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.froc import CURVES, curve_points, operating_curve
from medpipe.metrics.intervals import Bootstrap


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


def test_a_single_diseased_patient_gives_no_band(simulated) -> None:
    data = simulated(1, 8, 1)
    assert free_response_band(data, operating_curve(data, "AFROC"), Bootstrap(10)) is None


def test_the_same_seed_draws_the_same_band(simulated) -> None:
    data = simulated(2)
    curve = operating_curve(data, "wAFROC")
    first, again = (free_response_band(data, curve, Bootstrap(50, seed=4)) for _ in range(2))
    np.testing.assert_array_equal(first.low, again.low)
