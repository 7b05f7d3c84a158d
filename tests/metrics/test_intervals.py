from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from medpipe.metrics.intervals import Bootstrap, Cohort, Estimate, wilson


def cohort(diseased: list[int], patients: list[str] | None = None) -> Cohort:
    return Cohort(np.array(diseased, dtype=bool), patients)


FOUR_EACH = cohort([0, 0, 0, 0, 1, 1, 1, 1])


def weighted_mean(values: Sequence[float]) -> Callable[[np.ndarray], float]:
    """The mean of one value per case, as a statistic."""
    numbers = np.array(values)
    return lambda counts: float((counts * numbers).sum() / counts.sum())


# Cohorts and draws


def test_each_case_is_a_patient_unless_told_otherwise() -> None:
    assert FOUR_EACH.strata == (4, 4)
    assert FOUR_EACH.n_patients == 8


def test_patients_with_any_diseased_case_form_their_own_group() -> None:
    group = cohort([0, 0, 0, 1, 1], ["b", "a", "c", "b", "b"])
    assert group.strata == (2, 1)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from("abcdef")), min_size=1, max_size=12),
    st.integers(0, 5),
)
def test_a_draw_takes_whole_patients_of_each_group_as_often_as_there_are(
    cases: list[tuple[bool, str]], replicate: int
) -> None:
    diseased, patients = [d for d, _ in cases], [p for _, p in cases]
    counts = cohort(diseased, patients).counts(seed=3, replicate=replicate)
    by_patient = {}
    for count, patient in zip(counts.tolist(), patients, strict=True):
        assert by_patient.setdefault(patient, count) == count
    affected = {p for d, p in cases if d}
    assert sum(count for p, count in by_patient.items() if p in affected) == len(affected)
    assert sum(count for p, count in by_patient.items() if p not in affected) == len(set(patients) - affected)


def test_every_patient_is_drawn_once_on_average() -> None:
    total = sum(FOUR_EACH.counts(0, replicate) for replicate in range(4000))
    assert total / 4000 == pytest.approx(np.ones(8), abs=0.06)  # standard error .014


def test_draws_of_single_patients_follow_the_binomial_distribution() -> None:
    seen = Counter(int(FOUR_EACH.counts(0, replicate)[0]) for replicate in range(4000))
    for times in range(4):
        assert seen[times] / 4000 == pytest.approx(stats.binom.pmf(times, 4, 0.25), abs=0.03)


def test_draws_depend_on_seed_and_number_alone() -> None:
    first = FOUR_EACH.counts(7, 3)
    np.random.seed(1)  # the global state must not matter
    FOUR_EACH.counts(7, 99)
    assert np.array_equal(cohort([0, 0, 0, 0, 1, 1, 1, 1]).counts(7, 3), first)
    assert any(not np.array_equal(FOUR_EACH.counts(7, k), FOUR_EACH.counts(8, k)) for k in range(3))
    assert any(not np.array_equal(FOUR_EACH.counts(7, 0), FOUR_EACH.counts(7, k)) for k in range(1, 4))


def test_names_of_patients_draw_like_no_names_when_each_has_one_case() -> None:
    named = cohort([0, 0, 0, 0, 1, 1, 1, 1], list("abcdefgh"))
    assert np.array_equal(named.counts(5, 0), FOUR_EACH.counts(5, 0))


def test_healthy_image_of_a_diseased_patient_comes_along() -> None:
    group = cohort([0, 0, 0, 1, 1], ["x", "y", "z", "z", "w"])
    for replicate in range(20):
        counts = group.counts(0, replicate)
        assert counts[2] == counts[3]


# Bootstrap


def test_fewer_replicates_are_the_first_of_many() -> None:
    statistic = weighted_mean([1, 2, 3, 4, 5, 6, 7, 8])
    few, many = Bootstrap(n_resamples=10), Bootstrap(n_resamples=40)
    assert np.array_equal(few.replicates(statistic, FOUR_EACH), many.replicates(statistic, FOUR_EACH)[:10])


def test_percentile_interval_is_quantiles_of_the_replicates() -> None:
    statistic = weighted_mean([1, 2, 3, 4, 5, 6, 7, 80])
    bootstrap = Bootstrap(n_resamples=500, level=0.9)
    replicates = bootstrap.replicates(statistic, FOUR_EACH)
    assert replicates.shape == (500, 1)
    estimate = bootstrap.estimate(statistic, FOUR_EACH)
    assert estimate.value == 13.5
    assert (estimate.low, estimate.high) == tuple(np.quantile(replicates, (0.05, 0.95)))


def test_basic_interval_mirrors_the_percentile_interval() -> None:
    statistic = weighted_mean([1, 2, 3, 4, 5, 6, 7, 80])
    percentile = Bootstrap(n_resamples=300).estimate(statistic, FOUR_EACH)
    basic = Bootstrap(n_resamples=300, interval="basic").estimate(statistic, FOUR_EACH)
    assert basic.low == pytest.approx(2 * 13.5 - percentile.high)
    assert basic.high == pytest.approx(2 * 13.5 - percentile.low)
    assert basic.method.startswith("basic bootstrap of 8 patients (4 without and 4 with disease)")


def test_standard_error_of_a_mean_is_the_textbook_one() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=400)
    replicates = Bootstrap(n_resamples=1500).replicates(weighted_mean(values), cohort([1] * 400))
    assert replicates.std() == pytest.approx(values.std() / math.sqrt(400), rel=0.08)


def test_repeating_every_image_of_a_patient_does_not_narrow_the_interval() -> None:
    values = [3.0, 1, 4, 1, 5, 9]
    bootstrap = Bootstrap(n_resamples=200)
    once = bootstrap.estimate(weighted_mean(values), cohort([0, 0, 0, 1, 1, 1], list("abcdef")))
    # The same six patients with five identical images each.
    group = cohort(sorted([0, 0, 0, 1, 1, 1] * 5), list("abc" * 5) + list("def" * 5))
    repeated = values[:3] * 5 + values[3:] * 5
    clustered = bootstrap.estimate(weighted_mean(repeated), group)
    assert (clustered.low, clustered.high) == pytest.approx((once.low, once.high))
    assert clustered.n == 6
    naive = bootstrap.estimate(weighted_mean(repeated), cohort(sorted([0, 1] * 15)))
    assert naive.high - naive.low < 0.7 * (once.high - once.low)


def test_several_numbers_are_estimated_on_the_same_resamples() -> None:
    one, two = weighted_mean([1, 2, 3, 4, 5, 6, 7, 8]), weighted_mean([8, 1, 6, 1, 9, 1, 0, 1])
    bootstrap = Bootstrap(n_resamples=50)
    both = bootstrap.estimates(lambda counts: np.array([one(counts), two(counts)]), FOUR_EACH)
    assert both == [bootstrap.estimate(one, FOUR_EACH), bootstrap.estimate(two, FOUR_EACH)]


def test_resamples_that_do_not_define_the_figure_are_left_out_and_counted() -> None:
    def statistic(counts: np.ndarray) -> float:
        return math.nan if counts[0] == 0 else float(counts[1])

    bootstrap = Bootstrap(n_resamples=100)
    estimate = bootstrap.estimate(statistic, FOUR_EACH)
    missing = int(np.isnan(bootstrap.replicates(statistic, FOUR_EACH)).sum())
    assert 0 < missing < 100
    assert estimate.reason == f"{missing} of 100 resamples do not define it and were left out"
    assert not math.isnan(estimate.low)


def test_figure_that_no_resample_defines_has_no_interval() -> None:
    def statistic(counts: np.ndarray) -> float:
        return 1.0 if (counts == 1).all() else math.nan

    estimate = Bootstrap(n_resamples=5).estimate(statistic, FOUR_EACH)
    assert estimate.value == 1
    assert math.isnan(estimate.low)
    assert estimate.reason == "no resample defines the figure"


def test_figure_undefined_on_the_sample_is_nan_with_a_reason() -> None:
    estimate = Bootstrap(n_resamples=5).estimate(lambda counts: math.nan, FOUR_EACH)
    assert math.isnan(estimate.value)
    assert estimate.reason == "the figure is undefined on this sample"


@pytest.mark.parametrize("diseased", [[0, 1, 1, 1], [0, 0, 0, 1], [1]])
def test_group_of_one_patient_gives_no_interval(diseased: list[int]) -> None:
    estimate = Bootstrap(n_resamples=5).estimate(lambda counts: 0.5, cohort(diseased))
    assert estimate.value == 0.5
    assert math.isnan(estimate.low)
    assert estimate.reason == "a group of one patient does not vary between resamples"


def test_comparison_pairs_the_resamples_and_counts_sides_of_zero() -> None:
    one, two = weighted_mean([1, 5, 2, 4, 3, 6, 1, 2]), weighted_mean([2, 1, 3, 5, 1, 4, 2, 3])
    bootstrap = Bootstrap(n_resamples=199)
    (comparison,) = bootstrap.compare(one, two, FOUR_EACH)
    differences = (bootstrap.replicates(one, FOUR_EACH) - bootstrap.replicates(two, FOUR_EACH)).ravel()
    assert comparison.first == bootstrap.estimate(one, FOUR_EACH)
    assert comparison.second == bootstrap.estimate(two, FOUR_EACH)
    assert comparison.difference.value == pytest.approx(24 / 8 - 21 / 8)
    limits = np.quantile(differences, (0.025, 0.975))
    assert (comparison.difference.low, comparison.difference.high) == pytest.approx(tuple(limits))
    below, above = int((differences <= 0).sum()), int((differences >= 0).sum())
    assert 0 < below < above
    assert comparison.p == pytest.approx(2 * (below + 1) / 200)


def test_comparison_of_equal_statistics_has_p_one_and_of_undefined_ones_none() -> None:
    statistic = weighted_mean([1, 2, 3, 4, 5, 6, 7, 8])
    bootstrap = Bootstrap(n_resamples=20)
    (equal,) = bootstrap.compare(statistic, statistic, FOUR_EACH)
    assert equal.p == 1
    (undefined,) = bootstrap.compare(statistic, lambda counts: math.nan, FOUR_EACH)
    assert math.isnan(undefined.p)
    assert undefined.difference.reason


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_resamples": 0}, "n_resamples must be at least 1"),
        ({"seed": -1}, "seed must not be negative"),
        ({"level": 95}, "level must lie between 0 and 1"),
        ({"interval": "bca"}, "interval must be one of"),
    ],
)
def test_impossible_bootstraps_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Bootstrap(**arguments)


def test_patients_may_be_drawn_from_all_at_once() -> None:
    whole = Cohort(np.array([True, False, False, True]), ["a", "a", "b", "c"], stratified=False)
    assert whole.strata == (3, 0)
    assert len({int(whole.counts(0, k)[[0, 3]].sum()) for k in range(50)}) > 2
    assert all(whole.counts(0, k)[0] == whole.counts(0, k)[1] for k in range(50))
    assert "3 patients, all drawn together" in Bootstrap(10).estimate(weighted_mean([1, 2, 3, 4]), whole).method


def test_an_interval_without_width_has_the_reason() -> None:
    estimate = Bootstrap(50).estimate(weighted_mean([0.3] * 8), FOUR_EACH)
    assert estimate.low == pytest.approx(estimate.high)
    assert estimate.reason == "all resamples give the same figure"


def test_cohort_needs_booleans() -> None:
    with pytest.raises(ValueError, match="diseased must hold booleans, found dtype int64"):
        Cohort(np.array([0, 1]))


def test_cohort_needs_cases_and_a_patient_for_each() -> None:
    with pytest.raises(ValueError, match="at least one case"):
        cohort([])
    with pytest.raises(ValueError, match="1 patient labels for 2 cases"):
        cohort([0, 1], ["a"])


def test_nan_without_a_reason_is_no_estimate() -> None:
    with pytest.raises(ValueError, match="give the reason"):
        Estimate(math.nan, 0, 1, 0.95, "m", 3)
    with pytest.raises(ValueError, match="give the reason"):
        Estimate(0.5, math.nan, 1, 0.95, "m", 3)
    assert Estimate(math.nan, 0, 1, 0.95, "m", 3, "because").reason == "because"


# Proportions


Z = 1.959963984540054


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (0, 10, 0.0, Z**2 / (10 + Z**2)),
        (10, 10, 10 / (10 + Z**2), 1.0),
        (5, 10, 0.5 - Z / (2 * math.sqrt(10 + Z**2)), 0.5 + Z / (2 * math.sqrt(10 + Z**2))),
    ],
)
def test_wilson_interval_of_none_all_and_half(successes: int, n: int, low: float, high: float) -> None:
    estimate = wilson(successes, n)
    assert estimate.value == successes / n
    assert estimate.low == pytest.approx(low, abs=1e-12)
    assert estimate.high == pytest.approx(high, abs=1e-12)
    assert estimate.n == n


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 400), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_interval_solves_its_equation(n: int, data: st.DataObject, level: float) -> None:
    successes = data.draw(st.integers(0, n))
    estimate = wilson(successes, n, level)
    z = stats.norm.ppf((1 + level) / 2)
    for limit in (estimate.low, estimate.high):
        distance = abs(successes / n - limit)
        assert distance == pytest.approx(z * math.sqrt(limit * (1 - limit) / n), abs=1e-9)


def test_wilson_interval_of_no_trials_is_nan_with_a_reason() -> None:
    estimate = wilson(0, 0)
    assert math.isnan(estimate.value)
    assert estimate.reason == "no trials"


def test_wilson_refuses_impossible_counts() -> None:
    for successes, n in ((3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="successes must lie in"):
            wilson(successes, n)
    with pytest.raises(ValueError, match="level"):
        wilson(1, 2, level=1)
