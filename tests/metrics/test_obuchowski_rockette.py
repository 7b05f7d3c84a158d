from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.mrmc import ANALYSES, Crossing
from medpipe.metrics.obuchowski_rockette import ObuchowskiRockette, figure_covariance, obuchowski_rockette
from medpipe.metrics.reader_study import ReaderStudy
from medpipe.metrics.roc import compare_aucs, delong

LABELS = np.repeat([0, 1], [14, 11])


def roc_study(seed: int, modalities: int = 2, readers: int = 3) -> ReaderStudy:
    draw = np.random.default_rng(seed)
    case = draw.normal(size=25)
    readings = [
        [
            FreeResponseData.from_scores(np.round(case + LABELS + 0.2 * i + draw.normal(size=25), 1), LABELS)
            for _ in range(readers)
        ]
        for i in range(modalities)
    ]
    return ReaderStudy(tuple(f"m{i}" for i in range(modalities)), tuple(f"r{j}" for j in range(readers)), readings)


def scores(study: ReaderStudy, i: int, j: int) -> np.ndarray:
    return study.readings[i][j].highest_rating


def means_by_loop(covariance: np.ndarray, readings: list[tuple[int, int]]) -> dict[str, float]:
    """Var and the three covariances, pair by pair."""
    found: dict[str, list[float]] = {"Var": [], "Cov1": [], "Cov2": [], "Cov3": []}
    for (a, (i, j)), (b, (other_i, other_j)) in itertools.product(enumerate(readings), repeat=2):
        kind = {(True, True): "Var", (False, True): "Cov1", (True, False): "Cov2"}.get((i == other_i, j == other_j))
        found[kind or "Cov3"].append(covariance[a, b])
    return {kind: sum(values) / len(values) if values else 0.0 for kind, values in found.items()}


@given(seed=st.integers(0, 10**6), modalities=st.integers(2, 4), readers=st.integers(2, 4))
@settings(max_examples=25, deadline=None)
def test_components_are_means_over_the_covariance_matrix(seed: int, modalities: int, readers: int) -> None:
    study = roc_study(seed, modalities, readers)
    found, figures = obuchowski_rockette(study, "Wilcoxon"), study.figures("Wilcoxon")
    readings = list(itertools.product(range(modalities), range(readers)))
    c = means_by_loop(figure_covariance(study, "Wilcoxon"), readings)
    effect = figures - figures.mean(0) - figures.mean(1)[:, None] + figures.mean()
    ms_tr = (effect**2).sum() / ((modalities - 1) * (readers - 1))
    ms_r = modalities * ((figures.mean(0) - figures.mean()) ** 2).sum() / (readers - 1)
    var_tr = ms_tr - c["Var"] + c["Cov1"] + max(c["Cov2"] - c["Cov3"], 0)
    var_r = (ms_r - var_tr - c["Var"] + c["Cov2"] - (modalities - 1) * (c["Cov1"] - c["Cov3"])) / modalities
    assert found.components == pytest.approx({"VarR": var_r, "VarTR": var_tr, **c}, rel=1e-9, abs=1e-15)


def test_rrfc_of_two_modalities_is_the_paired_t_test_of_the_readers() -> None:
    study = roc_study(5, readers=6)
    first, second = study.figures("Wilcoxon")
    expected = stats.ttest_rel(first, second)
    found = obuchowski_rockette(study, "Wilcoxon").analysis("RRFC")
    assert found.test.p == pytest.approx(expected.pvalue, rel=1e-10)
    assert found.differences[0].statistic == pytest.approx(expected.statistic, rel=1e-10)
    limits = expected.confidence_interval(0.95)
    assert (found.differences[0].low, found.differences[0].high) == pytest.approx((limits.low, limits.high))


def test_frrc_of_one_reader_with_delongs_covariance_is_delongs_test() -> None:
    study = roc_study(7, readers=1)
    expected = compare_aucs(scores(study, 0, 0), scores(study, 1, 0), LABELS)
    found = obuchowski_rockette(study, "Wilcoxon", covariance="delong").analysis("FRRC")
    assert found.normal
    for one in (found.differences[0], found.differences_each_reader[0]):
        assert (one.statistic, one.p) == pytest.approx((expected.z, expected.p), rel=1e-10)
        assert (one.low, one.high) == pytest.approx((expected.difference.low, expected.difference.high))
    assert found.test.statistic == pytest.approx(expected.z**2, rel=1e-10)


@pytest.mark.parametrize("name", ["Wilcoxon", "HrAuc"])
def test_delongs_matrix_has_its_variances_and_covariances(name: str) -> None:
    study = roc_study(3)
    found = figure_covariance(study, name, "delong")
    readings = list(itertools.product(range(2), range(3)))
    for (a, one), (b, two) in itertools.combinations(enumerate(readings), 2):
        assert found[a, a] == pytest.approx(delong(scores(study, *one), LABELS).variance, rel=1e-10)
        expected = compare_aucs(scores(study, *one), scores(study, *two), LABELS).covariance
        assert found[a, b] == found[b, a] == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_the_three_covariances_agree_roughly() -> None:
    study = roc_study(11)
    jackknife, structural, resampled = (
        figure_covariance(study, "Wilcoxon", method, Bootstrap(4000)) for method in ("jackknife", "delong", "bootstrap")
    )
    assert np.abs(jackknife - structural).max() < 0.1 * structural.max()
    assert np.abs(resampled - structural).max() < 0.15 * structural.max()


def test_one_reader_has_frrc_only() -> None:
    found = obuchowski_rockette(roc_study(2, readers=1), "Wilcoxon")
    assert found.analysis("FRRC").test.ndf == 1
    assert found.components["Cov2"] == found.components["Cov3"] == 0
    assert math.isnan(found.components["VarTR"])
    for name in ("RRRC", "RRFC"):
        with pytest.raises(ValueError, match=f"{name} generalises to other readers and needs at least two"):
            found.analysis(name)


def test_one_modality_has_means_with_intervals_and_no_test() -> None:
    both, alone = roc_study(2), roc_study(2)
    alone = ReaderStudy(("m0",), alone.readers, alone.readings[:1])
    for name in ANALYSES:
        found = obuchowski_rockette(alone, "Wilcoxon").analysis(name)
        assert found.test is None
        assert found.differences == found.differences_each_reader == ()
        expected = obuchowski_rockette(both, "Wilcoxon").analysis(name).per_modality[0]  # from its own data alone
        one = found.per_modality[0]
        assert (one.estimate, one.se, one.low) == pytest.approx((expected.estimate, expected.se, expected.low))


def test_one_reading_has_its_own_variance() -> None:
    study = ReaderStudy(("m",), ("r",), [[roc_study(1).readings[0][0]]])
    (one,) = obuchowski_rockette(study, "Wilcoxon", covariance="delong").analysis("FRRC").per_modality
    assert one.se**2 == pytest.approx(delong(scores(study, 0, 0), LABELS).variance, rel=1e-12)


def test_identical_readers_leave_cases_as_the_only_error() -> None:
    columns = roc_study(4, readers=1).readings
    study = ReaderStudy(("m0", "m1"), ("a", "b", "c"), [row * 3 for row in columns])
    found = obuchowski_rockette(study, "Wilcoxon")
    assert found.mean_squares["TR"] == 0
    together = found.analysis("RRRC")
    assert together.test.ddf == math.inf
    assert "infinitely many" in str(together.reason)
    # Three copies of one reader know as much as one: the test is FRRC of that reader.
    single = obuchowski_rockette(ReaderStudy(("m0", "m1"), ("a",), columns), "Wilcoxon").analysis("FRRC")
    assert together.test.p == pytest.approx(single.test.p, rel=1e-9)
    with pytest.warns(RuntimeWarning, match="denominator is 0"):
        fixed = found.analysis("RRFC")
    assert (fixed.test.statistic, fixed.test.p) == (math.inf, 0)


def test_identical_modalities_do_not_differ() -> None:
    row = roc_study(4).readings[0]
    found = obuchowski_rockette(ReaderStudy(("m0", "m1"), ("a", "b", "c"), [row, row]), "Wilcoxon")
    for name in ANALYSES:
        with pytest.warns(RuntimeWarning, match="denominator is 0"):
            result = found.analysis(name)
        assert result.test.p == 1
        assert math.isnan(result.test.statistic)
        assert (result.differences[0].estimate, result.differences[0].p) == (0, 1)


def test_negative_components_are_given_as_they_are() -> None:
    crossing = Crossing(np.array([[0.8, 0.9], [0.8, 0.9]]), ("a", "b"), ("1", "2"))
    found = ObuchowskiRockette(crossing, np.diag([0.01] * 4))
    assert found.components["VarTR"] == pytest.approx(-0.01)
    # No covariance: only the variance counts, and MS(modality x reader) is 0.
    assert found.analysis("FRRC").test.ms_denominator == pytest.approx(0.01)


@given(seed=st.integers(0, 10**6), name=st.sampled_from(["wAFROC", "AFROC1", "HrAuc", "FROC"]))
@settings(max_examples=25, deadline=None)
def test_strictly_increasing_transforms_of_ratings_change_nothing(simulated_study, seed: int, name: str) -> None:
    study = simulated_study(seed)
    moved = ReaderStudy(
        study.modalities,
        study.readers,
        [
            [replace(r, nl_rating=10 + 3 * r.nl_rating**3, ll_rating=10 + 3 * r.ll_rating**3) for r in row]
            for row in study.readings
        ],
    )
    before, after = obuchowski_rockette(study, name), obuchowski_rockette(moved, name)
    assert (before.crossing.figures == after.crossing.figures).all()
    assert (before.covariance == after.covariance).all()


@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_order_of_modalities_readers_and_cases_changes_nothing(simulated_study, seed: int) -> None:
    study = simulated_study(seed, modalities=3, readers=3)
    turned = ReaderStudy(
        study.modalities[::-1],
        study.readers[::-1],
        [[_cases_turned(reading) for reading in row[::-1]] for row in study.readings[::-1]],
    )
    before, after = obuchowski_rockette(study, "wAFROC1"), obuchowski_rockette(turned, "wAFROC1")
    assert after.components == pytest.approx(before.components, rel=1e-9, abs=1e-14)
    for name in ANALYSES:
        one, two = before.analysis(name), after.analysis(name)
        assert two.test.p == pytest.approx(one.test.p, rel=1e-6, abs=1e-12)
        turned_pairs = {tuple(d.label.split("-")): d for d in two.differences}
        for d in one.differences:
            other = turned_pairs[tuple(d.label.split("-")[::-1])]
            assert (other.estimate, other.se) == pytest.approx((-d.estimate, d.se), rel=1e-8, abs=1e-14)


def _cases_turned(data: FreeResponseData) -> FreeResponseData:
    """The same reading with its diseased and its non-diseased cases in opposite order."""
    healthy, n = data.n_nondiseased, data.n_diseased
    nl_case = np.where(data.nl_case < healthy, healthy - 1 - data.nl_case, 2 * healthy + n - 1 - data.nl_case)
    weights = np.split(data.lesion_weights, np.cumsum(data.lesions_per_case)[:-1])
    return replace(
        data,
        nl_case=nl_case,
        ll_case=n - 1 - data.ll_case,
        lesions_per_case=data.lesions_per_case[::-1],
        lesion_weights=np.concatenate(weights[::-1]),
    )


def test_what_cannot_be_done_is_refused(simulated_study) -> None:
    study = simulated_study(1)
    with pytest.raises(ValueError, match="DeLong's covariance is of Wilcoxon and HrAuc alone, not of wAFROC"):
        figure_covariance(study, "wAFROC", "delong")
    with pytest.raises(ValueError, match="covariance must be one of"):
        figure_covariance(study, "wAFROC", "exact")
    with pytest.raises(ValueError, match="exactly one rating per case"):
        figure_covariance(study, "Wilcoxon", "delong")
    with pytest.raises(ValueError, match="DeLong's covariance needs at least two cases of each kind, found 1 diseased"):
        figure_covariance(simulated_study(1, n_diseased=1), "HrAuc", "delong")
    crossing = Crossing(study.figures("wAFROC"), study.modalities, study.readers)
    with pytest.raises(ValueError, match=r"6 figures need a covariance matrix of shape \(6, 6\), found \(2, 2\)"):
        ObuchowskiRockette(crossing, np.eye(2))
    with pytest.raises(ValueError, match="not finite"):
        ObuchowskiRockette(crossing, np.full((6, 6), np.nan))
