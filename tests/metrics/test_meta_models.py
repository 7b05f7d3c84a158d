"""Fuse scores against values worked out by hand and a plain loop, and the choice by them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.metrics.meta_models import ModelScores, chosen_models, model_scores


def test_two_models_whose_features_are_at_right_angles_are_1_apart() -> None:
    found = model_scores(np.array([[0.5], [0.9]]), np.array([[[1.0, 0]], [[0, 2.0]]]), weight=0.8, squash=False)
    assert found.diversity.tolist() == [1, 1]
    assert found.fuse == pytest.approx([0.8 * 0.5 + 0.2, 0.8 * 0.9 + 0.2])


def test_three_models_by_hand_with_and_without_tanh() -> None:
    features = np.array([[[1.0, 0]], [[0, 1.0]], [[-1.0, 0]]])  # 1 - cos: 1 to the neighbour, 2 between the outer ones
    p = np.array([[0.2], [0.4], [0.6]])
    plain = model_scores(p, features, weight=0.75, squash=False)
    assert plain.diversity == pytest.approx([3, 2, 3])
    assert plain.fuse == pytest.approx([0.15 + 0.75, 0.3 + 0.5, 0.45 + 0.75])
    squashed = model_scores(p, features, weight=0.75, squash=True)
    assert squashed.diversity == pytest.approx([math.tanh(3), math.tanh(2), math.tanh(3)])


def test_tanh_is_taken_of_each_image_before_the_mean() -> None:
    features = np.array([[[1.0, 0], [1.0, 0]], [[1.0, 0], [-1.0, 0]]])
    found = model_scores(np.full((2, 2), 0.5), features, weight=0.5, squash=True)
    assert found.diversity == pytest.approx([math.tanh(2) / 2] * 2)


@given(st.integers(0, 99), st.integers(1, 5), st.integers(1, 6), st.floats(0, 1), st.booleans())
def test_scores_are_those_of_a_loop_and_follow_a_permutation_of_the_models(
    seed, models, images, weight, squash
) -> None:
    rng = np.random.default_rng(seed)
    p, f = rng.random((models, images)), rng.normal(size=(models, images, 4))
    expected = []
    for c in range(models):
        total = 0.0
        for i in range(images):
            d = sum(
                1 - f[c, i] @ f[j, i] / np.linalg.norm(f[c, i]) / np.linalg.norm(f[j, i])
                for j in range(models)
                if j != c
            )
            total += weight * p[c, i] + (1 - weight) * (math.tanh(d) if squash else d)
        expected.append(total / images)
    found = model_scores(p, f, weight=weight, squash=squash)
    assert found.fuse == pytest.approx(expected)
    order = rng.permutation(models)
    assert model_scores(p[order], f[order], weight=weight, squash=squash).fuse == pytest.approx(found.fuse[order])


def test_equal_models_are_not_apart_and_a_weight_of_1_is_the_probability_alone() -> None:
    rng = np.random.default_rng(0)
    p, f = rng.random((3, 5)), rng.normal(size=(1, 5, 4)).repeat(3, axis=0)
    assert model_scores(p, f, weight=0.5, squash=True).diversity == pytest.approx([0, 0, 0], abs=1e-12)
    found = model_scores(p, rng.normal(size=(3, 5, 4)), weight=1, squash=False)
    assert found.fuse == pytest.approx(p.mean(axis=1))
    assert found.probability == pytest.approx(p.mean(axis=1))


def test_a_feature_without_length_is_like_no_other() -> None:
    found = model_scores(np.ones((2, 1)), np.array([[[0.0, 0]], [[1.0, 0]]]), weight=0.5, squash=False)
    assert found.diversity.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("p", "f", "weight", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 4, 1)), 0.5, "expected"),
        (np.ones((0, 3)), np.ones((0, 3, 1)), 0.5, "expected"),
        (np.ones((2, 3)), np.ones((2, 3, 1)), 1.5, "from 0 to 1, found 1.5"),
    ],
)
def test_what_cannot_be_scored_is_refused(p, f, weight, message) -> None:
    with pytest.raises(ValueError, match=message):
        model_scores(p, f, weight=weight, squash=False)


SCORES = ModelScores(np.array([0.3, 0.9, 0.5, 0.9]), np.zeros(4), np.array([0.8, 0.1, 0.8, 0.2]))


@pytest.mark.parametrize(
    ("selection", "count", "expected"),
    [
        ("fuse", 1, [0]),
        ("fuse", 2, [0, 2]),
        ("fuse", 3, [0, 2, 3]),
        ("accuracy", 2, [1, 3]),
        ("accuracy", 3, [1, 3, 2]),
        ("last", 2, [3, 2]),
        ("all", 1, [0, 2, 3, 1]),
    ],
)
def test_models_are_chosen_best_first(selection, count, expected) -> None:
    assert chosen_models(SCORES, count, selection) == expected


def test_a_choice_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(ValueError, match="5 of 4 models cannot be chosen"):
        chosen_models(SCORES, 5)
    with pytest.raises(ValueError, match="unknown selection 'best', expected one of: fuse, accuracy, last, all"):
        chosen_models(SCORES, 2, "best")
