"""Repeated trainings, by hand and against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from medpipe.metrics.repeats import mean_over_repeats, paired_difference, spread

T_2 = 4.302652729911275  # 97.5 % quantile of Student's t with 2 degrees of freedom, from a printed table


def test_mean_and_interval_of_three_runs_by_hand() -> None:
    found = mean_over_repeats([0.8, 0.9, 1.0])
    half = T_2 * 0.1 / math.sqrt(3)
    assert found.value == pytest.approx(0.9)
    assert (found.low, found.high) == pytest.approx((0.9 - half, 0.9 + half))
    assert (found.n, found.level, found.reason) == (3, 0.95, None)
    assert spread([0.8, 0.9, 1.0]) == pytest.approx(0.1)


def test_a_difference_is_paired_by_seed_and_not_by_place() -> None:
    first = {2: 0.9, 0: 0.7, 1: 0.8}
    second = {0: 0.5, 1: 0.5, 2: 0.8}
    found = paired_difference(first, second)  # 0.2, 0.3, 0.1
    assert found.value == pytest.approx(0.2)
    assert found.high - found.value == pytest.approx(T_2 * 0.1 / math.sqrt(3))


def test_seeds_that_only_one_setting_has_are_left_out() -> None:
    found = paired_difference({0: 1.0, 1: 2.0, 7: 9.0}, {0: 0.5, 1: 1.0, 8: 9.0})
    assert (found.value, found.n) == (pytest.approx(0.75), 2)


@pytest.mark.parametrize(
    ("values", "mean", "reason"), [([], math.nan, "no run has ended well"), ([0.4], 0.4, "one run has no spread")]
)
def test_too_few_runs_are_undefined_with_a_reason(values, mean, reason) -> None:
    found = mean_over_repeats(values)
    assert found.value == pytest.approx(mean, nan_ok=True)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.reason == reason
    assert math.isnan(spread(values))


def test_settings_without_a_common_seed_have_no_difference() -> None:
    found = paired_difference({0: 1.0}, {1: 1.0})
    assert math.isnan(found.value)
    assert found.reason == "no seed has ended well in both"


def test_runs_that_agree_have_an_interval_without_width_that_says_so() -> None:
    found = paired_difference({0: 1.0, 1: 1.0}, {0: 0.5, 1: 0.5})
    assert (found.low, found.value, found.high) == (0.5, 0.5, 0.5)
    assert found.reason == "all repeats agree"


def test_a_value_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        mean_over_repeats([0.5, math.nan])


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=12).filter(
        lambda pairs: np.ptp([a - b for a, b in pairs]) > 1e-3
    ),
    st.sampled_from([0.8, 0.95, 0.99]),
)
def test_the_paired_interval_is_that_of_scipy(pairs, level) -> None:
    first, second = (dict(enumerate(values)) for values in zip(*pairs, strict=True))
    found = paired_difference(first, second, level)
    expected = stats.ttest_rel(list(first.values()), list(second.values())).confidence_interval(level)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
