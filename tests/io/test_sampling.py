"""Sampling kernels against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from medpipe.io.sampling import on_grid, warp_through


def volume(dtype, order: str = "C") -> np.ndarray:
    values = np.random.default_rng(0).uniform(-100 if np.dtype(dtype).kind != "u" else 0, 100, (7, 8, 9))
    return np.asarray(values, dtype=dtype, order=order)


def inside(places: np.ndarray, shape) -> np.ndarray:
    ends = np.array(shape)[:, None, None, None] - 0.5
    return ((places >= -0.5) & (places < ends)).all(axis=0)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "f4", "f8", ">i2", "f2"])
def test_a_volume_through_a_field_is_scipys(dtype, order) -> None:
    array = volume(dtype, order)
    field = np.random.default_rng(1).uniform(-4, 4, (3, 5, 10, 6)).astype(np.float32)
    places = field.astype(float) + np.indices(field.shape[1:])
    expected = map_coordinates(array.astype(float), places, order=1, mode="nearest")
    expected[~inside(places, array.shape)] = -1000
    np.testing.assert_allclose(warp_through(array, field, fill=-1000), expected, atol=1e-4)


def test_labels_keep_their_type_and_take_the_nearest_voxel() -> None:
    array = volume("u2").astype(np.uint16)
    field = np.random.default_rng(1).uniform(-4, 4, (3, 5, 10, 6)).astype(np.float32)
    places = field.astype(float) + np.indices(field.shape[1:])
    nearest = np.floor(places + 0.5).astype(int)
    within = inside(places, array.shape)
    expected = np.zeros(places.shape[1:], np.uint16)
    expected[within] = array[tuple(nearest[:, within])]
    carried = warp_through(array, field, nearest=True)
    assert carried.dtype == np.uint16
    np.testing.assert_array_equal(carried, expected)


def test_another_grid_is_reached_through_world_coordinates() -> None:
    array = volume("i2")
    affine = np.array([[0.0, 2, 0, 5], [-1, 0, 0, 3], [0, 0, 1.5, -2], [0, 0, 0, 1]])
    grid = np.array([[1.0, 0.1, 0, 4], [0, 0.9, 0, -5], [0, 0, 2, -3], [0, 0, 0, 1]])
    matrix = np.linalg.inv(affine) @ grid
    places = np.tensordot(matrix[:3, :3], np.indices((6, 9, 5)), axes=1) + matrix[:3, 3][:, None, None, None]
    expected = map_coordinates(array.astype(float), places, order=1, mode="nearest")
    expected[~inside(places, array.shape)] = 7
    np.testing.assert_allclose(on_grid(array, affine, grid, (6, 9, 5), fill=7), expected, atol=1e-4)


def test_its_own_grid_gives_the_volume_back() -> None:
    array = volume("f4")
    np.testing.assert_array_equal(on_grid(array, np.diag([2, 3, 4, 1.0]), np.diag([2, 3, 4, 1.0]), array.shape), array)


def test_a_place_that_is_no_number_lies_outside() -> None:
    field = np.full((3, 2, 2, 2), np.nan, np.float32)
    assert (warp_through(volume("i2"), field, fill=5) == 5).all()
