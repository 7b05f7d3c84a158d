from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medpipe.metrics.lesions import Lesion, check_box, crop_mask, nearest_pixel, split_mask


def image(*rows: str) -> np.ndarray:
    """A mask drawn with # and dots."""
    return np.array([[letter == "#" for letter in row] for row in rows])


# Column 0..5 across, row 0..3 down: an L of four pixels.
ELL = image(
    "......",
    ".#....",
    ".#....",
    ".##...",
)


def test_mask_is_cropped_to_its_pixels_and_remembers_where_it_was() -> None:
    lesion = Lesion(mask=ELL)
    assert lesion.mask is not None
    assert lesion.mask.shape == (3, 2)
    assert lesion.origin == (1, 1)


def test_cropped_mask_with_origin_is_the_same_lesion_as_the_full_one() -> None:
    part, full = Lesion(mask=ELL[1:, 1:], origin=(1, 1)), Lesion(mask=ELL)
    assert part.centre == full.centre
    assert part.contains(2, 3)
    assert not part.contains(2, 2)


def test_mask_is_a_copy_that_nobody_can_change() -> None:
    mask = ELL.copy()
    lesion = Lesion(mask=mask)
    mask[:] = False
    assert lesion.mask is not None
    assert lesion.mask.sum() == 4
    with pytest.raises(ValueError, match="read-only"):
        lesion.mask[0, 0] = False


def test_centre_is_centroid_of_mask_middle_of_box_centre_of_circle() -> None:
    assert Lesion(mask=ELL).centre == (1.25, 2.25)
    assert Lesion(box=(10, 20, 4, 6)).centre == (12, 23)
    assert Lesion(circle=(7, 8, 3)).centre == (7, 8)


@pytest.mark.parametrize(
    ("x", "y", "inside"),
    [
        (1, 1, True),
        (1.49, 1, True),
        (1.5, 1, False),  # halves go up, into column 2
        (0.5, 1, True),
        (0.49, 1, False),
        (2, 3, True),
        (2, 1, False),  # in the bounding box, not in the mask
        (-5, 1, False),
        (1, 90, False),
    ],
)
def test_mask_contains_points_whose_pixel_it_has(x: float, y: float, inside: bool) -> None:
    assert Lesion(mask=ELL).contains(x, y) is inside


@pytest.mark.parametrize(
    ("x", "y", "inside"),
    [(10, 20, True), (13.99, 25.99, True), (14, 22, False), (12, 26, False), (9.99, 22, False)],
)
def test_box_is_half_open(x: float, y: float, inside: bool) -> None:
    assert Lesion(box=(10, 20, 4, 6)).contains(x, y) is inside


def test_circle_is_closed() -> None:
    lesion = Lesion(circle=(0, 0, 5))
    assert lesion.contains(3, 4)
    assert not lesion.contains(3.01, 4)


@pytest.mark.parametrize(
    ("x", "y", "distance"),
    [
        (1, 2, 0),
        (1.4, 2.4, 0),  # inside its pixel
        (4, 3, 2),  # from column 2
        (5, 7, 5),  # 3 columns and 4 rows from (2, 3)
        (1, -1, 2),
    ],
)
def test_distance_to_mask_is_to_the_nearest_pixel_centre(x: float, y: float, distance: float) -> None:
    assert Lesion(mask=ELL).distance(x, y) == pytest.approx(distance)


def test_distance_uses_row_and_column_spacing() -> None:
    # 3 columns of 0.5 mm and 4 rows of 2 mm.
    assert Lesion(mask=ELL).distance(5, 7, spacing=(2.0, 0.5)) == pytest.approx(math.hypot(1.5, 8))
    assert Lesion(box=(0, 0, 2, 3)).distance(5, 7, spacing=(2.0, 0.5)) == pytest.approx(math.hypot(1.5, 8))
    assert Lesion(box=(0, 0, 2, 3)).centre_distance(3, 1.5, spacing=(2.0, 0.5)) == pytest.approx(1)


def test_distance_to_box_and_circle_is_to_their_edge() -> None:
    box, circle = Lesion(box=(0, 0, 2, 3)), Lesion(circle=(0, 0, 5))
    assert box.distance(1, 1) == 0
    assert box.distance(5, 7) == 5
    assert box.distance(-2, 1) == 2
    assert circle.distance(3, 3) == 0
    assert circle.distance(6, 8) == 5
    assert circle.distance(6, 8, spacing=(0.5, 0.5)) == 2.5


def test_distance_to_circle_refuses_unequal_spacing() -> None:
    with pytest.raises(ValueError, match="square pixels"):
        Lesion(circle=(0, 0, 5)).distance(6, 8, spacing=(1.0, 0.5))


masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)).filter(np.any)
coordinates = st.floats(-12, 12, allow_nan=False)


@settings(deadline=None, max_examples=100)
@given(masks, coordinates, coordinates, st.sampled_from([(1.0, 1.0), (0.3, 2.0)]))
def test_distance_equals_that_of_a_search_over_all_pixels(
    mask: np.ndarray, x: float, y: float, spacing: tuple[float, float]
) -> None:
    pixels = [(row, column) for row, column in np.ndindex(mask.shape) if mask[row, column]]
    nearest = min(math.hypot((y - row) * spacing[0], (x - column) * spacing[1]) for row, column in pixels)
    own_pixel = (math.floor(y + 0.5), math.floor(x + 0.5))
    expected = 0.0 if own_pixel in pixels else nearest
    assert Lesion(mask=mask).distance(x, y, spacing) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(masks, st.integers(0, 5), st.integers(0, 5))
def test_cropping_loses_no_pixel(mask: np.ndarray, row: int, column: int) -> None:
    cropped, origin = crop_mask(mask, (row, column))
    assert cropped[0].any()
    assert cropped[-1].any()
    assert cropped[:, 0].any()
    assert cropped[:, -1].any()
    canvas = np.zeros((20, 20), dtype=bool)
    canvas[origin[0] : origin[0] + cropped.shape[0], origin[1] : origin[1] + cropped.shape[1]] = cropped
    assert np.array_equal(np.argwhere(canvas), np.argwhere(mask) + np.array([row, column]))


def test_diagonal_neighbours_are_one_lesion() -> None:
    (lesion,) = split_mask(image("#..", ".#.", "..#"))
    assert lesion.centre == (1, 1)


def test_separate_components_are_separate_lesions_from_top_to_bottom() -> None:
    lesions = split_mask(image("....##", "#.....", "#....#"))
    assert [lesion.centre for lesion in lesions] == [(4.5, 0), (0, 1.5), (5, 2)]
    assert all(lesion.weight is None and not lesion.ignore for lesion in lesions)


def test_components_below_the_area_are_left_out() -> None:
    mask = image("##...", ".....", "....#")
    assert [lesion.centre for lesion in split_mask(mask, min_area=2)] == [(0.5, 0)]
    assert split_mask(mask, min_area=3) == []


def test_components_keep_only_their_part_of_the_image() -> None:
    mask = np.zeros((400, 300), dtype=bool)
    mask[10:13, 20:25] = mask[390, 290] = True
    assert [lesion.mask.shape for lesion in split_mask(mask) if lesion.mask is not None] == [(3, 5), (1, 1)]


def test_a_component_inside_the_box_of_another_is_not_part_of_it() -> None:
    ring = image("#####", "#...#", "#.#.#", "#...#", "#####")
    outer, inner = split_mask(ring)
    assert outer.mask is not None
    assert outer.mask.sum() == 16
    assert not outer.contains(2, 2)
    assert inner.contains(2, 2)


def test_empty_mask_has_no_lesion() -> None:
    assert split_mask(np.zeros((4, 4), dtype=bool)) == []


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(np.bool_, (8, 8)))
def test_components_are_those_of_a_flood_fill(mask: np.ndarray) -> None:
    left = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    expected = []
    while left:
        component, front = set(), [min(left)]
        while front:
            row, column = front.pop()
            if (row, column) in left:
                left.remove((row, column))
                component.add((row, column))
                front += [(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        expected.append(component)
    found = [
        {(int(row + lesion.origin[0]), int(column + lesion.origin[1])) for row, column in np.argwhere(lesion.mask)}
        for lesion in split_mask(mask)
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of mask, box, circle and sphere, found none"),
        ({"box": (0, 0, 1, 1), "circle": (0, 0, 1)}, r"found \['box', 'circle'\]"),
        ({"mask": np.zeros((3, 3), dtype=bool)}, "no pixel"),
        ({"mask": np.ones((3, 3), dtype=np.uint8)}, "mask > 0"),
        ({"mask": np.ones((3, 3, 3, 3), dtype=bool)}, r"shape \(3, 3, 3, 3\)"),
        ({"mask": np.ones(3, dtype=bool)}, r"shape \(3,\)"),
        ({"mask": np.ones((3, 3, 3), dtype=bool), "origin": (1, 2)}, r"origin \(1, 2\) must have .* 3 axes"),
        ({"circle": (0, 0, 1), "sphere": (0, 0, 0, 1)}, r"found \['circle', 'sphere'\]"),
        ({"sphere": (0, 0, 1)}, "a sphere is"),
        ({"sphere": (0, 0, 0, -1)}, "radius not negative"),
        ({"box": (0, 0, 0, 1, 1)}, "width, height, depth"),
        ({"box": (0, 0, 0, 1, 1, 0)}, "and so is depth"),
        ({"box": (0, 0, 0, 1)}, "width and height above 0"),
        ({"box": (0, 0, 1, math.nan)}, "finite"),
        ({"box": (0, 0, 1)}, "x, y, width, height"),
        ({"circle": (0, 0, -1)}, "radius not negative"),
        ({"circle": (0, math.inf, 1)}, "finite"),
        ({"box": (0, 0, 1, 1), "origin": (2, 2)}, "origin belongs to a mask"),
        ({"box": (0, 0, 1, 1), "weight": -0.1}, "weight"),
        ({"box": (0, 0, 1, 1), "weight": math.nan}, "weight"),
    ],
)
def test_impossible_lesions_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Lesion(**arguments)


def test_split_refuses_numbers_and_empty_areas() -> None:
    with pytest.raises(ValueError, match="mask > 0"):
        split_mask(np.ones((3, 3)))
    with pytest.raises(ValueError, match="at least 1 pixel"):
        split_mask(ELL, min_area=0)


def test_nearest_pixel_rounds_halves_up() -> None:
    assert [nearest_pixel(value) for value in (-0.5, 0.49, 0.5, 1.5, 2.5)] == [0, 0, 1, 2, 3]


def test_a_sound_box_passes() -> None:
    check_box((-1.5, 0, 0.1, 3))


# Three axes

ROD = np.zeros((4, 5, 6), dtype=bool)
ROD[1:3, 2, 3] = True  # slices 1 and 2 at row 2, column 3


def test_centres_with_three_axes_are_x_y_z() -> None:
    assert Lesion(mask=ROD).centre == (3, 2, 1.5)
    assert Lesion(sphere=(7, 8, 9, 3)).centre == (7, 8, 9)
    assert Lesion(box=(10, 20, 30, 4, 6, 8)).centre == (12, 23, 34)
    assert [lesion.ndim for lesion in (Lesion(mask=ROD), Lesion(sphere=(7, 8, 9, 3)), Lesion(circle=(7, 8, 3)))] == [
        3,
        3,
        2,
    ]


def test_mask_of_a_volume_is_cropped_and_remembers_where_it_was() -> None:
    lesion = Lesion(mask=ROD[1:], origin=(1, 0, 0))
    assert lesion.mask is not None
    assert (lesion.mask.shape, lesion.origin) == ((2, 1, 1), (1, 2, 3))
    assert Lesion(mask=ROD).origin == (1, 2, 3)


def test_what_a_volume_contains() -> None:
    rod, box, sphere = Lesion(mask=ROD), Lesion(box=(3, 2, 1, 1, 1, 2)), Lesion(sphere=(0, 0, 0, 3))
    assert rod.contains(3.4, 2, z=2.4)
    assert not rod.contains(3.4, 2, z=2.5)
    assert box.contains(3, 2, z=2.9)
    assert not box.contains(3, 2, z=3)
    assert sphere.contains(1, 2, z=2)
    assert not sphere.contains(1, 2, z=2.01)


def test_distances_in_a_volume_use_slice_row_and_column_spacing() -> None:
    spacing = (3.0, 2.0, 0.5)
    expected = math.sqrt((2 * 0.5) ** 2 + (1 * 2) ** 2 + (2 * 3) ** 2)
    assert Lesion(mask=ROD).distance(5, 3, spacing, z=4) == pytest.approx(expected)
    assert Lesion(box=(1, 1, 1, 2, 1, 1)).distance(5, 3, spacing, z=4) == pytest.approx(expected)
    assert Lesion(sphere=(3, 2, 2, 1)).centre_distance(5, 3, spacing, z=4) == pytest.approx(expected)
    assert Lesion(sphere=(0, 0, 0, 1)).distance(2, 2, (2.0, 2.0, 2.0), z=1) == pytest.approx(4)


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(np.bool_, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=5)).filter(np.any),
    hnp.arrays(np.float64, (3, 3), elements=st.floats(-7, 7)),
    st.sampled_from([(1.0, 1.0, 1.0), (3.0, 0.3, 2.0)]),
    st.sampled_from([math.inf, 2.0, 0.0]),
)
def test_distance_in_a_volume_equals_that_of_a_search_over_all_voxels(
    mask: np.ndarray, points: np.ndarray, spacing: tuple[float, float, float], limit: float
) -> None:
    lesion, voxels = Lesion(mask=mask), np.argwhere(mask)
    found = lesion.distances(points, spacing, limit)
    for point, inside, distance in zip(points, lesion.inside(points), found, strict=True):
        own = (voxels == np.floor(point + 0.5)).all(axis=1).any()
        expected = 0.0 if own else min(math.dist(point * spacing, voxel * spacing) for voxel in voxels)
        assert inside == own
        if expected <= limit:
            assert distance == pytest.approx(expected, abs=1e-12)
        else:
            assert distance > limit


def test_voxels_that_touch_in_a_corner_are_one_lesion() -> None:
    mask = np.zeros((3, 3, 3), dtype=bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    (lesion,) = split_mask(mask)
    assert lesion.centre == (0.5, 0.5, 0.5)
    mask[1, 1, 1], mask[2, 0, 0] = False, True
    assert [part.centre for part in split_mask(mask)] == [(0, 0, 0), (0, 0, 2)]


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(np.float64, (4, 2), elements=st.floats(-12, 12)),
    st.sampled_from([Lesion(mask=ELL), Lesion(box=(-1, -2, 3, 4)), Lesion(circle=(1, 2, 3))]),
)
def test_points_together_are_as_points_alone(points: np.ndarray, lesion: Lesion) -> None:
    alone = [(x, y) for y, x in points.tolist()]
    assert lesion.inside(points).tolist() == [lesion.contains(*point) for point in alone]
    assert lesion.distances(points).tolist() == [lesion.distance(*point) for point in alone]
    assert lesion.centre_distances(points).tolist() == [lesion.centre_distance(*point) for point in alone]
