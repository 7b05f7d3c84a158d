from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from medpipe.metrics.free_response import FreeResponseData, MatchedCase
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.jafroc import (
    ALIASES,
    FIGURES_OF_MERIT,
    canonical_name,
    compare_figures_of_merit,
    figure_of_merit,
    figure_of_merit_analytic,
    figure_of_merit_estimate,
    figure_of_merit_statistic,
    figures_of_merit,
    undefined_reason,
)
from medpipe.metrics.matching import MatchRow

Case = tuple[list[float], list["float | None"], list[float]]
"""Ratings of the NL marks, rating of each lesion (None: unmarked), lesion weights."""

HAND_EXAMPLE: list[Case] = [
    ([2, 1], [], []),
    ([], [], []),
    ([3], [], []),
    ([1], [3, None], [0.6, 0.4]),
    ([4], [None], [1]),
]


def build(cases: list[Case]) -> FreeResponseData:
    matched = []
    for number, (nls, lesions, weights) in enumerate(cases):
        rows = [MatchRow(0, "NL", None, rating) for rating in nls]
        rows += [MatchRow(0, "LL", k, rating) for k, rating in enumerate(lesions) if rating is not None]
        matched.append(MatchedCase(f"{number:04}", rows, len(lesions), weights or None))
    return FreeResponseData.from_cases(matched)


# An independent oracle: the definitions as loops over all pairs.


def psi(x: float, y: float) -> float:
    return 1.0 if x < y else 0.5 if x == y else 0.0


def oracle(cases: list[Case]) -> dict[str, float]:
    healthy = [case for case in cases if not case[1]]
    diseased = [case for case in cases if case[1]]
    k1, k2, k = len(healthy), len(diseased), len(cases)
    lesions = [
        (-math.inf if rating is None else rating, weight)
        for _, ratings, weights in diseased
        for rating, weight in zip(ratings, weights, strict=True)
    ]
    n_lesions = len(lesions)

    def highest(nls: list[float]) -> float:
        return max(nls, default=-math.inf)

    def best(case: Case) -> float:
        return max([*case[0], *(rating for rating in case[1] if rating is not None)], default=-math.inf)

    f_healthy, f_all = [highest(case[0]) for case in healthy], [highest(case[0]) for case in cases]
    nls = [rating for case in cases for rating in case[0]]
    return {
        "HrAuc": sum(psi(best(a), best(b)) for a in healthy for b in diseased) / (k1 * k2),
        "AFROC": sum(psi(f, z) for f in f_healthy for z, _ in lesions) / (k1 * n_lesions),
        "wAFROC": sum(w * psi(f, z) for f in f_healthy for z, w in lesions) / (k1 * k2),
        "AFROC1": sum(psi(f, z) for f in f_all for z, _ in lesions) / (k * n_lesions),
        "wAFROC1": sum(w * psi(f, z) for f in f_all for z, w in lesions) / (k * k2),
        "FROC": sum(psi(x, z) for x in nls for z, _ in lesions) / (k * n_lesions),
        "MaxLLF": sum(z > -math.inf for z, _ in lesions) / n_lesions,
        "MaxNLF": sum(len(case[0]) for case in healthy) / k1,
        "MaxNLFAllCases": len(nls) / k,
        "HrSe": sum(best(case) > -math.inf for case in diseased) / k2,
        "HrSp": sum(best(case) == -math.inf for case in healthy) / k1,
    }


ratings = st.one_of(st.integers(1, 4).map(float), st.floats(-50, 50))
nl_lists = st.lists(ratings, max_size=3)


@st.composite
def diseased_cases(draw: st.DrawFn, max_lesions: int = 3) -> Case:
    lesions = draw(st.lists(st.none() | ratings, min_size=1, max_size=max_lesions))
    raw = draw(st.lists(st.integers(1, 9), min_size=len(lesions), max_size=len(lesions)))
    return draw(nl_lists), lesions, [weight / sum(raw) for weight in raw]


@st.composite
def studies(draw: st.DrawFn, max_lesions: int = 3) -> list[Case]:
    healthy = draw(st.lists(nl_lists, min_size=1, max_size=5))
    diseased = draw(st.lists(diseased_cases(max_lesions), min_size=1, max_size=5))
    return [(nls, [], []) for nls in healthy] + diseased


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AFROC", 3.5 / 9),
        ("AFROC1", 4.5 / 15),
        ("wAFROC", 2.2 / 6),
        ("wAFROC1", 2.8 / 10),
        ("HrAuc", 5.5 / 6),
        ("FROC", 3.5 / 15),
        ("HrSe", 1),
        ("HrSp", 1 / 3),
        ("MaxLLF", 1 / 3),
        ("MaxNLF", 1),
        ("MaxNLFAllCases", 1),
    ],
)
def test_hand_example(name: str, value: float) -> None:
    assert figure_of_merit(build(HAND_EXAMPLE), name) == pytest.approx(value, abs=1e-15)


@settings(deadline=None, max_examples=150)
@given(studies())
def test_every_figure_equals_the_double_loop(cases: list[Case]) -> None:
    data, expected = build(cases), oracle(cases)
    assert set(expected) == set(FIGURES_OF_MERIT) - {"Wilcoxon"}
    for name, value in expected.items():
        assert figure_of_merit(data, name) == pytest.approx(value, abs=1e-12), name


def test_unmarked_lesion_scores_a_half_against_unmarked_case() -> None:
    data = build([([], [], []), ([], [None], [1])])
    for name in ("AFROC", "wAFROC", "AFROC1", "wAFROC1", "HrAuc"):
        assert figure_of_merit(data, name) == 0.5


def test_everything_found_and_nothing_else() -> None:
    values = figures_of_merit(build([([], [], []), ([], [2, 3], [0.5, 0.5])]))
    assert {name: values[name] for name in ("AFROC", "wAFROC1", "HrAuc", "MaxLLF", "HrSp")} == {
        "AFROC": 1,
        "wAFROC1": 1,
        "HrAuc": 1,
        "MaxLLF": 1,
        "HrSp": 1,
    }
    assert values["FROC"] == values["MaxNLF"] == 0


def test_nothing_found_and_all_cases_marked_wrongly() -> None:
    values = figures_of_merit(build([([1], [], []), ([1], [None], [1])]))
    assert values["AFROC"] == values["wAFROC1"] == values["MaxLLF"] == values["HrSp"] == 0
    assert values["HrAuc"] == 0.5
    assert values["HrSe"] == 1


def test_all_ratings_tied() -> None:
    data = build([([1], [], []), ([1], [1, 1], [0.3, 0.7])])
    for name in ("AFROC", "wAFROC", "AFROC1", "wAFROC1", "HrAuc", "FROC"):
        assert figure_of_merit(data, name) == (0.5 if name != "FROC" else 0.5 * 2 * 2 / 4)


@settings(deadline=None, max_examples=60)
@given(studies())
def test_strictly_increasing_transforms_change_nothing(cases: list[Case]) -> None:
    # Ranks are such a transform, and unlike exp or a square root they cannot merge neighbours by rounding.
    values = sorted({r for nls, lesions, _ in cases for r in [*nls, *lesions] if r is not None})
    rank = {value: 100.0 + 3 * position for position, value in enumerate(values)}
    moved: list[Case] = [
        ([rank[r] for r in nls], [None if r is None else rank[r] for r in lesions], weights)
        for nls, lesions, weights in cases
    ]
    before, after = figures_of_merit(build(cases)), figures_of_merit(build(moved))
    assert {k: v for k, v in before.items() if v == v} == {k: v for k, v in after.items() if v == v}


@settings(deadline=None, max_examples=60)
@given(studies(), st.randoms(use_true_random=False))
def test_order_of_marks_changes_nothing(cases: list[Case], random: object) -> None:
    data = build(cases)
    generator = np.random.default_rng(random.randint(0, 2**32))  # type: ignore[attr-defined]
    nl, ll = generator.permutation(data.nl_case.size), generator.permutation(data.ll_case.size)
    shuffled = replace(
        data,
        nl_case=data.nl_case[nl],
        nl_rating=data.nl_rating[nl],
        ll_case=data.ll_case[ll],
        ll_lesion=data.ll_lesion[ll],
        ll_rating=data.ll_rating[ll],
    )
    for name in FIGURES_OF_MERIT:
        if not undefined_reason(data, name):
            assert figure_of_merit(shuffled, name) == figure_of_merit(data, name), name


@settings(deadline=None, max_examples=60)
@given(studies(max_lesions=1))
def test_weights_change_nothing_when_every_case_has_one_lesion(cases: list[Case]) -> None:
    data = build(cases)
    assert figure_of_merit(data, "AFROC") == pytest.approx(figure_of_merit(data, "wAFROC"), abs=1e-14)
    assert figure_of_merit(data, "AFROC1") == pytest.approx(figure_of_merit(data, "wAFROC1"), abs=1e-14)


@settings(deadline=None, max_examples=60)
@given(st.lists(ratings, min_size=1, max_size=6), st.lists(ratings, min_size=1, max_size=6))
def test_afroc_of_roc_data_is_the_wilcoxon_statistic(healthy: list[float], diseased: list[float]) -> None:
    data = FreeResponseData.from_scores(healthy + diseased, [0] * len(healthy) + [1] * len(diseased))
    expected = sum(psi(x, y) for x in healthy for y in diseased) / (len(healthy) * len(diseased))
    for name in ("Wilcoxon", "HrAuc", "AFROC", "wAFROC"):
        assert figure_of_merit(data, name) == pytest.approx(expected, abs=1e-14)


@settings(deadline=None, max_examples=60)
@given(studies(), ratings)
def test_false_positive_on_a_diseased_case_counts_only_where_all_cases_do(cases: list[Case], rating: float) -> None:
    before = build(cases)
    after = build([*cases[:-1], (cases[-1][0] + [rating], *cases[-1][1:])])
    for name in ("AFROC", "wAFROC"):
        assert figure_of_merit(after, name) == figure_of_merit(before, name)
    for name in ("AFROC1", "wAFROC1"):
        assert figure_of_merit(after, name) <= figure_of_merit(before, name) + 1e-15


def test_high_false_positive_on_a_diseased_case_lowers_afroc1() -> None:
    before, after = build([([], [], []), ([], [3], [1])]), build([([], [], []), ([4], [3], [1])])
    assert (figure_of_merit(before, "AFROC1"), figure_of_merit(after, "AFROC1")) == (1, 0.5)


# What is undefined


def test_without_nondiseased_cases_only_the_figures_over_all_cases_are_defined() -> None:
    data = build(HAND_EXAMPLE[3:])
    # Highest NLs 1 and 4; lesions 3 (.6), unmarked (.4), unmarked (1).
    assert figure_of_merit(data, "AFROC1") == pytest.approx(1 / 6)
    assert figure_of_merit(data, "wAFROC1") == pytest.approx(0.6 / 4)
    for name in set(FIGURES_OF_MERIT) - {"AFROC1", "wAFROC1"}:
        with pytest.raises(ValueError, match=f"{name} needs non-diseased cases"):
            figure_of_merit(data, name)


def test_without_diseased_cases_nothing_is_defined() -> None:
    data = build(HAND_EXAMPLE[:3])
    for name in FIGURES_OF_MERIT:
        with pytest.raises(ValueError, match=f"{name} needs diseased cases"):
            figure_of_merit(data, name)
    assert all(math.isnan(value) for value in figures_of_merit(data).values())


def test_wilcoxon_needs_roc_data() -> None:
    with pytest.raises(ValueError, match="exactly one rating per case"):
        figure_of_merit(build(HAND_EXAMPLE), "Wilcoxon")


def test_aliases_name_the_same_figures() -> None:
    data = build(HAND_EXAMPLE)
    for alias, name in ALIASES.items():
        assert figure_of_merit(data, alias) == figure_of_merit(data, name)
        assert canonical_name(alias) == name


def test_unknown_names_are_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match=r"unknown figure of merit 'wafroc'; choose from .*wAFROC"):
        figure_of_merit(build(HAND_EXAMPLE), "wafroc")


# Resampling


def repeated(cases: list[Case], counts: list[int]) -> list[Case]:
    return [case for case, count in zip(cases, counts, strict=True) for _ in range(count)]


@settings(deadline=None, max_examples=100)
@given(studies(), st.data())
def test_counts_weigh_cases_like_repeating_them(cases: list[Case], data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(cases), max_size=len(cases)))
    sample = repeated(cases, counts)
    assume(any(not case[1] for case in sample) and any(case[1] for case in sample))
    expected = oracle(sample)
    for name, value in expected.items():
        statistic = figure_of_merit_statistic(build(cases), name)
        assert statistic(np.array(counts)) == pytest.approx(value, abs=1e-12), name


def test_sample_without_the_cases_it_needs_is_nan() -> None:
    data = build(HAND_EXAMPLE)
    no_healthy, no_diseased = np.array([0, 0, 0, 1, 1]), np.array([1, 1, 1, 0, 0])
    for name in ("AFROC", "wAFROC", "HrAuc", "MaxNLF", "HrSp"):
        assert math.isnan(figure_of_merit_statistic(data, name)(no_healthy))
    for name in ("AFROC", "wAFROC1", "FROC", "MaxLLF", "HrSe"):
        assert math.isnan(figure_of_merit_statistic(data, name)(no_diseased))


def simulated(seed: int, n: int = 40, shift: float = 1.0) -> FreeResponseData:
    generator = np.random.default_rng(seed)

    def nls() -> list[float]:
        return generator.normal(size=generator.poisson(1.0)).tolist()

    cases: list[Case] = [(nls(), [], []) for _ in range(n)]
    for _ in range(n):
        lesions = [
            float(generator.normal(shift)) if generator.random() < 0.8 else None
            for _ in range(generator.integers(1, 4))
        ]
        cases.append((nls(), lesions, [1 / len(lesions)] * len(lesions)))
    return build(cases)


@pytest.mark.parametrize("name", ["AFROC", "wAFROC"])
def test_estimate_has_the_value_and_an_interval_around_it(name: str) -> None:
    data = simulated(3)
    estimate = figure_of_merit_estimate(data, name, Bootstrap(n_resamples=200, seed=5))
    assert estimate.value == figure_of_merit(data, name)
    assert estimate.low < estimate.value < estimate.high
    assert estimate.n == 80
    assert estimate.method == (
        "percentile bootstrap of 80 patients (40 without and 40 with disease), 200 resamples, seed 5"
    )
    assert estimate.reason is None


@pytest.mark.parametrize("marks", [([1.0], 2.0), ([2.0], 1.0), ([], None)])
def test_an_analytic_interval_without_width_has_the_reason(marks) -> None:
    false, lesion = marks
    data = build([(false, [], [])] * 3 + [([], [lesion, lesion, lesion], [0.2, 0.3, 0.5])] * 3)
    for name in ("AFROC", "wAFROC", "wAFROC1" if lesion is None else "HrAuc"):
        estimate = figure_of_merit_analytic(data, name)
        assert estimate.high - estimate.low < 1e-9
        assert estimate.reason == "the variance is 0"


def test_interval_limits_are_quantiles_of_recomputed_figures() -> None:
    cases = [*HAND_EXAMPLE, ([2.5], [1, 2], [0.5, 0.5]), ([], [], [])]
    data, bootstrap = build(cases), Bootstrap(n_resamples=50, seed=1)
    ordered = sorted(cases, key=lambda case: bool(case[1]))
    values = [oracle(repeated(ordered, data.cohort.counts(1, replicate).tolist()))["wAFROC"] for replicate in range(50)]
    estimate = figure_of_merit_estimate(data, "wAFROC", bootstrap)
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.quantile(values, (0.025, 0.975))), abs=1e-12)


def test_undefined_estimate_is_nan_with_the_reason() -> None:
    estimate = figure_of_merit_estimate(build(HAND_EXAMPLE[:3]), "wAFROC")
    assert math.isnan(estimate.value)
    assert math.isnan(estimate.low)
    assert estimate.reason == "wAFROC needs diseased cases, and there are none"


def test_identical_readings_do_not_differ() -> None:
    data = simulated(1)
    comparison = compare_figures_of_merit(data, data, "wAFROC", Bootstrap(n_resamples=100))
    difference = comparison.difference
    assert (difference.value, difference.low, difference.high, comparison.p) == (0, 0, 0, 1)


def test_much_better_reading_differs_significantly() -> None:
    good = simulated(1)
    bad = replace(good, ll_rating=good.ll_rating - 4)
    comparison = compare_figures_of_merit(good, bad, "wAFROC", Bootstrap(n_resamples=199))
    assert comparison.difference.value == pytest.approx(comparison.first.value - comparison.second.value)
    assert comparison.difference.low > 0
    assert comparison.p == pytest.approx(2 / 200)
    mirrored = compare_figures_of_merit(bad, good, "wAFROC", Bootstrap(n_resamples=199))
    assert mirrored.difference.high == pytest.approx(-comparison.difference.low)
    assert mirrored.p == comparison.p


def test_pairing_makes_the_interval_of_a_difference_narrower() -> None:
    data = simulated(2)
    shifted = replace(data, ll_rating=data.ll_rating + 0.2)
    comparison = compare_figures_of_merit(shifted, data, "AFROC", Bootstrap(n_resamples=300))
    paired = comparison.difference.high - comparison.difference.low
    single = comparison.first.high - comparison.first.low
    assert paired < single / 2


def test_readings_of_other_cases_are_not_compared() -> None:
    with pytest.raises(ValueError, match="not readings of the same cases"):
        compare_figures_of_merit(simulated(1), simulated(1, n=41), "wAFROC")


def test_interval_covers_the_true_value_about_as_often_as_it_says() -> None:
    # Normal scores one standard deviation apart: the true AUC is Phi(1 / sqrt 2).
    generator = np.random.default_rng(0)
    truth, covered, repetitions = 0.7602499389, 0, 150
    labels = np.repeat([0, 1], 40)
    for _ in range(repetitions):
        data = FreeResponseData.from_scores(generator.normal(size=80) + labels, labels)
        estimate = figure_of_merit_estimate(data, "Wilcoxon", Bootstrap(n_resamples=200))
        covered += estimate.low <= truth <= estimate.high
    assert 0.89 <= covered / repetitions <= 0.99


# Reference results of RJafroc


def readings(path: Path) -> list[list[FreeResponseData]]:
    """Data of a froc-json/1 file, [modality][reader]."""
    study = json.loads(path.read_text())

    def reading(i: int, j: int) -> FreeResponseData:
        nls, lls = study["NL"][i][j], study["LL"][i][j]
        return FreeResponseData(
            n_nondiseased=study["n_nondiseased"],
            n_diseased=study["n_diseased"],
            nl_case=[case for case, _ in nls],
            nl_rating=[rating for _, rating in nls],
            ll_case=[case for case, _, _ in lls],
            ll_lesion=[lesion for _, lesion, _ in lls],
            ll_rating=[rating for _, _, rating in lls],
            lesions_per_case=study["lesions_per_case"],
            lesion_weights=np.concatenate(study["lesion_weights"]),
        )

    return [[reading(i, j) for j in range(len(study["readers"]))] for i in range(len(study["modalities"]))]


@pytest.mark.shared_data
@pytest.mark.parametrize("study", ["vandyke_roc", "fed_froc"])
def test_figures_equal_those_of_rjafroc(shared_data: Path, study: str) -> None:
    data = readings(shared_data / "froc" / f"{study}.json")
    reference = json.loads((shared_data / "froc" / f"{study}.reference.json").read_text())
    figures = reference["computed"]["figures_of_merit"]
    assert figures
    for name, expected in figures.items():
        computed = [[figure_of_merit(reading, name) for reading in row] for row in data]
        np.testing.assert_allclose(computed, expected, rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.shared_data
def test_published_modality_means_of_van_dyke(shared_data: Path) -> None:
    data = readings(shared_data / "froc" / "vandyke_roc.json")
    means = [np.mean([figure_of_merit(reading, "Wilcoxon") for reading in row]) for row in data]
    assert means == pytest.approx([0.89703704, 0.94083736], abs=5e-9)


@pytest.mark.shared_data
def test_published_modality_means_of_fed(shared_data: Path) -> None:
    data = readings(shared_data / "froc" / "fed_froc.json")
    means = [np.mean([figure_of_merit(reading, "HrAuc") for reading in row]) for row in data]
    assert means == pytest.approx([0.84516250, 0.85026250, 0.80983750, 0.85057500, 0.80838750], abs=5e-9)
