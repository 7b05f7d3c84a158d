"""Two registration methods on the same pairs: paired differences of every measure, from their results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medpipe.errors import InputDataError
from medpipe.evaluation.registration_measures import MEASURES
from medpipe.evaluation.results import comparison_entry
from medpipe.metrics._arrays import FloatArray
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.pair_cohort import PairCohort, comparisons_over_pairs

__all__ = ["registration_differences"]

_TEST = "paired bootstrap, two-sided"
_SAME = 1e-6

Rows = Sequence[tuple[dict[str, Any], dict[str, Any]]]


def registration_differences(
    rows: Rows, names: tuple[str, str], bootstrap: Bootstrap, structures: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The compared figures of two methods.

    Args:
        rows: Entries of "cases" of both results for each pair that both have.
        names: Of the two methods.
        bootstrap: How intervals are made.
        structures: Name of each label.

    Raises:
        InputDataError: A pair differs before registration, so that the two were not scored against the same truth.
    """
    for one, two in rows:
        _check_same(one, two, names)
    cohort = PairCohort.of([(one["subjects"][0], one["subjects"][1]) for one, _ in rows])
    columns = [(MEASURES[key].name, key, *_columns(rows, key)) for key in MEASURES]
    if len(structures) > 1:
        columns += [
            (f"{MEASURES['dice'].name}, {name}", "dice", *_columns(rows, "dice", label))
            for label, name in structures.items()
        ]
    known = [column for column in columns if not np.isnan(column[2] - column[3]).all()]
    if not known:
        return []
    first, second = (np.column_stack([column[side] for column in known]) for side in (2, 3))
    found = comparisons_over_pairs(first, second, cohort, bootstrap)
    return [
        comparison_entry(name, one, f"{MEASURES[key].definition}; mean over pairs", _TEST)
        for (name, key, *_), one in zip(known, found, strict=True)
    ]


def _columns(rows: Rows, key: str, label: str | None = None) -> tuple[FloatArray, FloatArray]:
    """A measure of every pair, or of one label in it, by the first and by the second method."""
    sides = [[_value(row, key, label) for row in pair] for pair in rows]
    return np.array([one for one, _ in sides]), np.array([two for _, two in sides])


def _value(row: dict[str, Any], key: str, label: str | None) -> float:
    values = row["after"] if label is None else row["structures"].get(label, {}).get("after", {})
    value = values.get(key)
    return math.nan if value is None else float(value)


def _check_same(one: dict[str, Any], two: dict[str, Any], names: tuple[str, str]) -> None:
    for key in one["before"].keys() | two["before"].keys():
        values = [row["before"].get(key) for row in (one, two)]
        known = [value for value in values if value is not None]
        if len(known) == 1 or (len(known) == 2 and abs(known[0] - known[1]) > _SAME * max(1.0, abs(known[0]))):
            raise InputDataError(
                f"pair '{one['case']}': before registration '{names[0]}' has {key} {values[0]}, '{names[1]}' has {values[1]};"
                " they must be scored on the same images, by the same protocol and labels"
            )
