"""Dice and Jaccard by label: worked by hand, and against a loop over voxels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, map_coordinates

from medpipe.metrics.overlap import label_overlap, soft_mask_overlap

NAN = float("nan")


def row(*values: int) -> np.ndarray:
    return np.array(values, np.uint8).reshape(-1, 1, 1)


def test_two_of_three_voxels_in_common_give_two_thirds_and_a_half() -> None:
    found = label_overlap(row(1, 1, 1, 0), row(0, 1, 1, 1), row(0, 1, 1, 1), [1])
    assert found.dice.tolist() == [pytest.approx(2 / 3)]
    assert found.jaccard.tolist() == [0.5]


def test_a_label_that_neither_image_has_is_undefined() -> None:
    found = label_overlap(row(1, 0), row(1, 0), row(1, 0), [1, 7])
    np.testing.assert_array_equal(found.dice, [1, NAN])
    np.testing.assert_array_equal(found.jaccard, [1, NAN])


def test_a_label_of_one_image_scores_zero_or_is_undefined_as_asked() -> None:
    only_fixed = row(1, 0), row(0, 0), row(0, 0)
    only_moving = row(0, 0), row(0, 1), row(0, 1)
    for images in (only_fixed, only_moving):
        assert label_overlap(*images, [1]).dice.tolist() == [0]
        assert np.isnan(label_overlap(*images, [1], "undefined").dice).all()


def test_a_label_that_the_field_moved_out_of_sight_scores_zero_in_both_ways() -> None:
    for absent in ("zero", "undefined"):
        found = label_overlap(row(1, 0), row(0, 0), row(1, 1), [1], absent)
        assert found.dice.tolist() == [0]
        assert (found.fixed_voxels[0], found.moving_voxels[0], found.warped_voxels[0]) == (1, 2, 0)


def test_labels_are_those_asked_for_in_their_order() -> None:
    found = label_overlap(row(1, 2, 3), row(1, 2, 2), row(1, 2, 2), [3, 1])
    assert found.dice.tolist() == [0, 1]


@given(st.integers(0, 2**32 - 1))
def test_counts_equal_a_loop_over_voxels(seed) -> None:
    draw = np.random.default_rng(seed)
    fixed, warped = draw.integers(0, 4, (2, 3, 4, 5))
    found = label_overlap(fixed, warped, warped, [1, 2, 3])
    for place, label in enumerate((1, 2, 3)):
        pairs = list(zip((fixed == label).ravel().tolist(), (warped == label).ravel().tolist(), strict=True))
        both, either, total = (
            sum(a and b for a, b in pairs),
            sum(a or b for a, b in pairs),
            sum(a + b for a, b in pairs),
        )
        if total:
            assert found.dice[place] == pytest.approx(2 * both / total)
            assert found.jaccard[place] == pytest.approx(both / max(0.01, either))
            dice = found.dice[place]
            assert found.jaccard[place] == pytest.approx(dice / (2 - dice))
        else:
            assert np.isnan(found.dice[place])


def test_fractions_negative_labels_and_other_shapes_are_refused() -> None:
    ones = row(1, 1)
    with pytest.raises(ValueError, match="must hold integers, found dtype float64"):
        label_overlap(ones * 1.0, ones * 1.0, ones, [1])
    with pytest.raises(ValueError, match="no negative numbers, found -1"):
        label_overlap(-ones.astype(int), ones, ones, [1])
    with pytest.raises(ValueError, match="one shape"):
        label_overlap(ones, row(1), ones, [1])


def test_soft_masks_equal_whole_volumes_of_0_and_255_cut_above_128() -> None:
    draw = np.random.default_rng(0)
    shape = (14, 12, 10)
    fixed, moving = (np.digitize(gaussian_filter(draw.normal(size=shape), 2), [-0.05, 0.05]) for _ in range(2))
    field = np.stack([gaussian_filter(draw.normal(scale=25, size=shape), 2) for _ in range(3)]).astype(np.float32)
    found = soft_mask_overlap(fixed, moving, field, [1, 2, 5])
    for place, label in enumerate((1, 2)):
        mask = (moving == label) * 255.0
        warped = map_coordinates(mask, np.indices(shape) + field, order=1, mode="nearest") > 128
        both = (warped & (fixed == label)).sum()
        assert found.warped_voxels[place] == warped.sum()
        assert found.dice[place] == pytest.approx(2 * both / (warped.sum() + (fixed == label).sum()))
    assert np.isnan(found.dice[2])


def test_soft_masks_may_leave_a_gap_where_nearest_labels_do_not() -> None:
    moving, fixed = row(1, 2, 1, 2), row(1, 1, 1, 1)
    field = np.zeros((3, 4, 1, 1), np.float32)
    field[0] = 0.5  # halfway between: each mask has 127.5, which is not above 128; the last repeats the border
    found = soft_mask_overlap(fixed, moving, field, [1, 2])
    assert found.warped_voxels.tolist() == [0, 1]
