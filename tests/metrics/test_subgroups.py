from __future__ import annotations

import math

import numpy as np
import pytest

from medpipe.metrics.roc import auc_estimate
from medpipe.metrics.subgroups import NOT_KNOWN, age_band, by_group


def test_each_part_is_judged_on_its_own_cases_and_the_unknown_come_last() -> None:
    scores, labels = np.array([1, 2, 3, 4, 2, 1, 0.5]), np.array([0, 0, 1, 1, 0, 1, 0])
    names = ["z", "z", "z", "z", "", "", ""]
    groups = by_group(names, lambda cases: auc_estimate(scores[cases], labels[cases]))
    assert [(group.name, group.cases.tolist()) for group in groups] == [("z", [0, 1, 2, 3]), (NOT_KNOWN, [4, 5, 6])]
    assert [group.estimate.value for group in groups] == [1.0, 0.5]


def test_a_part_of_one_class_is_undefined_with_a_reason() -> None:
    (group,) = by_group(["a", "a"], lambda cases: auc_estimate(np.array([1.0, 2.0])[cases], np.array([1, 1])[cases]))
    assert math.isnan(group.estimate.value)
    assert group.estimate.reason == "no non-diseased case"


@pytest.mark.parametrize(
    ("age", "band"), [(0, "0-17"), (17.9, "0-17"), (18, "18-39"), (64, "40-64"), (65, "65 and over")]
)
def test_ages_fall_into_bands(age, band) -> None:
    assert age_band(age) == band


@pytest.mark.parametrize("age", [-1, math.nan, math.inf])
def test_no_age_is_negative_or_infinite(age) -> None:
    with pytest.raises(ValueError, match="an age in years"):
        age_band(age)
