from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.metrics.intervals import wilson
from medpipe.metrics.operating_points import at_sensitivity, at_specificity, at_threshold, youden

SCORES = [0.1, 0.2, 0.3, 0.4, 0.35, 0.5, 0.6, 0.7]
LABELS = [0, 0, 0, 0, 1, 1, 1, 1]


def test_a_threshold_counts_scores_at_or_above_it() -> None:
    point = at_threshold(SCORES, LABELS, 0.35)
    assert (point.tp, point.fp, point.tn, point.fn) == (4, 1, 3, 0)
    assert at_threshold(SCORES, LABELS, 0.36).tp == 3
    assert (at_threshold(SCORES, LABELS, 9).tp, at_threshold(SCORES, LABELS, 9).fp) == (0, 0)
    assert (at_threshold(SCORES, LABELS, -9).tp, at_threshold(SCORES, LABELS, -9).fp) == (4, 4)


def test_the_point_at_a_sensitivity_is_the_highest_threshold_that_reaches_it() -> None:
    assert at_sensitivity(SCORES, LABELS, 0.75).threshold == 0.5
    assert at_sensitivity(SCORES, LABELS, 0.76).threshold == 0.35
    assert at_sensitivity(SCORES, LABELS, 1.0).threshold == 0.35


def test_the_point_at_a_specificity_is_the_lowest_threshold_that_keeps_it() -> None:
    assert at_specificity(SCORES, LABELS, 1.0).threshold == 0.5
    assert at_specificity(SCORES, LABELS, 0.75).threshold == 0.35
    assert at_specificity(SCORES, LABELS, 0.7).threshold == 0.35


def test_youden_takes_the_highest_of_equal_thresholds() -> None:
    """Both 0.5 (3/4 and 4/4) and 0.35 (4/4 and 3/4) have an index of 0.75."""
    assert youden(SCORES, LABELS).threshold == 0.5


def test_intervals_are_wilsons() -> None:
    point = at_threshold(SCORES, LABELS, 0.35)
    assert point.specificity() == wilson(3, 4)
    assert point.ppv() == wilson(4, 5)


def test_predictive_values_are_undefined_where_nobody_is_called_so() -> None:
    none_positive = at_threshold(SCORES, LABELS, math.inf)
    assert math.isnan(none_positive.ppv().value)
    assert none_positive.ppv().reason == "no case is called positive"
    assert at_threshold(SCORES, LABELS, -math.inf).npv().reason == "no case is called negative"


def test_a_diseased_case_without_a_mark_is_reached_only_by_calling_everything_positive() -> None:
    point = at_sensitivity([0.1, -np.inf, 0.5], [0, 1, 1], 1.0)
    assert point.threshold == -np.inf
    assert (point.tp, point.fp) == (2, 1)


def test_nine_of_ten_reach_nine_tenths() -> None:
    scores, labels = list(range(20)), [0] * 10 + [1] * 10
    assert at_sensitivity(scores, labels, 0.9).tp == 9
    assert at_specificity([-s for s in scores], labels, 0.9).fp <= 1


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30).filter(
        lambda cases: len({label for _, label in cases}) == 2
    ),
    st.floats(0.01, 1),
)
@settings(deadline=None)
def test_points_are_those_of_a_search_through_all_thresholds(cases, share) -> None:
    scores, labels = np.array([s for s, _ in cases]), np.array([d for _, d in cases])
    tried = []
    for t in [*sorted(set(scores.tolist())), math.inf]:
        called = scores >= t
        tried.append((t, (called & labels).sum() / labels.sum(), (~called & ~labels).sum() / (~labels).sum()))
    assert at_sensitivity(scores, labels, share).threshold == max(t for t, se, _ in tried if se >= share - 1e-12)
    assert at_specificity(scores, labels, share).threshold == min(t for t, _, sp in tried if sp >= share - 1e-12)
    best = max(se + sp for _, se, sp in tried)
    assert youden(scores, labels).threshold == max(t for t, se, sp in tried if se + sp >= best - 1e-12)


def test_one_class_and_shares_outside_are_refused() -> None:
    with pytest.raises(ValueError, match="both classes"):
        youden([1, 2], [1, 1])
    with pytest.raises(ValueError, match="above 0"):
        at_sensitivity(SCORES, LABELS, 0)
    with pytest.raises(ValueError, match="NaN"):
        at_threshold(SCORES, LABELS, math.nan)
