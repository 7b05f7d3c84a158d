from __future__ import annotations

import numpy as np
import pytest

from medpipe.errors import InputDataError
from medpipe.io.points import read_world_points, write_points

AFFINE = np.array([[-2.0, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, -30], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.csv", "1,2,3\n"),
        ("p.csv", "x,y,z\n1,2,3\n"),
        ("p.csv", "x_mm,y_mm,z_mm,name\n8,26,-18,tip\n"),
        ("p.csv", "x_lps,y_lps,z_lps\n-8,-26,-18\n"),
        ("p.txt", "index\n1\n1 2 3\n"),
        ("p.txt", "point\n1\n-8 -26 -18\n"),
    ],
)
def test_one_point_in_every_layout(tmp_path, name, text) -> None:
    (tmp_path / name).write_text(text)
    np.testing.assert_allclose(read_world_points(tmp_path / name, AFFINE), [[8, 26, -18]])


def test_a_landmark_that_is_not_there_is_nan(tmp_path) -> None:
    (tmp_path / "p.csv").write_text("1,2,3\n-1,-1,-1\n")
    assert np.isnan(read_world_points(tmp_path / "p.csv", AFFINE)).tolist() == [[False] * 3, [True] * 3]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.csv", "", "holds no landmark"),
        ("p.csv", "x,y,z\n", "holds no landmark"),
        ("p.csv", "1,2\n", "line 1: expected three numbers, found '1,2'"),
        ("p.csv", "1,2,3\n1,b,3\n", "line 2"),
        ("p.csv", "1,2,inf\n", "line 1"),
        ("p.txt", "point\n2\n1 2 3\n", "no list of elastix"),
    ],
)
def test_other_layouts_are_refused(tmp_path, name, text, message) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputDataError, match=message):
        read_world_points(tmp_path / name, AFFINE)


def test_written_points_are_read_back_as_voxels(tmp_path) -> None:
    world = np.array([[8.0, 26, -18], [np.nan] * 3, [1.25, -7, 3]])
    write_points(tmp_path / "p.csv", world, AFFINE, ["", "missing", "far"])
    np.testing.assert_allclose(read_world_points(tmp_path / "p.csv", AFFINE), world, atol=1e-5)
