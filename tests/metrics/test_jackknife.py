from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.jackknife import jackknife_covariance, leave_one_out, pseudovalues, study_leave_one_out
from medpipe.metrics.jafroc import FIGURES_OF_MERIT, figure_of_merit, figure_of_merit_statistic

FREE_RESPONSE = [name for name in FIGURES_OF_MERIT if name != "Wilcoxon"]

# Non-diseased cases with NLs {2, 1}, {}, {3}; diseased: NL {1}, lesions 3 (.6) and unmarked (.4); NL {4}, one unmarked.
HAND_EXAMPLE = FreeResponseData(
    n_nondiseased=3,
    n_diseased=2,
    nl_case=[0, 0, 2, 3, 4],
    nl_rating=[2, 1, 3, 1, 4],
    ll_case=[0],
    ll_lesion=[0],
    ll_rating=[3],
    lesions_per_case=[2, 1],
    lesion_weights=[0.6, 0.4, 1],
)


def about(data: FreeResponseData, name: str) -> range:
    """The cases that are left out."""
    first = data.n_nondiseased if name in ("MaxLLF", "HrSe") else 0
    return range(first, data.n_nondiseased if name in ("MaxNLF", "HrSp") else data.n_cases)


@given(seed=st.integers(0, 10**6), name=st.sampled_from(FREE_RESPONSE), levels=st.sampled_from([1, 3, 100]))
@settings(max_examples=150, deadline=None)
def test_leaving_a_case_out_equals_counting_it_zero_times(simulated_study, seed: int, name: str, levels: int) -> None:
    data = simulated_study(seed, 1, 1, 2 + seed % 7, 2 + seed % 5, levels).readings[0][0]
    statistic, values = figure_of_merit_statistic(data, name), leave_one_out(data, name)
    cases = about(data, name)
    assert values.shape == (len(cases),)
    for case, value in zip(cases, values, strict=True):
        counts = np.ones(data.n_cases, dtype=np.int64)
        counts[case] = 0
        assert value == pytest.approx(statistic(counts), abs=1e-12)


def test_hand_example() -> None:
    afroc, afroc1 = leave_one_out(HAND_EXAMPLE, "AFROC"), leave_one_out(HAND_EXAMPLE, "AFROC1")
    assert afroc[2] == pytest.approx(3 / 6)  # highest NLs 2, none; lesions 3, none, none: 1 + 0 + 0 + 1 + 1/2 + 1/2
    assert afroc[4] == pytest.approx(3 / 6)  # highest NLs 2, none, 3; lesions 3, none: 1 + 0 + 1 + 1/2 + 1/2 + 0
    assert afroc1[3] == pytest.approx(0.5 / 4)  # highest NLs 2, none, 3, 4 against one unmarked lesion
    assert leave_one_out(HAND_EXAMPLE, "MaxLLF").tolist() == [0, 1 / 2]
    assert leave_one_out(HAND_EXAMPLE, "MaxNLF").tolist() == [1 / 2, 3 / 2, 1]
    assert leave_one_out(HAND_EXAMPLE, "HrSp").tolist() == [1 / 2, 0, 1 / 2]


def test_only_cases_that_the_figure_is_about_are_left_out() -> None:
    sizes = {name: leave_one_out(HAND_EXAMPLE, name).size for name in FREE_RESPONSE}
    assert {sizes.pop(name) for name in ("MaxNLF", "HrSp")} == {3}
    assert {sizes.pop(name) for name in ("MaxLLF", "HrSe")} == {2}
    assert set(sizes.values()) == {5}


def test_roc_data_have_leave_one_out_areas_too() -> None:
    data = FreeResponseData.from_scores([1, 2, 3, 2, 4], [0, 0, 0, 1, 1])
    # Pairs (1,2) 1, (2,2) 1/2, (3,2) 0, and 1 for each with 4.
    assert leave_one_out(data, "Wilcoxon").tolist() == [2.5 / 4, 3 / 4, 3.5 / 4, 1, 1.5 / 3]


def test_without_nondiseased_cases_the_figures_over_all_cases_still_have_values() -> None:
    data = replace(HAND_EXAMPLE, n_nondiseased=0, nl_case=[0, 1], nl_rating=[1, 4])
    assert leave_one_out(data, "AFROC1").tolist() == [0, 0.5]  # NL 4 against an unmarked lesion; 1 against 3 and none


def test_figure_that_a_single_case_carries_has_no_jackknife() -> None:
    data = FreeResponseData.from_scores([1, 2, 3], [0, 0, 1])
    with pytest.raises(ValueError, match="needs at least two cases of each kind, found 1 diseased and 2 non-diseased"):
        leave_one_out(data, "Wilcoxon")
    with pytest.raises(ValueError, match="exactly one rating per case"):
        leave_one_out(HAND_EXAMPLE, "Wilcoxon")


def test_study_has_the_values_of_each_reading(simulated_study) -> None:
    study = simulated_study(4)
    values = study_leave_one_out(study, "wAFROC1")
    assert values.shape == (2, 3, 13)
    assert values[1, 0].tolist() == leave_one_out(study.readings[1][0], "wAFROC1").tolist()


@given(seed=st.integers(0, 10**6), name=st.sampled_from(FREE_RESPONSE))
@settings(max_examples=40, deadline=None)
def test_pseudovalues_average_to_the_figure(simulated_study, seed: int, name: str) -> None:
    study = simulated_study(seed)
    figures, without = study.figures(name), study_leave_one_out(study, name)
    centred = pseudovalues(figures, without)
    np.testing.assert_allclose(centred.mean(axis=-1), figures, atol=1e-12)
    n = without.shape[-1]
    moved = centred - (n * figures[..., None] - (n - 1) * without)
    np.testing.assert_allclose(moved, moved[..., :1] * np.ones(n), atol=1e-10)  # the same for all cases


def test_pseudovalues_of_a_two_sample_area_need_no_centring(simulated) -> None:
    data = simulated(3)
    figure, without = figure_of_merit(data, "HrAuc"), leave_one_out(data, "HrAuc")
    n = data.n_cases
    raw = n * figure - (n - 1) * without
    np.testing.assert_allclose(pseudovalues(np.array(figure), without), raw, atol=1e-12)


def test_covariance_is_the_sum_of_products_by_definition(simulated_study) -> None:
    without = study_leave_one_out(simulated_study(8), "AFROC")
    flat = [without[i, j] for i in range(2) for j in range(3)]
    n = without.shape[-1]
    expected = [
        [(n - 1) / n * sum((a[k] - a.mean()) * (b[k] - b.mean()) for k in range(n)) for b in flat] for a in flat
    ]
    np.testing.assert_allclose(jackknife_covariance(without), expected, rtol=1e-12)


def test_variance_of_a_share_is_the_one_of_its_cases() -> None:
    # The jackknife of a mean is its usual variance: s^2 / n.
    marked = [0, 1, 1, 0, 1, 1, 1, 0]
    data = FreeResponseData(8, 1, np.flatnonzero(marked), np.ones(5), [], [], [], [1], [1.0])
    variance = jackknife_covariance(leave_one_out(data, "HrSp")[None])
    assert variance[0, 0] == pytest.approx(np.var(marked, ddof=1) / 8, rel=1e-12)
