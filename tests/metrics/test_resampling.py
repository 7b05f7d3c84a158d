"""Sampling through a displacement field, against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from medpipe.metrics.resampling import (
    displacement_lengths_mm,
    sample_displacement,
    sampling_positions,
    warp_image,
    warp_labels,
)

SHAPE = (9, 11, 8)


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(3)


def test_no_displacement_changes_nothing(draw) -> None:
    image = draw.normal(size=SHAPE).astype(np.float32)
    nothing = np.zeros((3, *SHAPE), np.float32)
    assert np.array_equal(warp_image(image, nothing), image)
    labels = draw.integers(0, 5, SHAPE).astype(np.uint16)
    assert np.array_equal(warp_labels(labels, nothing), labels)


def test_a_whole_number_pulls_the_voxel_from_there(draw) -> None:
    image = draw.normal(size=SHAPE).astype(np.float32)
    field = np.zeros((3, *SHAPE), np.float32)
    field[1] = 2
    assert np.array_equal(warp_image(image, field)[:, :-2], image[:, 2:])
    assert np.array_equal(warp_image(image, field)[:, -2:], image[:, [-1, -1]])  # the border is repeated


def test_images_and_labels_are_sampled_as_scipy_does(draw) -> None:
    field = draw.normal(scale=2, size=(3, *SHAPE)).astype(np.float32)
    moving = draw.integers(0, 9, (7, 12, 10)).astype(np.uint16)
    positions = np.indices(SHAPE) + field
    expected = map_coordinates(moving.astype(float), positions, order=1, mode="nearest")
    np.testing.assert_allclose(warp_image(moving, field), expected, atol=1e-5)
    expected = map_coordinates(moving, positions, order=0, mode="grid-constant")
    assert np.array_equal(warp_labels(moving, field), expected)


def test_a_label_more_than_half_a_voxel_outside_is_zero() -> None:
    moving = np.ones((4, 4, 4), np.uint8)
    field = np.zeros((3, 4, 4, 4), np.float32)
    for shift, there in ((-0.4, True), (-0.6, False)):
        field[0, 0] = shift
        assert warp_labels(moving, field)[0].any() == there


def test_the_moving_image_may_have_another_size(draw) -> None:
    moving = draw.normal(size=(20, 5, 6)).astype(np.float32)
    assert warp_image(moving, np.zeros((3, *SHAPE), np.float32)).shape == SHAPE


def test_positions_are_indices_plus_displacement(draw) -> None:
    field = draw.normal(size=(3, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(sampling_positions(field), np.indices(SHAPE) + field, atol=1e-6)


def test_a_linear_displacement_is_sampled_exactly_between_voxels(draw) -> None:
    matrix, shift = draw.normal(scale=0.1, size=(3, 3)), np.array([1.0, -2.0, 0.5])
    field = np.einsum("ij,jxyz->ixyz", matrix, np.indices(SHAPE)) + shift[:, None, None, None]
    points = draw.uniform(1, 6, (5, 3))
    for order in (1, 3):
        np.testing.assert_allclose(
            sample_displacement(field, points, order), points @ matrix.T + shift, atol=1e-9 if order == 1 else 0.05
        )


def test_lengths_are_those_of_every_voxel_through_both_affines(draw) -> None:
    field = draw.normal(scale=2, size=(3, *SHAPE)).astype(np.float32)
    fixed = np.eye(4)
    fixed[:3] = draw.normal(size=(3, 4))
    for moving in (fixed, fixed + np.vstack([draw.normal(size=(3, 4)), np.zeros(4)])):
        voxels = np.indices(SHAPE).reshape(3, -1).T
        ones = np.ones((len(voxels), 1))
        there = np.hstack([voxels + field.reshape(3, -1).T, ones]) @ moving.T
        lengths = np.linalg.norm((there - np.hstack([voxels, ones]) @ fixed.T)[:, :3], axis=1)
        mean, largest = displacement_lengths_mm(field, fixed, moving)
        assert mean == pytest.approx(lengths.mean(), rel=1e-6)
        assert largest == pytest.approx(lengths.max(), rel=1e-6)
