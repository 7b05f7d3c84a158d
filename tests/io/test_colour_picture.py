"""Pictures in colour against what was written; grey ones, radiographs, damaged and absurd files."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from PIL import Image

from medpipe.errors import CaseFailedError
from medpipe.io.colour_picture import read_colours
from medpipe.io.radiograph import read_radiograph


@pytest.fixture
def coloured() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_are_those_of_the_file(tmp_path, coloured, mode) -> None:
    Image.fromarray(coloured).convert(mode).save(tmp_path / "a.png")
    found = read_colours(str(tmp_path / "a.png"))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found * 255, coloured, atol=1e-4)


def test_a_picture_in_a_zip_archive_is_read(tmp_path, coloured) -> None:
    Image.fromarray(coloured).save(tmp_path / "a.png")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "in/a.png")
    np.testing.assert_array_equal(read_colours(f"{tmp_path}/b.zip!/in/a.png"), read_colours(str(tmp_path / "a.png")))


def test_a_camera_that_was_held_on_its_side_is_turned(tmp_path, coloured) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(coloured).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_allclose(read_colours(str(tmp_path / "a.png")) * 255, np.rot90(coloured, -1), atol=1e-4)


def test_what_has_no_colour_is_grey(tmp_path, coloured, write_dicom, ramp) -> None:
    Image.fromarray(coloured[:, :, 0]).save(tmp_path / "a.png")
    dicom = write_dicom("a.dcm", ramp, Modality="CT")
    for path in (tmp_path / "a.png", dicom):
        found = read_colours(str(path))
        for colour in range(3):
            np.testing.assert_array_equal(found[:, :, colour], read_radiograph(str(path)).pixels)


def test_damaged_and_absurd_pictures_are_refused(tmp_path, coloured, monkeypatch) -> None:
    Image.fromarray(coloured).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[:60])
    with pytest.raises(CaseFailedError, match="damaged picture"):
        read_colours(str(tmp_path / "cut.png"))
    monkeypatch.setattr("medpipe.io.radiograph.MAX_PIXELS", 10)
    with pytest.raises(CaseFailedError, match="more than the 10 that are read"):
        read_colours(str(tmp_path / "a.png"))
