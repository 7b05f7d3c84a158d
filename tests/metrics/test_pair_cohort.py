"""Who is resampled when pairs of images share subjects."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from medpipe.metrics.intervals import Bootstrap, Cohort
from medpipe.metrics.pair_cohort import PairCohort, comparisons_over_pairs, estimates_over_pairs, mean_over_pairs

FEW = Bootstrap(200)
ALL_WITH_ALL = list(itertools.permutations("abcd", 2))


def drawn(cohort: PairCohort, n: int = 50) -> np.ndarray:
    return np.array([cohort.counts(0, k) for k in range(n)])


def test_pairs_of_an_atlas_are_drawn_as_cases_of_the_other_subject() -> None:
    for subjects in ([("atlas", name) for name in "aabc"], [(name, "atlas") for name in "aabc"]):
        cohort = PairCohort.of(subjects)
        expected = Cohort(np.zeros(4, bool), list("aabc"), stratified=False)
        assert cohort.n_patients == 3
        assert np.array_equal(drawn(cohort), [expected.counts(0, k) for k in range(50)])


def test_pairs_of_unrelated_subjects_are_drawn_as_pairs() -> None:
    cohort = PairCohort.of([("a", "b"), ("c", "d"), ("e", "f")])
    assert (cohort.n_patients, cohort.words) == (3, "pairs")
    assert (drawn(cohort).sum(axis=1) == 3).all()


def test_both_directions_of_a_pair_and_scans_of_one_subject_stay_together() -> None:
    counts = drawn(PairCohort.of([("a", "b"), ("b", "a"), ("c", "c"), ("c", "c")]))
    assert np.array_equal(counts[:, 0], counts[:, 1])
    assert np.array_equal(counts[:, 2], counts[:, 3])
    assert not np.array_equal(counts[:, 0], counts[:, 2])


def test_a_pair_of_crossed_subjects_counts_as_often_as_both_multiplied() -> None:
    cohort = PairCohort.of(ALL_WITH_ALL)
    assert cohort.n_patients == 4
    for counts in drawn(cohort):
        by_pair = dict(zip(ALL_WITH_ALL, counts.tolist(), strict=True))
        assert all(by_pair[a, b] == by_pair[b, a] for a, b in ALL_WITH_ALL)
        # c_a c_b * c_c c_d = c_a c_c * c_b c_d for products.
        assert by_pair["a", "b"] * by_pair["c", "d"] == by_pair["a", "c"] * by_pair["b", "d"]


def test_subjects_of_two_sides_are_drawn_apart() -> None:
    cohort = PairCohort.of(list(itertools.product(["f1", "f2"], ["m1", "m2", "m3"])))
    assert cohort.strata == (2, 3)
    assert (drawn(cohort).sum(axis=1) == 6).all()  # 2 fixed times 3 moving draws, whichever they are


def test_the_method_names_what_is_drawn_and_how_many_pairs_there_are() -> None:
    values = np.arange(12.0)[:, None]
    (crossed,) = estimates_over_pairs(values, PairCohort.of(ALL_WITH_ALL), FEW)
    assert crossed.method.startswith("percentile bootstrap of subjects (4, in 12 pairs), a pair counting")
    (plain,) = estimates_over_pairs(values[:3], PairCohort.of([("a", "b"), ("c", "d"), ("e", "f")]), FEW)
    assert plain.method == "percentile bootstrap of 3 pairs, 200 resamples, seed 0"


def test_undefined_values_are_left_out_of_means_and_of_n() -> None:
    values = np.array([[1.0, math.nan], [3.0, math.nan], [math.nan, math.nan]])
    assert mean_over_pairs(values)(np.array([1, 1, 5])).tolist() == [2.0, pytest.approx(math.nan, nan_ok=True)]
    one, none = estimates_over_pairs(values, PairCohort.of([("f", name) for name in "abc"]), FEW)
    assert (one.value, one.n, none.n) == (2.0, 2, 0)
    assert none.reason


def test_a_single_pair_has_a_value_and_no_interval() -> None:
    (one,) = estimates_over_pairs(np.array([[0.7]]), PairCohort.of([("a", "b")]), FEW)
    assert one.value == 0.7
    assert math.isnan(one.low)
    assert one.reason == "what is drawn once does not vary between resamples"


def test_a_comparison_takes_the_pairs_where_both_have_a_value() -> None:
    first, second = np.array([[0.9], [0.8], [math.nan]]), np.array([[0.7], [0.7], [0.1]])
    (found,) = comparisons_over_pairs(first, second, PairCohort.of([("f", name) for name in "abc"]), FEW)
    assert (found.first.value, found.second.value) == (pytest.approx(0.85), pytest.approx(0.7))
    assert found.difference.value == pytest.approx(0.15)


@pytest.mark.parametrize("subject_share", [0.0, 0.7])
def test_intervals_of_crossed_pairs_hold_the_truth_at_least_as_often_as_they_say(subject_share) -> None:
    """Pairs drawn as independent would hold it far less often when subjects matter."""
    names = [str(k) for k in range(20)]
    subjects = list(itertools.permutations(names, 2))
    places = np.array([[int(a), int(b)] for a, b in subjects])
    cohort, draw, bootstrap = PairCohort.of(subjects), np.random.default_rng(1), Bootstrap(200, level=0.9)
    values = []
    for _ in range(150):
        of_subject, own = draw.normal(size=20) * math.sqrt(subject_share), draw.normal(size=len(subjects))
        values.append(of_subject[places].sum(axis=1) + own)
    table = np.array(values).T
    found = estimates_over_pairs(table, cohort, bootstrap)
    held = np.mean([one.low <= 0 <= one.high for one in found])
    assert held >= 0.84  # 0.9 less two and a half standard errors of 150 trials
    if subject_share:
        plain = Cohort(np.zeros(len(subjects), bool), None, stratified=False)
        naive = bootstrap.estimates(mean_over_pairs(table), plain)
        assert np.mean([one.low <= 0 <= one.high for one in naive]) < 0.6
