"""From logit maps to scores, marks and pictures: hand-worked geometry with a cut centre and padding."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor

from medpipe.networks.acm import image_logits
from medpipe.transforms.class_scores import ClassScoresd
from medpipe.transforms.explanations import Explaind
from medpipe.transforms.map_geometry import MapGeometry
from medpipe.transforms.radiograph_classification import scaled_side


def image(stored: tuple[int, int], fitted: tuple[int, int], size: int) -> MetaTensor:
    return MetaTensor(torch.zeros(1, size, size), meta={"spatial_shape": stored, "fitted_shape": fitted})


def test_the_published_sizes() -> None:
    assert scaled_side(448) == 470
    assert MapGeometry((1024, 1024), (470, 470), 470, 448).margin == 11


def test_a_cell_is_found_in_the_file() -> None:
    # 400 x 400 pixels scaled to 42, of which the middle 40 are the input; 4 x 4 cells of 10 pixels.
    geometry = MapGeometry((400, 400), (42, 42), 42, 40)
    row, column = geometry.to_file((0, 3), (4, 4))
    assert row == pytest.approx((5 + 1) * 400 / 42 - 0.5)
    assert column == pytest.approx((35 + 1) * 400 / 42 - 0.5)


def test_cells_in_the_padding_do_not_count() -> None:
    # An image of 40 x 20 in a square of 40: the two right of four columns are padding.
    assert MapGeometry((400, 200), (40, 20), 40, 40).cells((4, 4)) == (4, 2)
    assert MapGeometry((400, 210), (40, 21), 40, 40).cells((4, 4)) == (4, 3)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 8), st.data())
def test_a_place_in_a_cell_of_the_image_lies_in_the_file(rows: int, columns: int, cells: int, data: Any) -> None:
    size, side = 40, 42
    scale = side / max(rows, columns)
    fitted = max(1, round(rows * scale)), max(1, round(columns * scale))
    geometry = MapGeometry((rows, columns), fitted, side, size)
    inside = geometry.cells((cells, cells))
    cell = data.draw(st.tuples(st.integers(0, inside[0] - 1), st.integers(0, inside[1] - 1)))
    row, column = geometry.to_file(cell, (cells, cells))
    assert 0 <= row <= rows - 1
    assert 0 <= column <= columns - 1


def test_a_map_over_the_picture_has_its_peak_where_the_mark_is() -> None:
    geometry = MapGeometry((400, 200), (42, 21), 42, 40)
    values = torch.zeros(4, 4)
    values[2, 0] = 1
    shown = geometry.on_picture(values, (420, 210))
    row, column = geometry.to_file((2, 0), (4, 4))
    peak = np.argwhere(shown >= shown.max() - 1e-6).mean(0)
    assert peak[0] == pytest.approx((row + 0.5) * 420 / 400 - 0.5, abs=3)
    assert shown[int(peak[0]), int((column + 0.5) * 210 / 200)] > 0.95 * shown.max()  # within a twentieth of a cell
    assert shown.shape == (420, 210)


def scored(maps: torch.Tensor, pooling: str = "max", **options: Any) -> dict[str, Any]:
    transform = ClassScoresd("pred", ["A", "B"], pool=partial(image_logits, pooling=pooling), side=40, **options)
    return transform({"image": image((400, 200), (40, 20), 40), "pred": maps})


def test_scores_are_those_of_the_image_and_marks_those_of_probable_classes() -> None:
    maps = torch.full((2, 4, 4), -4.0)
    maps[0, 1, 1] = 2.0
    maps[1, 1, 3] = 9.0  # in the padding
    found = scored(maps)
    assert found["scores"] == pytest.approx({"A": torch.sigmoid(torch.tensor(2.0)).item(), "B": 0.0179862}, rel=1e-5)
    (mark,) = found["marks"]
    assert (mark["label"], mark["x"], mark["y"]) == ("A", pytest.approx(149.5), pytest.approx(149.5))
    assert found["score"] is None


def test_marks_fall_by_score_and_start_at_the_least_rating() -> None:
    maps = torch.zeros(2, 4, 4)
    maps[1] += 1
    assert [mark["label"] for mark in scored(maps, min_rating=0.5)["marks"]] == ["B", "A"]
    assert [mark["label"] for mark in scored(maps, min_rating=0.6)["marks"]] == ["B"]


def test_the_pooling_is_that_of_the_training() -> None:
    maps = torch.zeros(2, 4, 4)
    maps[0, 0, 0] = 8.0
    assert scored(maps, "avg")["scores"]["A"] == pytest.approx(torch.sigmoid(torch.tensor(1.0)).item())  # of 8 cells


def test_more_maps_than_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="3 maps for 2 classes"):
        scored(torch.zeros(3, 4, 4))


def test_names_of_classes_are_different() -> None:
    with pytest.raises(ValueError, match="different names"):
        ClassScoresd("pred", ["A", "A"], pool=image_logits, side=40)


def explained(explain: str, **more: Any) -> dict[str, Any]:
    maps = torch.full((3, 4, 4), -4.0)
    maps[1, 0, 0], maps[2, 3, 0] = 3.0, 1.0
    data = {"image": image((400, 200), (40, 20), 40), "pred": maps, "picture": np.zeros((80, 40), np.uint8), **more}
    return Explaind("pred", ["A", "B", "C"], explain=explain, most=2)(data)


def test_maps_of_the_most_probable_classes_come_first() -> None:
    found = explained("maps")["maps"]
    assert list(found) == ["B 0.95", "C 0.73"]
    assert np.unravel_index(found["C 0.73"].argmax(), (80, 40))[0] >= 60


def test_classes_are_ranked_and_captioned_by_their_scores() -> None:
    found = explained("maps", scores={"A": 0.9, "B": 0.2, "C": 0.1})["maps"]
    assert list(found) == ["A 0.90", "B 0.20"]


def test_cells_in_the_padding_neither_rank_nor_shine() -> None:
    maps = torch.full((1, 4, 4), -4.0)
    maps[0, 1, 3] = 9.0
    data = {"image": image((400, 200), (40, 20), 40), "pred": maps, "picture": np.zeros((80, 40), np.uint8)}
    (title,) = (found := Explaind("pred", ["A"], explain="maps")(data)["maps"])
    assert title == "A 0.02"
    assert found[title].max() < 0.02


def test_attention_is_the_mean_of_the_groups_with_a_largest_value_of_one() -> None:
    key = torch.zeros(2, 4, 4)
    key[0, 0, 0], key[1, 0, 0], key[1, 3, 0] = 1.0, 0.5, 0.5
    found = explained("attention", attention={"key": key})["maps"]["attention: key"]
    assert found[0, 0] == pytest.approx(1.0)
    assert found[79, 0] == pytest.approx(0.5 / 1.5)


def test_nothing_is_made_where_nothing_is_asked_for() -> None:
    assert "maps" not in explained("none")
    with pytest.raises(ValueError, match="explain must be one of"):
        explained("all")
