from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from monai.transforms import LoadImage

from medpipe.errors import CaseFailedError
from medpipe.io.cases import find_radiographs
from medpipe.io.jsrt_film import decode_jsrt_film, film_side
from medpipe.io.radiograph import file_kind, read_radiograph
from medpipe.io.reader import RadiographReader

DENSITIES = np.array([[0, 1, 1024], [2048, 3072, 4095], [10, 20, 30]])


def film(values: np.ndarray = DENSITIES) -> bytes:
    return values.astype(">u2").tobytes()


def test_dense_film_is_dark() -> None:
    np.testing.assert_allclose(decode_jsrt_film(io.BytesIO(film())).pixels, 1 - DENSITIES / 4096, atol=1e-7)


def test_a_whole_film_has_2048_pixels_of_175_micrometres(tmp_path: Path) -> None:
    path = tmp_path / "JPCLN001.IMG"
    path.write_bytes(film(np.arange(2048**2) % 4096))
    assert path.stat().st_size == 8_388_608
    radiograph = read_radiograph(str(path))
    assert radiograph.pixels.shape == (2048, 2048)
    np.testing.assert_allclose(radiograph.spacing_mm, (0.175, 0.175))
    assert radiograph.spacing_source == "JSRT"


def test_a_smaller_film_shows_the_same_field() -> None:
    np.testing.assert_allclose(decode_jsrt_film(io.BytesIO(film())).spacing_mm, (358.4 / 3, 358.4 / 3))


def test_little_endian_values_are_refused() -> None:
    with pytest.raises(CaseFailedError, match="most significant byte first"):
        decode_jsrt_film(io.BytesIO(DENSITIES.astype("<u2").tobytes()))


@pytest.mark.parametrize("size", [1, 17, 8_388_606, 8_388_610, 2 * 2048 * 1024])
def test_a_size_that_is_no_square_is_refused(size: int) -> None:
    with pytest.raises(CaseFailedError, match="no square"):
        film_side(size)


def test_an_absurd_size_is_refused_before_anything_is_read() -> None:
    with pytest.raises(CaseFailedError, match="declares 20000 x 20000"):
        film_side(2 * 20_000**2)


def test_an_even_film_has_nothing_to_read() -> None:
    with pytest.raises(CaseFailedError, match="same value"):
        decode_jsrt_film(io.BytesIO(film(np.full((3, 3), 5))))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("JPCLN001.IMG", "jsrt"),
        ("jpcnn093.img", "jsrt"),
        ("JPCLN001.IMG.txt", ""),
        ("brain.img", ""),
        ("JPCXN001.IMG", ""),
    ],
)
def test_only_names_of_the_database_are_films(name: str, kind: str) -> None:
    assert file_kind(film() * 10, name) == kind


def test_a_search_finds_films_and_monai_loads_them(tmp_path: Path) -> None:
    (tmp_path / "JPCNN001.IMG").write_bytes(film())
    (tmp_path / "JPCLN002.IMG").write_bytes(film()[:-2])
    cases = {case["case"]: case for case in find_radiographs(tmp_path)}
    assert {name: case["status"] for name, case in cases.items()} == {"JPCNN001": "pending", "JPCLN002": "pending"}
    loader = LoadImage(reader=RadiographReader(), image_only=True, ensure_channel_first=True)
    image = loader(cases["JPCNN001"]["image"])
    np.testing.assert_allclose(image[0], 1 - DENSITIES / 4096, atol=1e-7)
    with pytest.raises(CaseFailedError, match="no square"):
        loader(cases["JPCLN002"]["image"])
