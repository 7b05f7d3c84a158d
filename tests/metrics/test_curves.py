from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.metrics.curves import Curve, sweep

INF = np.inf


def curve(x: list[float], y: list[float], *, extends: bool) -> Curve:
    thresholds = np.arange(len(x), 0, -1.0)
    return Curve("C", np.array(x), np.array(y), thresholds, "x", "y", extends=extends)


def test_area_is_trapezoidal() -> None:
    # A triangle up to 1/2 and a rectangle after it.
    assert curve([0, 0.5, 1], [0, 1, 1], extends=False).area() == 0.75


def test_straight_line_to_the_corner_belongs_to_the_area_where_the_curve_has_one() -> None:
    points = [0, 0.5], [0, 0.5]
    assert curve(*points, extends=False).area() == 0.125
    assert curve(*points, extends=True).area() == 0.5


def test_area_of_the_origin_alone() -> None:
    assert curve([0], [0], extends=False).area() == 0
    assert curve([0], [0], extends=True).area() == 0.5


def test_line_ends_in_the_corner_only_when_the_curve_extends() -> None:
    x, y = curve([0, 0.5], [0, 0.25], extends=True).line()
    assert (x.tolist(), y.tolist()) == ([0, 0.5, 1], [0, 0.25, 1])
    x, y = curve([0, 0.5], [0, 0.25], extends=False).line()
    assert (x.tolist(), y.tolist()) == ([0, 0.5], [0, 0.25])


def test_sweep_counts_from_the_highest_rating_down() -> None:
    x, y, thresholds = sweep(np.array([1.0, 3.0, -INF]), np.array([3.0, 2.0, 3.0]))
    assert thresholds.tolist() == [INF, 3, 2, 1]
    assert x.tolist() == [0, 1, 1, 2]
    assert y.tolist() == [0, 2, 3, 3]


def test_sweep_weighs_the_second_axis() -> None:
    x, y, _ = sweep(np.array([1.0]), np.array([2.0, -INF, 2.0]), np.array([0.25, 9.0, 0.5]))
    assert x.tolist() == [0, 0, 1]
    assert y.tolist() == [0, 0.75, 0.75]


def test_sweep_of_nothing_is_the_origin() -> None:
    for x, y, thresholds in (sweep(np.array([]), np.array([])), sweep(np.array([-INF]), np.array([-INF]))):
        assert (x.tolist(), y.tolist(), thresholds.tolist()) == ([0], [0], [INF])


ratings = st.lists(st.just(-INF) | st.integers(1, 4).map(float) | st.floats(-9, 9), max_size=12)


@settings(deadline=None, max_examples=100)
@given(ratings, st.lists(st.tuples(st.sampled_from([-INF, 1.0, 2.0, 3.5]), st.floats(0, 1)), max_size=12))
def test_sweep_equals_counting_at_each_threshold(x_rating: list[float], weighted: list[tuple[float, float]]) -> None:
    y_rating, weight = [r for r, _ in weighted], [w for _, w in weighted]
    expected = sorted({r for r in [*x_rating, *y_rating] if r > -INF}, reverse=True)
    x, y, thresholds = sweep(np.array(x_rating), np.array(y_rating), np.array(weight))
    assert thresholds.tolist() == [INF, *expected]
    assert x.tolist() == [sum(r >= t for r in x_rating) for t in thresholds]
    assert y == pytest.approx([sum(w for r, w in weighted if r >= t) for t in thresholds])
    _, unweighted, _ = sweep(np.array(x_rating), np.array(y_rating))
    assert unweighted.tolist() == [sum(r >= t for r in y_rating) for t in thresholds]
