from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from medpipe.metrics.free_response import FreeResponseData, MatchedCase
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.matching import MatchRow
from medpipe.metrics.precision_recall import (
    average_precision,
    average_precision_estimate,
    detection_average_precision_estimate,
    detection_precision_recall_curve,
    precision_recall_curve,
)

FEW = Bootstrap(n_resamples=200)


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40))
@settings(deadline=None)
def test_average_precision_is_scikit_learns_also_with_ties(cases) -> None:
    scores, labels = [score for score, _ in cases], [label for _, label in cases]
    if not any(labels):
        assert np.isnan(average_precision(scores, labels))
        return
    assert average_precision(scores, labels) == pytest.approx(average_precision_score(labels, scores))


def test_the_area_of_the_curve_is_the_average_precision() -> None:
    draw = np.random.default_rng(0)
    labels = draw.random(50) < 0.3
    scores = np.round(draw.normal(size=50) + labels, 1)
    assert precision_recall_curve(scores, labels).area() == pytest.approx(average_precision(scores, labels))


def test_all_ties_give_the_prevalence() -> None:
    assert average_precision([1, 1, 1, 1], [1, 0, 0, 0]) == 0.25


def test_a_perfect_ranking_gives_one() -> None:
    estimate = average_precision_estimate([3, 2, 1, 0], [1, 1, 0, 0], bootstrap=FEW)
    assert (estimate.value, estimate.low, estimate.high) == (1.0, 1.0, 1.0)


def marks(*kinds: tuple[str, float], lesions: int) -> list[MatchRow]:
    found = iter(range(lesions))
    return [MatchRow(k, kind, next(found) if kind == "LL" else None, rating) for k, (kind, rating) in enumerate(kinds)]


def test_lesions_that_no_mark_found_stay_missed() -> None:
    """Hits at .9 and .5, a false positive at .7, one lesion never found: 1/3 * 1 + 1/3 * 2/3."""
    data = FreeResponseData.from_cases(
        [
            MatchedCase("a", marks(("LL", 0.9), ("NL", 0.7), lesions=2), 2),
            MatchedCase("b", marks(("LL", 0.5), lesions=1), 1),
            MatchedCase("c", [], 0),
        ]
    )
    assert detection_average_precision_estimate(data, FEW).value == pytest.approx(1 / 3 + 2 / 9)
    curve = detection_precision_recall_curve(data)
    assert curve.x.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3])
    assert curve.y.tolist() == pytest.approx([1, 1, 1 / 2, 2 / 3])


def test_without_marks_average_precision_is_zero_and_without_lesions_undefined() -> None:
    nothing_found = FreeResponseData.from_cases([MatchedCase("a", [], 1), MatchedCase("b", [], 0)])
    assert detection_average_precision_estimate(nothing_found, FEW).value == 0
    no_lesion = FreeResponseData.from_cases([MatchedCase("a", marks(("NL", 1.0), lesions=0), 0)])
    assert "none" in str(detection_average_precision_estimate(no_lesion, FEW).reason)
    with pytest.raises(ValueError, match="needs positives"):
        detection_precision_recall_curve(no_lesion)


def test_the_bootstrap_counts_each_case_as_often_as_it_was_drawn() -> None:
    """Doubling every case changes nothing."""
    draw = np.random.default_rng(2)
    labels = draw.random(30) < 0.5
    scores = draw.normal(size=30) + labels
    assert average_precision(np.tile(scores, 2), np.tile(labels, 2)) == pytest.approx(average_precision(scores, labels))


def test_unequal_lengths_and_infinite_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="2 scores"):
        average_precision([1, 2], [1])
    with pytest.raises(ValueError, match="finite"):
        average_precision([1, np.inf], [1, 0])
