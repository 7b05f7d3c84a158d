from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.reports.scales import Chart, Scale, line_path, span


def numbers(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)]


def test_a_scale_leads_from_its_ends_to_pixels() -> None:
    scale = Scale.of(0, 10, 40, 140)
    assert [scale.at(value) for value in (0, 2.5, 10)] == [40, 65, 140]
    assert [scale.at(value) for value in (-5, 99)] == [40, 140]  # beyond the axis: at its end
    assert scale.ticks == (0, 2, 4, 6, 8, 10)


@pytest.mark.parametrize(
    ("values", "ends", "ticks"),
    [
        ([0.812, 0.934], (0.8, 0.95), (0.8, 0.85, 0.9, 0.95)),
        ([0.3, 0.99], (0.25, 1.0), (0.25, 0.5, 0.75, 1.0)),  # a share does not reach beyond 1
        ([-0.02, 0.03], (-0.02, 0.04), (-0.02, 0, 0.02, 0.04)),
        ([None, None], (0.0, 1.0), (0, 0.5, 1.0)),
        ([1.0, 1.0], (0.95, 1.0), (0.96, 0.98, 1.0)),
    ],
)
def test_a_scale_around_values_has_round_ends(values, ends, ticks) -> None:
    scale = Scale.around(values, 0, 100)
    assert (scale.low, scale.high) == pytest.approx(ends)
    assert scale.ticks == pytest.approx(ticks)


@given(st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=20))
def test_a_scale_around_values_shows_them_all(values) -> None:
    scale = Scale.around(values, 10, 180)
    slack = 1e-6 * (scale.high - scale.low)
    assert scale.low - slack <= min(values) <= max(values) <= scale.high + slack
    assert len(scale.ticks) <= 6
    assert all(10 <= scale.at(value) <= 180 for value in values)


def test_a_line_leaves_out_points_that_would_not_show_but_keeps_its_ends() -> None:
    points = [(k / 100, 0.0) for k in range(1000)]
    drawn = numbers(line_path(points))
    assert drawn[0] == points[0]
    assert drawn[-1] == points[-1]
    assert len(drawn) <= 30  # of 1,000, over ten pixels
    assert line_path([]) == ""


def test_a_band_is_the_closed_area_between_its_limits_where_there_are_any() -> None:
    chart = Chart.of((0, 1), (0, 1), width=112, height=110, left=0, bottom=0)  # 100 pixels each way
    path = chart.band([0, 0.5, 1], [0.2, 0.4, None], [0.6, 0.8, None])
    assert path.endswith("Z")
    assert numbers(path) == [(0, 90), (50, 70), (50, 30), (0, 50)]


@given(st.integers(0, 500), st.integers(2, 60))
def test_a_span_is_even_and_holds_both_ends(count, most) -> None:
    places = span(count, most)
    assert len(places) == min(count, most)
    assert places == sorted(set(places))
    if count:
        assert (places[0], places[-1]) == (0, count - 1)
