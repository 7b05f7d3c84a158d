from __future__ import annotations

import numpy as np
from PIL import Image

from medpipe.predictions.overlays import draw_marks


def test_the_ring_stands_around_the_mark_and_the_image_stays_elsewhere(tmp_path) -> None:
    pixels = np.full((140, 280), 128, np.uint8)
    draw_marks(tmp_path / "m.png", pixels, [{"x": 199.5, "y": 99.5, "score": 0.75}], scale=0.5)
    picture = np.asarray(Image.open(tmp_path / "m.png").convert("RGB"))
    coloured = np.argwhere((picture.max(2).astype(int) - picture.min(2)) > 60)
    ring = coloured[coloured[:, 0] < 61]  # the score stands below
    assert np.abs((ring.min(0) + ring.max(0)) / 2 - (49.5, 99.5)).max() < 1.5
    assert tuple(picture[5, 5]) == (128, 128, 128)


def test_only_the_strongest_marks_are_drawn_and_no_marks_draw_nothing(tmp_path) -> None:
    marks = [{"x": 20.0 + 30 * k, "y": 50.0, "score": 0.9 - k / 10} for k in range(8)]
    draw_marks(tmp_path / "m.png", np.zeros((100, 280), np.uint8), marks, scale=1, most=2)
    picture = np.asarray(Image.open(tmp_path / "m.png").convert("RGB"))
    assert picture[:, 100:].max() == 0
    draw_marks(tmp_path / "n.png", np.zeros((100, 280), np.uint8), [], scale=1)
    assert np.asarray(Image.open(tmp_path / "n.png").convert("RGB")).max() == 0


def test_white_and_black_stay_grey(tmp_path) -> None:
    pixels = np.array([[0, 100, 254, 255]], np.uint8).repeat(40, 0).repeat(10, 1)
    draw_marks(tmp_path / "m.png", pixels, [], scale=1)
    picture = np.asarray(Image.open(tmp_path / "m.png").convert("RGB"))
    assert [tuple(picture[0, column]) for column in (0, 10, 20, 30)] == [(0,) * 3, (100,) * 3, (254,) * 3, (254,) * 3]
