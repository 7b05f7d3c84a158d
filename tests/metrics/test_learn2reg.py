"""Learn2Reg's numbers against the same formulas written with scipy's filters, as its evaluation has them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import correlate, gaussian_filter, map_coordinates

from medpipe.metrics.jacobian import jacobian_determinant, jacobian_statistics
from medpipe.metrics.learn2reg import (
    learn2reg_landmark_errors,
    learn2reg_sd_log_jacobian,
    learn2reg_warp_labels,
)

SHAPE = (14, 12, 16)


@pytest.fixture
def field() -> np.ndarray:
    draw = np.random.default_rng(8)
    return np.stack([gaussian_filter(draw.normal(scale=12, size=SHAPE), 2) for _ in range(3)])


def filtered_determinant(field: np.ndarray) -> np.ndarray:
    jacobian = np.empty((*SHAPE, 3, 3))
    for component in range(3):
        for axis in range(3):
            kernel = np.array([-0.5, 0, 0.5]).reshape([3 if k == axis else 1 for k in range(3)])
            jacobian[..., component, axis] = correlate(field[component], kernel, mode="constant", cval=0.0)
    return np.linalg.det((jacobian + np.eye(3))[2:-2, 2:-2, 2:-2])


def test_sdlogj_adds_three_and_cuts_two_voxels(field) -> None:
    expected = np.std(np.log((filtered_determinant(field) + 3).clip(1e-9, 1e9)))
    assert learn2reg_sd_log_jacobian(field.astype(np.float32)) == pytest.approx(expected, rel=1e-5)


def test_sdlogj_within_a_mask_takes_only_its_voxels(field) -> None:
    mask = np.random.default_rng(0).random(SHAPE) < 0.3
    values = filtered_determinant(field)[mask[2:-2, 2:-2, 2:-2]]
    expected = np.std(np.log((values + 3).clip(1e-9, 1e9)))
    assert learn2reg_sd_log_jacobian(field.astype(np.float32), mask) == pytest.approx(expected, rel=1e-5)


def test_sdlogj_hides_a_field_that_folds(field) -> None:
    wild = (3 * field).astype(np.float32)
    honest = jacobian_statistics(jacobian_determinant(wild))
    assert honest.fold_pct > 1
    assert learn2reg_sd_log_jacobian(wild) < honest.sd_log / 2


def test_labels_are_zero_just_outside_the_volume() -> None:
    moving = np.ones((6, 6, 6), np.uint16)
    shift = np.zeros((3, 6, 6, 6), np.float32)
    shift[0] = 0.4  # the last voxel asks for 5.4, which scipy takes as outside
    expected = map_coordinates(moving, np.indices((6, 6, 6)) + shift, order=0, mode="constant", cval=0)
    assert np.array_equal(learn2reg_warp_labels(moving, shift), expected)


def test_landmarks_are_sampled_by_cubic_splines_and_scaled_by_the_moving_spacing(field) -> None:
    draw = np.random.default_rng(4)
    fixed, moving = draw.uniform(2, 9, (2, 5, 3))
    spacing = (1.75, 1.25, 1.75)
    moved = np.stack([map_coordinates(part, fixed.T) for part in field], axis=1)
    expected = np.linalg.norm((fixed + moved - moving) * spacing, axis=1)
    np.testing.assert_allclose(learn2reg_landmark_errors(field, fixed, moving, spacing), expected)
