"""Refusing unknown names."""

from __future__ import annotations

import pytest

from medpipe.networks.choices import choose


def test_a_valid_name_is_returned() -> None:
    assert choose("colour", "red", ["red", "green"]) == "red"


def test_a_near_miss_is_told_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"unknown colour 'gren', expected one of: red, green; did you mean 'green'?"):
        choose("colour", "gren", ["red", "green"])


def test_a_far_miss_is_told_the_list_only() -> None:
    with pytest.raises(ValueError, match=r"unknown colour 'x', expected one of: red, green$"):
        choose("colour", "x", ["red", "green"])


def test_without_any_valid_name_the_message_says_so() -> None:
    with pytest.raises(ValueError, match=r"\(none\)"):
        choose("colour", "x", [])
