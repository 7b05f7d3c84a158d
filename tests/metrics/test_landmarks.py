"""Landmark errors of fields whose displacement is known everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from medpipe.metrics.landmarks import landmark_errors, landmark_errors_mm

SHAPE = (12, 10, 14)


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(5)


def test_a_perfect_linear_field_leaves_no_error(draw) -> None:
    matrix, shift = draw.normal(scale=0.1, size=(3, 3)), draw.normal(size=3)
    field = np.einsum("ij,jxyz->ixyz", matrix, np.indices(SHAPE)) + shift[:, None, None, None]
    fixed = draw.uniform(0, 9, (6, 3))
    assert landmark_errors(field, fixed, fixed + fixed @ matrix.T + shift).max() < 1e-9


def test_without_displacement_the_error_is_the_distance(draw) -> None:
    fixed, moving = draw.uniform(0, 9, (2, 6, 3))
    nothing = np.zeros((3, *SHAPE))
    np.testing.assert_allclose(landmark_errors(nothing, fixed, moving), np.linalg.norm(fixed - moving, axis=1))


def test_millimetres_go_through_the_affine_of_the_moving_image(draw) -> None:
    fixed, moving = draw.uniform(0, 9, (2, 6, 3))
    affine = np.eye(4)
    affine[:3] = draw.normal(size=(3, 4))  # oblique, flipped, sheared
    world = [np.hstack([points, np.ones((6, 1))]) @ affine.T for points in (fixed, moving)]
    expected = np.linalg.norm((world[0] - world[1])[:, :3], axis=1)
    np.testing.assert_allclose(landmark_errors_mm(np.zeros((3, *SHAPE)), fixed, moving, affine), expected)


def test_a_landmark_moves_from_fixed_to_moving_and_not_back() -> None:
    field = np.zeros((3, *SHAPE))
    field[0] = 2
    assert landmark_errors(field, np.array([[3.0, 4, 5]]), np.array([[5.0, 4, 5]])).tolist() == [0]
    assert landmark_errors(field, np.array([[5.0, 4, 5]]), np.array([[3.0, 4, 5]])).tolist() == [4]


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="two lists of landmarks"):
        landmark_errors(np.zeros((3, *SHAPE)), np.zeros((2, 3)), np.zeros((3, 3)))
