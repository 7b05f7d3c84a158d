from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.multilabel import multilabel_estimates, multilabel_mean_statistic
from medpipe.metrics.roc import auc_estimate

FEW = Bootstrap(n_resamples=200)


def example(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(1)
    labels = (draw.random((n, 3)) < [0.3, 0.5, 0.7]).astype(float)
    return draw.normal(size=(n, 3)) + labels, labels


def test_every_class_and_the_mean_agree_with_scikit_learn() -> None:
    scores, labels = example()
    found = multilabel_estimates(scores, labels, ["a", "b", "c"], bootstrap=FEW)
    expected = [roc_auc_score(labels[:, k], scores[:, k]) for k in range(3)]
    assert [entry.auc.value for entry in found.classes] == pytest.approx(expected)
    assert found.mean.value == pytest.approx(np.mean(expected))
    assert found.mean.low < found.mean.value < found.mean.high
    assert found.classes[0].auc == auc_estimate(scores[:, 0], labels[:, 0])


def test_a_class_without_positives_is_nan_listed_and_left_out_of_the_mean() -> None:
    scores, labels = example()
    labels[:, 1] = 0
    found = multilabel_estimates(scores, labels, ["a", "b", "c"], bootstrap=FEW)
    assert found.undefined == ("b",)
    assert np.isnan(found.classes[1].auc.value)
    assert "no diseased case" in str(found.classes[1].auc.reason)
    others = [roc_auc_score(labels[:, k], scores[:, k]) for k in (0, 2)]
    assert found.mean.value == pytest.approx(np.mean(others))


def test_a_case_with_an_unknown_label_is_left_out_for_this_class_only() -> None:
    scores, labels = example()
    labels[:20, 0] = np.nan
    found = multilabel_estimates(scores, labels, ["a", "b", "c"], bootstrap=FEW)
    assert found.classes[0].positives + found.classes[0].negatives == 40
    assert found.classes[0].auc.value == pytest.approx(roc_auc_score(labels[20:, 0], scores[20:, 0]))
    assert found.classes[1].positives + found.classes[1].negatives == 60


def test_a_sample_that_lacks_one_of_the_classes_has_no_mean() -> None:
    scores, labels = example()
    mean = multilabel_mean_statistic(scores, labels)
    assert mean(np.ones(60, dtype=np.int64)) == pytest.approx(
        np.mean([roc_auc_score(labels[:, k], scores[:, k]) for k in range(3)])
    )
    assert np.isnan(mean((labels[:, 0] == 0).astype(np.int64)))


def test_no_class_with_both_labels_has_no_mean() -> None:
    scores, _ = example()
    found = multilabel_estimates(scores, np.ones_like(scores), ["a", "b", "c"], bootstrap=FEW)
    assert np.isnan(found.mean.value)
    assert found.undefined == ("a", "b", "c")


def test_images_of_one_patient_widen_the_interval() -> None:
    scores, labels = example()
    patients = [str(k // 3) for k in range(180)]
    tripled = multilabel_estimates(np.repeat(scores, 3, 0), np.repeat(labels, 3, 0), ["a", "b", "c"], patients, FEW)
    once = multilabel_estimates(scores, labels, ["a", "b", "c"], bootstrap=FEW)
    widths = [e.classes[0].auc.high - e.classes[0].auc.low for e in (once, tripled)]
    assert widths[1] == pytest.approx(widths[0], rel=0.02)


def test_a_single_patient_without_any_finding_does_not_take_the_interval_away() -> None:
    draw = np.random.default_rng(2)
    labels = (np.arange(60)[:, None] % 2 == [0, 1]).astype(float)
    labels[7] = 0
    mean = multilabel_estimates(draw.normal(size=(60, 2)) + labels, labels, ["a", "b"], bootstrap=Bootstrap(100)).mean
    assert mean.low < mean.value < mean.high


@pytest.mark.parametrize(
    ("scores", "labels", "names", "message"),
    [
        ([[0.1, 0.2]], [[0, 1, 1]], ["a", "b"], "must both be"),
        ([[0.1, 0.2]], [[0, 1]], ["a", "a"], "different names"),
        ([[0.1, np.nan]], [[0, 1]], ["a", "b"], "finite"),
        ([[0.1, 0.2]], [[0, 2]], ["a", "b"], "found 2"),
    ],
)
def test_what_does_not_fit_is_refused(scores, labels, names, message) -> None:
    with pytest.raises(ValueError, match=message):
        multilabel_estimates(scores, labels, names)
