from __future__ import annotations

import math

import numpy as np
import pytest

from medpipe.metrics import reader_bootstrap
from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.jafroc import FIGURES_OF_MERIT, compare_figures_of_merit, figure_of_merit_statistic
from medpipe.metrics.reader_bootstrap import bootstrap_covariance, bootstrap_reader_study, study_replicates
from medpipe.metrics.reader_study import ReaderStudy


@pytest.mark.parametrize("name", [name for name in FIGURES_OF_MERIT if name != "Wilcoxon"])
def test_replicates_are_the_figures_of_each_reading_on_the_same_draws(simulated_study, name: str) -> None:
    study, bootstrap = simulated_study(3), Bootstrap(20, seed=4)
    found = study_replicates(study, name, bootstrap)
    assert found.shape == (20, 2, 3)
    for number in range(20):
        counts = study.cohort.counts(4, number)
        for i, row in enumerate(study.readings):
            for j, reading in enumerate(row):
                expected = figure_of_merit_statistic(reading, name)(counts)
                assert found[number, i, j] == pytest.approx(expected, abs=1e-12)


def test_replicates_do_not_depend_on_how_many_are_made_at_once(simulated_study, monkeypatch) -> None:
    study = simulated_study(3)
    whole = study_replicates(study, "wAFROC", Bootstrap(50))
    monkeypatch.setattr(reader_bootstrap, "_COUNTS_AT_ONCE", 7 * study.n_cases)
    np.testing.assert_allclose(study_replicates(study, "wAFROC", Bootstrap(50)), whole, rtol=1e-14)
    np.testing.assert_allclose(study_replicates(study, "wAFROC", Bootstrap(10)), whole[:10], rtol=1e-14)


@pytest.mark.parametrize("interval", ["percentile", "basic"])
def test_one_reader_in_two_modalities_is_the_paired_comparison(simulated_study, interval) -> None:
    study, bootstrap = simulated_study(6, readers=1), Bootstrap(200, seed=2, interval=interval)
    expected = compare_figures_of_merit(study.readings[0][0], study.readings[1][0], "wAFROC", bootstrap)
    (found,) = bootstrap_reader_study(study, "wAFROC", bootstrap).differences
    for part in ("first", "second", "difference"):
        one, two = getattr(found, part), getattr(expected, part)
        assert (one.value, one.low, one.high) == pytest.approx((two.value, two.low, two.high), abs=1e-12)
        assert one.method == two.method
    assert found.p == pytest.approx(expected.p)


def test_intervals_are_quantiles_of_means_over_readers(simulated_study) -> None:
    study, bootstrap = simulated_study(7, modalities=3), Bootstrap(100, level=0.9)
    replicates, figures = study_replicates(study, "AFROC", bootstrap), study.figures("AFROC")
    found = bootstrap_reader_study(study, "AFROC", bootstrap)
    limits = np.quantile(replicates[:, 1, 2], (0.05, 0.95))
    assert (found.figures[1][2].low, found.figures[1][2].high) == pytest.approx(tuple(limits))
    assert found.figures[1][2].value == figures[1, 2]
    means = replicates.mean(axis=2)
    limits = np.quantile(means[:, 0], (0.05, 0.95))
    assert (found.modality_means[0].low, found.modality_means[0].high) == pytest.approx(tuple(limits))
    apart = [means[:, a] - means[:, b] for a, b in ((0, 1), (0, 2), (1, 2))]
    for comparison, differences in zip(found.differences, apart, strict=True):
        assert comparison.difference.low == pytest.approx(np.quantile(differences, 0.05))
        tail = min((differences <= 0).sum(), (differences >= 0).sum())
        assert comparison.p == pytest.approx(min(1, 2 * (tail + 1) / 101))


def test_drawing_readers_shows_how_much_they_differ() -> None:
    labels = [0, 0, 0, 1, 1, 1]
    perfect, blind = (FreeResponseData.from_scores(scores, labels) for scores in (labels, [1] * 6))
    study, bootstrap = ReaderStudy(("m",), ("perfect", "blind"), ((perfect, blind),)), Bootstrap(100)
    fixed = bootstrap_reader_study(study, "Wilcoxon", bootstrap)
    drawn = bootstrap_reader_study(study, "Wilcoxon", bootstrap, draw_readers=True)
    assert drawn.figures == fixed.figures
    one, two = fixed.modality_means[0], drawn.modality_means[0]
    assert (one.value, one.low, one.high) == (0.75, 0.75, 0.75)  # no case changes what these two are
    assert (two.value, two.low, two.high) == (0.75, 0.5, 1)
    assert two.method == f"{one.method}, 2 readers drawn too"


def test_the_same_readers_are_drawn_in_all_modalities(simulated_study) -> None:
    rows = simulated_study(2, modalities=1).readings[0]
    study = ReaderStudy(("a", "b"), ("1", "2", "3"), (rows, rows))
    (found,) = bootstrap_reader_study(study, "wAFROC", Bootstrap(50), draw_readers=True).differences
    assert (found.difference.low, found.difference.high, found.p) == (0, 0, 1)


def test_covariance_is_that_of_the_replicates(simulated_study) -> None:
    study, bootstrap = simulated_study(5), Bootstrap(60, seed=9)
    expected = np.cov(study_replicates(study, "wAFROC1", bootstrap).reshape(60, 6), rowvar=False)
    np.testing.assert_allclose(bootstrap_covariance(study, "wAFROC1", bootstrap), expected, rtol=1e-10)


def test_images_of_a_patient_are_drawn_together(simulated_study) -> None:
    labels = [0, 0, 0, 0, 1, 1, 1, 1]
    draw = np.random.default_rng(0)
    patients = ["a", "a", "b", "b", "c", "c", "d", "d"]
    reading = FreeResponseData.from_scores(draw.normal(size=8), labels, patients)
    study = ReaderStudy(("m",), ("r",), ((reading,),))
    assert bootstrap_reader_study(study, "Wilcoxon", Bootstrap(10)).modality_means[0].n == 4


def test_what_has_no_bootstrap_is_refused(simulated_study) -> None:
    with pytest.raises(ValueError, match="drawing readers needs at least two"):
        bootstrap_reader_study(simulated_study(1, readers=1), "wAFROC", draw_readers=True)
    with pytest.raises(ValueError, match="at least two patients with and two without disease"):
        bootstrap_covariance(simulated_study(1, n_diseased=1), "wAFROC")
    with pytest.raises(ValueError, match="1 of 1 resamples define wAFROC; a covariance needs two"):
        bootstrap_covariance(simulated_study(1), "wAFROC", Bootstrap(1))
    alone = bootstrap_reader_study(simulated_study(1, n_diseased=1), "wAFROC", Bootstrap(5))
    assert math.isnan(alone.modality_means[0].low)
    assert "one patient" in str(alone.modality_means[0].reason)
