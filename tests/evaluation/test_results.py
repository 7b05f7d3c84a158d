from __future__ import annotations

import math

import numpy as np
import pytest

from medpipe.evaluation.results import curve_entry, figure, number, patient_numbers
from medpipe.metrics.curves import Curve
from medpipe.metrics.intervals import Estimate


def test_a_stored_selection_of_points_follows_the_steep_and_the_flat_part_of_a_long_curve() -> None:
    """Half of the rise within the first false positive per image, the other half over the next 99."""
    x = np.concatenate([np.linspace(0, 1, 5000), np.linspace(1, 100, 50_001)[1:]])
    y = np.minimum(x, 1) / 2 + np.maximum(x - 1, 0) / 198
    entry = curve_entry(Curve("FROC", x, y, -x, "x", "y", extends=False), most=200)
    kept = np.array(entry["x"])
    assert kept.size <= 200 < entry["n_points"]
    assert (kept[0], kept[-1]) == (0, 100)
    assert 50 < (kept < 1).sum() < 150
    assert np.interp(x, kept, entry["y"]) == pytest.approx(y, abs=0.01)


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.5, 0.25, 0.75, 0.9, "m", 9), "A: 0.500 (90 % interval 0.250 to 0.750)"),
        (Estimate(1.0, 1.0, 1.0, 0.95, "m", 9, "all alike"), "A: 1.000 (interval without width: all alike)"),
        (Estimate(0.5, math.nan, math.nan, 0.95, "m", 1, "alone"), "A: 0.500 (no interval: alone)"),
        (Estimate(math.nan, math.nan, math.nan, 0.95, "m", 0, "none"), "A: undefined (none)"),
    ],
)
def test_the_line_that_a_person_reads_says_what_is_lacking(estimate: Estimate, text: str) -> None:
    assert figure("A", estimate, "d")["text"] == text


def test_what_json_has_not_is_null_and_patients_become_numbers() -> None:
    assert [number(value) for value in (1.5, math.nan, math.inf, -math.inf)] == [1.5, None, None, None]
    assert patient_numbers(["Doe", "Roe", "Doe"]) == {"Doe": "1", "Roe": "2"}
