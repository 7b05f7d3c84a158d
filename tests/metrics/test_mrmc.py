from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from medpipe.metrics.mrmc import Crossing, ErrorTerm, holm, unavailable_reason

FIGURES = np.array([[0.7, 0.8, 0.9], [0.6, 0.8, 0.7]])
CROSSING = Crossing(FIGURES, ("CT", "MR"), ("a", "b", "c"))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(max_examples=80, deadline=None)
def test_holms_adjustment_is_the_step_down_by_hand(p: list[float]) -> None:
    order = sorted(range(len(p)), key=lambda k: p[k])
    highest, expected = 0.0, [0.0] * len(p)
    for rank, k in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - rank) * p[k]))
        expected[k] = highest
    assert holm(p).tolist() == pytest.approx(expected)


def test_undefined_p_values_do_not_count_in_holms_adjustment() -> None:
    found = holm([0.03, math.nan, 0.01])
    assert found[[0, 2]].tolist() == pytest.approx([0.03, 0.02])
    assert math.isnan(found[1])


def test_f_and_t_with_estimated_errors() -> None:
    found = CROSSING.analysis("RRRC", ErrorTerm(0.004, 2.5), [ErrorTerm(0.006, 2.0), ErrorTerm(0.002, 3.0)])
    ms = 3 * (0.05**2 + 0.05**2)
    assert (found.test.statistic, found.test.ndf, found.test.ddf) == (pytest.approx(ms / 0.004), 1, 2.5)
    assert found.test.p == pytest.approx(stats.f.sf(ms / 0.004, 1, 2.5), rel=1e-12)
    (one,) = found.differences
    se = math.sqrt(2 * 0.004 / 3)
    assert (one.label, one.estimate, one.se) == ("CT-MR", pytest.approx(0.1), pytest.approx(se))
    assert one.p == pytest.approx(found.test.p, rel=1e-12)  # with two modalities t^2 is F
    assert (one.low, one.high) == pytest.approx(stats.t.interval(0.95, 2.5, 0.1, se))
    mean = found.per_modality[0]
    assert (mean.label, mean.estimate, mean.df) == ("CT", pytest.approx(0.8), 2)
    assert (mean.low, mean.high) == pytest.approx(stats.t.interval(0.95, 2.0, 0.8, math.sqrt(0.006 / 3)))
    assert found.reason is None


def test_chi_square_and_z_with_known_errors() -> None:
    level = Crossing(FIGURES, ("CT", "MR"), ("a", "b", "c"), level=0.9)
    known, each = ErrorTerm(0.004, math.inf), [ErrorTerm(0.001 * k, math.inf) for k in (1, 2, 3)]
    found = level.analysis("FRRC", known, [known, known], each, normal=True)
    ms = 3 * (0.05**2 + 0.05**2)
    assert found.test.statistic == pytest.approx(ms / 0.004)
    assert found.test.p == pytest.approx(stats.chi2.sf(ms / 0.004, 1), rel=1e-12)
    assert found.differences[0].p == pytest.approx(found.test.p, rel=1e-12)
    assert [one.label for one in found.differences_each_reader] == [f"reader {name}: CT-MR" for name in "abc"]
    last = found.differences_each_reader[2]
    assert (last.low, last.high) == pytest.approx(stats.norm.interval(0.9, 0.2, math.sqrt(0.006)))


def test_pairs_of_three_modalities_come_in_order_and_holm_counts_them() -> None:
    crossing = Crossing(np.array([[0.9, 0.8], [0.7, 0.7], [0.6, 0.5]]), ("a", "b", "c"), ("1", "2"), holm=True)
    error = ErrorTerm(0.001, 5)
    found = crossing.analysis("RRFC", error, [error] * 3)
    assert [one.label for one in found.differences] == ["a-b", "a-c", "b-c"]
    plain = [one.p for one in found.differences]
    assert [one.p_holm for one in found.differences] == holm(plain).tolist() != plain
    assert CROSSING.analysis("RRFC", error, [error] * 2).differences[0].p_holm is None


def test_nothing_to_compare_with_leaves_infinite_f_and_says_so() -> None:
    nothing = ErrorTerm(0.0, math.nan)
    with pytest.warns(RuntimeWarning, match="denominator is 0"):
        found = CROSSING.analysis("RRRC", nothing, [nothing, nothing])
    assert (found.test.statistic, found.test.p) == (math.inf, 0)
    assert "denominator is 0" in str(found.reason)
    (one,) = found.differences
    assert (one.statistic, one.p, one.low, one.high) == (math.inf, 0, one.estimate, one.estimate)


def test_equal_modalities_without_error_do_not_differ() -> None:
    crossing, nothing = Crossing(FIGURES[[0, 0]], ("CT", "MR"), ("a", "b", "c")), ErrorTerm(0.0, math.nan)
    with pytest.warns(RuntimeWarning, match="denominator is 0"):
        found = crossing.analysis("RRRC", nothing, [nothing, nothing])
    assert math.isnan(found.test.statistic)
    assert found.test.p == found.differences[0].p == 1


def test_readers_who_differ_alike_need_the_chi_square_limit() -> None:
    found = CROSSING.analysis("RRRC", ErrorTerm(0.004, math.inf), [ErrorTerm(0.004, math.inf)] * 2)
    ratio = 3 * (0.05**2 + 0.05**2) / 0.004
    assert found.test.statistic == pytest.approx(ratio)
    assert found.test.p == pytest.approx(stats.chi2.sf(ratio, 1))
    assert "infinitely many" in str(found.reason)


def test_one_modality_has_a_mean_and_no_test() -> None:
    alone = Crossing(FIGURES[:1], ("CT",), ("a", "b", "c"))
    found = alone.analysis("RRFC", ErrorTerm(math.nan, 0), [ErrorTerm(0.01, 2)])
    assert found.test is None
    assert found.differences == ()
    assert found.per_modality[0].estimate == pytest.approx(0.8)


def test_one_reader_allows_frrc_only() -> None:
    assert unavailable_reason("FRRC", 1) is None
    assert unavailable_reason("RRRC", 2) is None
    for name in ("RRRC", "RRFC"):
        assert unavailable_reason(name, 1) == (
            f"{name} generalises to other readers and needs at least two, found 1; FRRC does with one"
        )
    with pytest.raises(ValueError, match="unknown analysis 'rrrc'; choose from RRRC, FRRC, RRFC"):
        unavailable_reason("rrrc", 3)


def test_figures_must_fit_the_names() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2\), found shape \(2, 3\)"):
        Crossing(FIGURES, ("CT", "MR"), ("a", "b"))
    with pytest.raises(ValueError, match="level"):
        Crossing(FIGURES, ("CT", "MR"), ("a", "b", "c"), level=95)
