from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from medpipe.metrics.calibration import calibration
from medpipe.metrics.intervals import Bootstrap

FEW = Bootstrap(n_resamples=200)


def sample(n: int = 400, exponent: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    probability = draw.random(n)
    return probability**exponent, draw.random(n) < probability


def test_brier_and_the_reliability_curve_are_scikit_learns() -> None:
    probability, label = sample()
    found = calibration(probability, label, bootstrap=FEW)
    assert found.brier.value == pytest.approx(brier_score_loss(label, probability))
    observed, mean = calibration_curve(label, probability, n_bins=10)
    assert [b.observed.value for b in found.bins if b.n] == pytest.approx(observed.tolist())
    assert [b.mean_probability for b in found.bins if b.n] == pytest.approx(mean.tolist())


def test_the_expected_calibration_error_by_hand() -> None:
    """Two bins: [0, .5) holds .2 and .4 with one positive, [.5, 1] holds 1.0 (twice), one positive."""
    found = calibration([0.2, 0.4, 1.0, 1.0], [0, 1, 1, 0], n_bins=2, bootstrap=FEW)
    assert found.ece.value == pytest.approx(0.5 * abs(0.3 - 0.5) + 0.5 * abs(1.0 - 0.5))
    assert found.in_the_large.value == pytest.approx(2.6 / 4 - 0.5)
    assert [b.n for b in found.bins] == [2, 2]


def test_probabilities_that_come_true_are_told_from_those_that_do_not() -> None:
    good, bad = calibration(*sample(), bootstrap=FEW), calibration(*sample(exponent=4), bootstrap=FEW)
    assert good.in_the_large.low < 0 < good.in_the_large.high
    assert bad.in_the_large.high < 0
    assert bad.ece.low > good.ece.high


def test_certain_and_right_is_perfect_and_an_empty_bin_is_nan_with_a_reason() -> None:
    found = calibration([0, 0, 1, 1], [0, 0, 1, 1], bootstrap=FEW)
    assert (found.brier.value, found.ece.value) == (0, 0)
    assert np.isnan(found.bins[4].mean_probability)
    assert found.bins[4].observed.reason == "no trials"
    assert found.bins[9].n == 2


@pytest.mark.parametrize("n_bins", [2, 3, 7, 10, 15, 20, 49])
def test_every_case_lies_within_the_edges_of_its_bin(n_bins: int) -> None:
    edges = np.arange(1, n_bins) / n_bins
    values = np.concatenate([edges, np.nextafter(edges, 0), [0, 1]])
    found = calibration(values, np.zeros(values.size), n_bins, bootstrap=Bootstrap(1))
    for part in found.bins:
        assert part.n == ((values >= part.low) & ((values < part.high) | (part.high == 1))).sum()


def test_the_interval_of_calibration_in_the_large_is_that_of_a_mean() -> None:
    """Outcomes are drawn, so that the share of diseased cases is as uncertain as they are."""
    probability, label = sample(2000)
    excess = probability - label
    found = calibration(probability, label, bootstrap=Bootstrap(1000)).in_the_large
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * excess.std() / np.sqrt(excess.size), rel=0.08)
    assert "2000 patients, all drawn together" in found.method


def test_bins_say_when_images_are_not_independent() -> None:
    probability, label = sample(40)
    found = calibration(probability, label, patients=[str(k // 2) for k in range(40)], bootstrap=FEW)
    assert {part.observed.reason for part in found.bins} == {"several images of one patient are counted as independent"}
    assert "20 patients" in found.brier.method


@pytest.mark.parametrize(
    ("values", "labels", "message"),
    [
        ([0.5, 1.2], [0, 1], "found 1.2 at position 1"),
        ([0.5, np.nan], [0, 1], "found nan"),
        ([], [], "one case"),
        ([0.5], [0, 1], "1 prob"),
    ],
)
def test_what_is_no_probability_is_refused(values, labels, message) -> None:
    with pytest.raises(ValueError, match=message):
        calibration(values, labels)
