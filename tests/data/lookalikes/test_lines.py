import numpy as np
import pytest

from medpipe.data.lookalikes.lines import Line, add_line


def test_a_line_has_two_bright_contours_and_a_paler_lumen() -> None:
    image = np.zeros((400, 400), np.float32)
    middle = 200.5 / 400  # the centre of column 200
    add_line(image, Line((middle, 0.2), (middle, 0.8), bend=0, radius=0.02, brightness=0.2))
    profile = image[200]
    assert profile[200 - 8] == pytest.approx(0.2, rel=0.01)
    assert profile[200 + 8] == pytest.approx(0.2, rel=0.01)
    assert profile[200] == pytest.approx(0.6 * 0.2, rel=0.01)
    assert profile[:180].max() < 0.001
    assert image[:60].max() < 0.001


def test_a_bent_line_leaves_the_straight_one_by_the_bend() -> None:
    image = np.zeros((400, 400), np.float32)
    add_line(image, Line((0.2, 0.5), (0.8, 0.5), bend=0.1, radius=0.005, brightness=1))
    rows = np.nonzero(image[:, 200] > 0.2)[0]
    assert rows.mean() == pytest.approx(400 * (0.5 + 0.1 * 0.6), abs=2)


def test_a_line_over_the_border_is_cut_there() -> None:
    image = np.zeros((50, 50), np.float32)
    add_line(image, Line((-0.5, 0.5), (0.2, 0.5), bend=0, radius=0.02, brightness=0.5))
    assert image[25, 0] > 0.1
    add_line(image, Line((1.5, 1.5), (2, 2), bend=0, radius=0.02, brightness=0.5))


def test_a_line_without_length_is_a_dot() -> None:
    image = np.zeros((50, 50), np.float32)
    add_line(image, Line((0.5, 0.5), (0.5, 0.5), bend=0.3, radius=0.01, brightness=0.5))
    assert np.isfinite(image).all()
    assert image.max() > 0.1
