"""The logistic curve through outcomes, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from medpipe.metrics.calibration import calibration
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.logistic_calibration import cross_fitted, fit_logistic


def drawn(count: int = 300, slope: float = 1.5, intercept: float = -1.0, seed: int = 0):
    rng = np.random.default_rng(seed)
    scores = rng.normal(2, 3, count)
    return scores, rng.random(count) < 1 / (1 + np.exp(-(slope * scores + intercept)))


def curve(scores, slope: float, intercept: float):
    return 1 / (1 + np.exp(-(slope * np.asarray(scores) + intercept)))


def test_the_curve_is_scikit_learns_with_the_same_targets() -> None:
    scores, true = drawn()
    model = LogisticRegression().fit(scores[:, None], true)  # which hands on a multiple of the scores
    theirs = CalibratedClassifierCV(FrozenEstimator(model), method="sigmoid").fit(scores[:, None], true)
    expected = theirs.predict_proba(scores[:, None])[:, 1]
    assert np.allclose(curve(scores, *fit_logistic(scores, true)), expected, atol=2e-5)


def test_many_cases_give_back_the_curve_that_they_were_drawn_from_whatever_the_scale() -> None:
    scores, true = drawn(40_000)
    slope, intercept = fit_logistic(scores, true)
    assert (slope, intercept) == (pytest.approx(1.5, abs=0.1), pytest.approx(-1, abs=0.1))
    scaled = fit_logistic(1000 * scores + 5000, true)
    assert np.allclose(curve(1000 * scores + 5000, *scaled), curve(scores, slope, intercept), atol=1e-4)


def test_scores_that_separate_or_do_not_vary_give_finite_curves() -> None:
    slope, intercept = fit_logistic([-1, -2, 1, 2], [0, 0, 1, 1])
    assert 0 < slope < 20
    assert np.isfinite(intercept)
    flat = curve([3.0], *fit_logistic([3, 3, 3], [1, 0, 1]))
    assert flat[0] == pytest.approx((2 * 0.75 + 1 / 3) / 3, abs=1e-6)  # the mean of the smoothed targets
    assert curve([1.0], *fit_logistic([1, 2], [1, 1]))[0] > 0.5


def test_a_case_has_no_part_in_the_curve_that_judges_it_and_neither_has_its_group() -> None:
    scores, true = drawn(60)
    groups = [f"g{place // 6}" for place in range(60)]
    before = cross_fitted(scores, true, groups)
    changed = true.copy()
    changed[:6] = ~changed[:6]
    after = cross_fitted(scores, changed, groups)
    assert np.allclose(before[:6], after[:6])
    assert not np.allclose(before[6:], after[6:])


def test_cross_fitted_probabilities_are_better_calibrated_than_scores_that_are_too_sure() -> None:
    scores, true = drawn(2000, slope=0.3, intercept=0)
    groups = [str(place // 4) for place in range(2000)]
    few = Bootstrap(n_resamples=10)
    own = calibration(curve(scores, 1, 0), true, bootstrap=few)
    found = calibration(cross_fitted(scores, true, groups), true, bootstrap=few)
    assert found.ece.value < 0.05 < own.ece.value
    assert found.brier.value < own.brier.value


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(ValueError, match="as many outcomes"):
        fit_logistic([], [])
    with pytest.raises(ValueError, match="not finite|finite"):
        fit_logistic([1, np.nan], [0, 1])
    with pytest.raises(ValueError, match="two different ones or more; found 1"):
        cross_fitted([1, 2], [0, 1], ["a", "a"])
