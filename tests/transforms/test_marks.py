from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from monai.data import MetaTensor

from medpipe.transforms.marks import ExtractMarksd, component_marks, local_maxima


def test_two_separate_peaks_are_two_marks_by_falling_rating() -> None:
    ratings = np.zeros((20, 30))
    ratings[4, 5], ratings[15, 22] = 0.6, 0.9
    assert local_maxima(ratings, 3, 0.1) == [(15, 22, 0.9), (4, 5, 0.6)]


def test_a_lower_peak_within_the_radius_makes_no_mark_and_outside_it_does() -> None:
    ratings = np.zeros((20, 30))
    ratings[4, 5], ratings[4, 9] = 0.9, 0.6
    assert len(local_maxima(ratings, 4, 0.1)) == 1
    assert len(local_maxima(ratings, 3.9, 0.1)) == 2


def test_the_disc_is_round() -> None:
    ratings = np.zeros((20, 20))
    ratings[5, 5], ratings[8, 8] = 0.9, 0.6  # 4.24 apart: outside radius 4, inside the square around it
    assert len(local_maxima(ratings, 4, 0.1)) == 2


def test_a_plateau_is_one_mark_at_its_middle() -> None:
    ratings = np.zeros((20, 20))
    ratings[6:8, 10:14] = 0.5
    assert local_maxima(ratings, 3, 0.1) == [(6.5, 11.5, 0.5)]


def test_nothing_above_the_lowest_rating_makes_no_mark() -> None:
    assert local_maxima(np.full((8, 8), 0.05), 2, 0.1) == []
    assert component_marks(np.full((8, 8), 0.05), 0.1) == []


def test_a_constant_map_is_one_mark_in_its_centre() -> None:
    assert local_maxima(np.full((9, 9), 0.5), 2, 0.1) == [(4, 4, 0.5)]


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(np.int8, (11, 13), elements=st.integers(0, 4)), st.sampled_from([0, 1, 1.5, 2, 3.2]))
def test_marks_are_the_points_that_a_slow_search_finds(values, radius) -> None:
    ratings = values / 4
    tops = set()
    for row, column in np.ndindex(*ratings.shape):
        near = [ratings[r, c] for r, c in np.ndindex(*ratings.shape) if (r - row) ** 2 + (c - column) ** 2 <= radius**2]
        if ratings[row, column] >= 0.5 and ratings[row, column] >= max(near):
            tops.add((row, column))
    marks = local_maxima(ratings, radius, 0.5)
    assert {mark[2] for mark in marks} == {ratings[top] for top in tops}
    for row, column, rating in marks:  # each mark is the mean of tops of its rating
        assert any(ratings[top] == rating and abs(top[0] - row) <= 11 and abs(top[1] - column) <= 13 for top in tops)
    assert len(marks) <= len(tops)
    if radius == 0:
        isolated = {t for t in tops if not any(t != o and max(abs(t[0] - o[0]), abs(t[1] - o[1])) == 1 for o in tops)}
        assert {(row, column) for row, column, _ in marks} >= isolated


def test_components_join_diagonal_neighbours_and_take_the_highest_point() -> None:
    ratings = np.zeros((8, 8))
    ratings[1, 1], ratings[2, 2], ratings[6, 6] = 0.4, 0.7, 0.5
    assert component_marks(ratings, 0.3) == [(2, 2, 0.7), (6, 6, 0.5)]


def extract(logits: torch.Tensor, stored: tuple[int, int], fitted: tuple[int, int], **options) -> dict:
    image = MetaTensor(torch.zeros(1, 64, 64))
    image.meta.update(spatial_shape=stored, fitted_shape=fitted, spacing_mm=(0.5, 0.25))
    return ExtractMarksd("pred", "lesion", **options)({"image": image, "pred": logits})


def test_a_mark_comes_back_in_pixels_and_millimetres_of_the_file() -> None:
    logits = torch.full((1, 8, 8), -9.0)
    logits[0, 2, 5] = 3.0  # centre of the cell: row 19.5, column 43.5 of the 64 x 64 input
    found = extract(logits, stored=(128, 128), fitted=(64, 64))
    (mark,) = found["marks"]
    assert (mark["y"], mark["x"]) == (pytest.approx((19.5 + 0.5) * 2 - 0.5), pytest.approx((43.5 + 0.5) * 2 - 0.5))
    assert (mark["y_mm"], mark["x_mm"]) == (pytest.approx(mark["y"] * 0.5), pytest.approx(mark["x"] * 0.25))
    assert mark["label"] == "lesion"
    assert found["score"] == pytest.approx(torch.sigmoid(torch.tensor(3.0)).item())


def test_the_padding_of_an_oblong_image_has_no_marks_and_no_score() -> None:
    logits = torch.full((1, 8, 8), -9.0)
    logits[0, 1, 7] = 5.0  # right of the image's 32 columns
    found = extract(logits, stored=(128, 64), fitted=(64, 32))
    assert found["marks"] == []
    assert found["score"] < 0.001


def test_unknown_spacing_leaves_millimetres_undefined() -> None:
    image = MetaTensor(torch.zeros(1, 64, 64))
    image.meta.update(spatial_shape=(64, 64), fitted_shape=(64, 64))
    logits = torch.full((1, 8, 8), -9.0)
    logits[0, 3, 3] = 2.0
    (mark,) = ExtractMarksd("pred", "lesion")({"image": image, "pred": logits})["marks"]
    assert np.isnan(mark["x_mm"])
    assert np.isnan(mark["y_mm"])


@pytest.mark.parametrize("options", [{"method": "peaks"}, {"nms_radius": -1}, {"min_rating": 2}])
def test_wrong_options_are_refused(options) -> None:
    with pytest.raises(ValueError, match="must be|expected"):
        ExtractMarksd("pred", "lesion", **options)
