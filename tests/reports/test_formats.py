from __future__ import annotations

import math

import pytest

from medpipe.reports.formats import count, interval, number, p_value, percent, plural, short


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (-0.0001, "0.000"), (-0.0009, "-0.001"), (None, "undefined"), (math.nan, "undefined")],
)
def test_a_number_has_three_decimals_or_is_undefined(value, text) -> None:
    assert number(value) == text


def test_an_interval_without_limits_is_none() -> None:
    assert interval({"low": 0.1, "high": 0.25}) == "0.100 to 0.250"
    assert interval({"low": None, "high": 0.25}) == "none"


@pytest.mark.parametrize(("p", "text"), [(0.0004, "< 0.001"), (0.001, "0.001"), (0.0494, "0.049"), (None, "undefined")])
def test_a_small_p_value_is_only_said_to_be_small(p, text) -> None:
    assert p_value(p) == text


def test_counts_shares_and_sizes_are_written_for_readers() -> None:
    assert count(12345) == "12,345"
    assert percent(0.0512) == "5.1 %"
    assert [plural(n, "case") for n in (0, 1, 2)] == ["0 cases", "1 case", "2 cases"]
    assert plural(2, "modality", "modalities") == "2 modalities"
    assert short(0.000123456) == "0.0001235"
