from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.interpolate import BSpline

from medpipe.data.lookalikes.deformable_shapes import (
    ANATOMIES,
    field_between,
    nested_ellipsoids,
    paint,
    points_before,
    random_shapes,
    smooth_field,
    smooth_noise,
    warp,
)

SHAPE = (20, 22, 24)


def determinants(field: np.ndarray) -> np.ndarray:
    """det(I + grad u) by forward differences, on the grid without its last layer."""
    inside = tuple(slice(0, size - 1) for size in field.shape[1:])
    rows = [[np.diff(part, axis=axis)[inside] for axis in range(3)] for part in field]
    return np.linalg.det(np.moveaxis(np.array(rows), (0, 1), (-2, -1)) + np.eye(3))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(4, 12), st.floats(0.1, 5))
def test_a_field_is_one_to_one_whatever_its_spacing_and_amplitude(seed: int, spacing: float, amplitude: float) -> None:
    field = smooth_field(rng(seed), SHAPE, spacing, amplitude)
    assert determinants(field).min() > 0
    assert 0 < np.abs(field).max() <= amplitude * 1.0001


def test_a_single_step_stays_below_the_amplitude_and_comes_near_it() -> None:
    peaks = [np.abs(smooth_field(rng(seed), SHAPE, 8, 3.2)).max() for seed in range(10)]
    assert max(peaks) <= 3.2
    assert np.mean(peaks) > 0.4 * 3.2


def test_equal_seeds_give_equal_fields_and_others_do_not() -> None:
    first, again, other = (smooth_field(rng(seed), SHAPE, 6, 4) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.5


@pytest.mark.parametrize("spacing", [3.0, 4.5, 30.0])
def test_noise_is_the_b_spline_of_its_control_points(spacing: float) -> None:
    shape, controls = (17, 9, 12), [int(np.ceil((size - 1) / spacing)) + 3 for size in (17, 9, 12)]
    drawn = rng(5).standard_normal((2, *controls))
    expected = drawn
    for axis, (size, count) in enumerate(zip(shape, controls, strict=True)):
        knots = np.arange(-3, count + 1)  # control 1 has its peak at voxel 0
        spline = BSpline(knots, np.moveaxis(expected, axis + 1, 0), 3)
        expected = np.moveaxis(spline(np.arange(size) / spacing), 0, axis + 1)
    np.testing.assert_allclose(smooth_noise(rng(5), shape, spacing, 2), expected, atol=1e-5)


def test_warp_is_scipys_and_pulls() -> None:
    volume, field = rng().normal(size=SHAPE), smooth_field(rng(1), SHAPE, 6, 3)
    places = np.indices(SHAPE) + field
    expected = ndimage.map_coordinates(volume, places, order=1, mode="nearest")
    np.testing.assert_allclose(warp(volume, field), expected, atol=1e-5)
    np.testing.assert_allclose(warp(np.stack([volume, -volume]), field), [expected, -expected], atol=1e-5)


def test_a_whole_shift_moves_voxels_towards_lower_numbers_and_repeats_the_border() -> None:
    volume = rng().integers(0, 9, SHAPE).astype(np.uint8)
    field = np.zeros((3, *SHAPE), np.float32)
    field[1] = 2
    warped = warp(volume, field, order=0)
    np.testing.assert_array_equal(warped[:, :-2], volume[:, 2:])
    np.testing.assert_array_equal(warped[:, -2:], np.repeat(volume[:, -1:], 2, axis=1))
    np.testing.assert_array_equal(warp(volume, 0 * field, order=0), volume)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(5, 9), st.floats(1, 4))
def test_the_field_between_two_copies_solves_its_equation(seed: int, spacing: float, amplitude: float) -> None:
    generator = rng(seed)
    first, second = (smooth_field(generator, SHAPE, spacing, amplitude) for _ in range(2))
    field, missed = field_between(first, second)
    assert missed < 0.05
    left = field + warp(second, field) - first
    assert np.sqrt((left**2).sum(0)).max() < 0.05


def test_a_template_and_its_copy_are_joined_by_the_inverse() -> None:
    field = smooth_field(rng(2), SHAPE, 7, 3)
    inverse, _ = field_between(np.zeros_like(field), field)
    round_trip = (inverse + warp(field, inverse))[:, 4:-4, 4:-4, 4:-4]
    assert np.abs(round_trip).max() < 0.01
    np.testing.assert_allclose(field_between(field, np.zeros_like(field))[0], field, atol=1e-5)


def test_a_shift_between_shifted_copies_is_their_difference() -> None:
    first, second = np.zeros((2, 3, *SHAPE), np.float32)
    first[0], second[0] = 1.5, -2
    field, missed = field_between(first, second)
    np.testing.assert_allclose(field[0], 3.5, atol=1e-5)
    np.testing.assert_allclose(field[1:], 0, atol=1e-5)
    assert missed < 1e-5


def test_a_smooth_copy_is_carried_onto_the_other_by_the_field_between() -> None:
    template = ndimage.gaussian_filter(rng().normal(size=SHAPE), 3)
    template /= template.std()
    first, second = (smooth_field(rng(seed), SHAPE, 8, 3) for seed in (1, 2))
    copies = [warp(template, field) for field in (first, second)]
    inner = (slice(5, -5),) * 3
    before = np.abs(copies[1] - copies[0])[inner].mean()
    after = np.abs(warp(copies[1], field_between(first, second)[0]) - copies[0])[inner].mean()
    assert after < 0.1 * before


def test_a_folding_field_has_no_answer_and_says_so() -> None:
    field = np.zeros((3, 16, 16, 16), np.float32)
    field[0] = 6 * np.sin(np.arange(16) * 1.5)[:, None, None]
    with pytest.raises(ValueError, match="voxels are left; it folds"):
        field_between(np.zeros_like(field), field)


def test_points_come_back_to_where_they_were_in_the_template() -> None:
    field = smooth_field(rng(3), SHAPE, 7, 3)
    points = rng(4).uniform(5, 14, (9, 3))
    found = points_before(points, field)
    moved = np.stack([ndimage.map_coordinates(part, found.T, order=1, mode="nearest") for part in field], 1)
    np.testing.assert_allclose(found + moved, points, atol=0.02)
    assert np.abs(found - points).max() > 0.3


@pytest.mark.parametrize("anatomy", ANATOMIES)
def test_ellipsoids_are_nested_as_the_anatomy_is(anatomy: str) -> None:
    for seed in range(8):
        labels = nested_ellipsoids(rng(seed), (48, 48, 48), anatomy)
        counts = np.bincount(labels.ravel())
        assert (counts > 0).all()  # every organ is there
        assert (counts[1:] < labels.size / 2).all()
        for organ in range(2, len(counts)):  # what lies inside hardly touches the background
            around = ndimage.binary_dilation(labels == organ) & (labels != organ)
            assert (labels[around] == 0).mean() < 0.05
    assert len(counts) == {"liver": 7, "brain": 6}[anatomy]


def test_the_liver_lies_on_one_side_and_brains_are_two_sided() -> None:
    liver = np.argwhere(nested_ellipsoids(rng(), (40, 40, 40), "liver") == 2)
    assert liver[:, 0].mean() > 22
    hippocampi, count = ndimage.label(nested_ellipsoids(rng(), (40, 40, 40), "brain") == 5)
    sides = [np.argwhere(hippocampi == number + 1)[:, 0].mean() for number in range(count)]
    assert min(sides) < 17 < 23 < max(sides)


def test_random_shapes_have_every_label_and_hang_together() -> None:
    for seed in range(3):
        labels = random_shapes(rng(seed), (32, 32, 32), 8)
        assert set(np.unique(labels)) <= set(range(8))
        assert len(np.unique(labels)) >= 6
        same = np.mean([(np.diff(labels.astype(int), axis=axis) == 0).mean() for axis in range(3)])
        assert same > 0.8  # of independent voxels an eighth would be


def test_paint_gives_each_label_its_grey_under_bias_and_noise() -> None:
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[10:20, 10:20, 10:20] = 1
    image: Any = paint(rng(), labels, np.array([0.2, 0.7]), noise=0.02)
    assert image.dtype == np.float32
    assert image.min() >= 0
    assert image.max() <= 1
    assert image[13:17, 13:17, 13:17].mean() == pytest.approx(0.7, rel=0.4)  # the bias is up to exp(0.3) or so
    assert image[13:17, 13:17, 13:17].mean() > 2 * image[labels == 0].mean()
    again = paint(rng(), labels, np.array([0.2, 0.7]), noise=0.02)
    np.testing.assert_array_equal(image, again)
