from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medpipe.data.lookalikes.nodules import (
    AMPLITUDES,
    BLOBS,
    Blob,
    NoduleDrawing,
    draw_nodule_radiograph,
    plan_nodule_cases,
)
from medpipe.errors import RequestError

PARTS = {0: 0.5, 1: 0.25, 2: 0.25}


def draw(seed: int, nodules: int = 1, size: int = 64) -> NoduleDrawing:
    return draw_nodule_radiograph(np.random.default_rng(seed), nodules, size)


def brightness(image: NDArray[np.float32], blob: Blob) -> float:
    """Mean of the nine pixels, at a side of 64, around a blob's centre."""
    row, column = int(blob.y), int(blob.x)
    return float(image[row - 1 : row + 2, column - 1 : column + 2].mean())


@pytest.fixture(scope="module")
def drawings() -> list[NoduleDrawing]:
    return [plan.draw() for plan in plan_nodule_cases("test", cases=600, seed=5, size=64, parts=PARTS)]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(0, 2))
def test_every_image_has_five_blobs_and_at_least_three_normal_ones(seed: int, nodules: int) -> None:
    drawing = draw(seed, nodules)
    assert (len(drawing.nodules), len(drawing.normal)) == (nodules, BLOBS - nodules)
    assert len(drawing.normal) >= 3
    assert AMPLITUDES[0] <= drawing.amplitude <= AMPLITUDES[1]
    for first, second in combinations(drawing.nodules + drawing.normal, 2):
        assert np.hypot(first.x - second.x, first.y - second.y) > first.radius + second.radius


def test_a_nodule_adds_its_step_to_the_same_image() -> None:
    for seed in range(20):
        drawing = draw(seed)
        step = (drawing.image - draw(seed, 0).image) * 1.2  # in units of the body's brightness
        (nodule,) = drawing.nodules
        rows, columns = np.indices(step.shape) + 0.5
        distance = np.hypot(columns - nodule.x, rows - nodule.y)
        assert step[distance < 0.5 * nodule.radius] == pytest.approx(0.22, rel=0.07)
        np.testing.assert_allclose(step[distance > 2 * nodule.radius], 0, atol=1e-6)


def test_blobs_lie_in_lungs_that_are_darker_than_the_body(drawings: list[NoduleDrawing]) -> None:
    mean = np.mean([drawing.image for drawing in drawings], axis=0)
    assert mean[33, 19] < 0.4
    assert mean[33, 45] < 0.4
    assert min(mean[33, 32], mean[5].min(), mean[33, 3]) > 0.75
    for drawing in drawings:
        brightest = max(brightness(drawing.image, blob) for blob in drawing.nodules + drawing.normal)
        assert brightest < np.percentile(drawing.image, 99)


def test_comparison_tells_the_images_apart_and_brightness_does_not(drawings: list[NoduleDrawing]) -> None:
    labels = np.array([bool(drawing.nodules) for drawing in drawings])
    images = np.array([drawing.image for drawing in drawings])
    blobs = np.array([[brightness(d.image, blob) for blob in d.nodules + d.normal] for d in drawings])
    compared = blobs.max(1) - np.median(blobs, axis=1)
    assert roc_auc_score(labels, compared) > 0.98
    assert 0.75 < roc_auc_score(labels, blobs.max(1)) < 0.92  # what a detector without comparison can reach
    measures = np.stack([images.mean((1, 2)), images.max((1, 2)), images.min((1, 2)), images.std((1, 2))], axis=1)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(measures[::2], labels[::2])
    assert roc_auc_score(labels[1::2], model.predict_proba(measures[1::2])[:, 1]) < 0.7


def test_a_larger_picture_shows_the_same_blobs_larger() -> None:
    small, large = draw(4), draw(4, size=256)
    for first, second in zip(small.nodules + small.normal, large.nodules + large.normal, strict=True):
        assert (second.x, second.y, second.radius) == pytest.approx((4 * first.x, 4 * first.y, 4 * first.radius))
    averaged = large.image.reshape(64, 4, 64, 4).mean((1, 3))
    assert np.corrcoef(averaged.ravel(), small.image.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("nodules", [-1, 3])
def test_too_many_nodules_are_refused(nodules: int) -> None:
    with pytest.raises(RequestError, match="0 to 2"):
        draw(0, nodules)


def test_a_plan_holds_the_shares_and_numbers_each_kind_from_1() -> None:
    plans = plan_nodule_cases("test", cases=40, seed=1, size=64, parts=PARTS)
    counts = [plan.nodules for plan in plans]
    assert [counts.count(number) for number in (0, 1, 2)] == [20, 10, 10]
    for positive in (True, False):
        numbers = [plan.number for plan in plans if bool(plan.nodules) is positive]
        assert numbers == list(range(1, 21))
    assert any(first != second for first, second in pairwise(counts[:20]))


def test_a_case_is_drawn_alike_however_often() -> None:
    plan = plan_nodule_cases("test", cases=3, seed=1, size=64, parts=PARTS)[2]
    np.testing.assert_array_equal(plan.draw().image, plan.draw().image)


@pytest.mark.parametrize("wrong", [{"cases": 0}, {"seed": -1}, {"size": 63}, {"size": 4097}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(RequestError, match="expected at least 1 case"):
        plan_nodule_cases("test", **{"cases": 1, "seed": 0, "size": 64, **wrong}, parts=PARTS)
