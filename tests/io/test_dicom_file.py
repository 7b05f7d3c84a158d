from __future__ import annotations

import io
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from medpipe.errors import CaseFailedError
from medpipe.io import dicom_file, dicom_radiograph
from medpipe.io.dicom_file import Elements, integer, numbers, parse, raw, text


def deflated(content: bytes, body: bytes) -> bytes:
    """The meta header of a deflated file with another deflated body."""
    start = 144 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return content[:start] + packer.compress(body) + packer.flush()


def test_the_place_of_pixel_data_is_found_without_reading_them(phantom, to_file) -> None:
    content = to_file(phantom().datasets[0])
    parsed = parse(io.BytesIO(content), pixels=False)
    assert content[parsed.pixel_offset :] == phantom().datasets[0].PixelData
    assert (parsed.pixel_length, parsed.pixel_vr) == (32 * 34 * 2, "OW")
    assert "PixelData" not in parsed.dataset


def test_a_header_longer_than_the_first_read_is_read_whole(phantom, to_file) -> None:
    dataset = phantom().datasets[0]
    dataset.add_new(0x00291010, "OB", bytes(200_000))
    parsed = parse(io.BytesIO(to_file(dataset)), pixels=False)
    assert parsed.pixel_offset > 200_000
    assert text(parsed.dataset, 0x00200032).startswith("-31")


def test_an_icon_in_the_header_is_not_taken_for_the_image(phantom, to_file) -> None:
    dataset, icon = phantom().datasets[0], Dataset()
    icon.Rows, icon.Columns, icon.BitsAllocated = 2, 2, 8
    icon.PixelData = b"abcd"
    dataset.IconImageSequence = Sequence([icon])
    content = to_file(dataset)
    parsed = parse(io.BytesIO(content), pixels=False)
    assert content[parsed.pixel_offset :] == dataset.PixelData


def test_values_are_read_as_numbers_in_every_encoding(phantom, to_file) -> None:
    for syntax in (ImplicitVRLittleEndian, "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"):
        dataset = parse(io.BytesIO(to_file(phantom().datasets[0], syntax)), pixels=False).dataset
        for source in (dataset, Elements(dataset)):
            assert integer(source, 0x00280010, "US") == 32
            assert numbers(source, 0x00280030) == (0.7, 0.8)
            assert text(source, 0x00100020) == "CANARY-77"
            assert raw(source, 0x00181120) is None


@pytest.mark.parametrize("value", ["one", "1\\two", "nan nan"])
def test_what_is_no_number_is_none(value) -> None:
    dataset = Dataset()
    dataset.add_new(0x00280030, "LO", value)
    assert numbers(dataset, 0x00280030) is None
    assert integer(dataset, 0x00280030) is None


def test_a_deflated_file_is_inflated_up_to_the_cap_and_no_further(phantom, to_file, monkeypatch) -> None:
    monkeypatch.setattr(dicom_file, "MAX_INFLATED_BYTES", 1 << 20)
    content = to_file(phantom().datasets[0], DeflatedExplicitVRLittleEndian)
    assert parse(io.BytesIO(content), pixels=True).dataset.Rows == 32
    bomb = deflated(content, b"\x08\x00\x05\x00CS\x00\x00" * (64 << 17))
    assert len(bomb) < 1 << 18
    for pixels in (True, False):
        tracemalloc.start()
        with pytest.raises(CaseFailedError, match="inflates from"):
            parse(io.BytesIO(bomb), pixels=pixels)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
        tracemalloc.stop()


def test_a_deflated_bomb_is_no_radiograph_either(phantom, to_file, monkeypatch) -> None:
    monkeypatch.setattr(dicom_file, "MAX_INFLATED_BYTES", 1 << 20)
    bomb = deflated(to_file(phantom().datasets[0], DeflatedExplicitVRLittleEndian), bytes(64 << 20))
    for read in (dicom_radiograph.read_header, dicom_radiograph.decode):
        with pytest.raises(CaseFailedError, match="inflates from"):
            read(io.BytesIO(bomb))


@pytest.mark.parametrize(
    "content", [b"", bytes(200), b"\x08\x00\x05\x00CS\xff\xff" + bytes(20), bytes(range(256)) * 40]
)
def test_what_is_no_dicom_is_refused(content) -> None:
    from medpipe.io.dicom_images import read_instance
    from medpipe.io.sources import Source

    with pytest.raises(CaseFailedError):
        read_instance(io.BytesIO(content), Source(Path("noise")), "noise", len(content))


def test_a_length_beyond_the_file_takes_no_memory(phantom, to_file) -> None:
    content = to_file(phantom().datasets[0])
    at = content.index(b"\x10\x00\x20\x00LO")
    lie = content[:at] + b"\x10\x00\x20\x00UN\0\0" + (0xFFFFFFF0).to_bytes(4, "little") + content[at + 8 :]
    tracemalloc.start()
    with pytest.raises(CaseFailedError):
        parsed = parse(io.BytesIO(lie), pixels=False)
        raise CaseFailedError(f"header ends at {parsed.pixel_offset}")
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_frames_of_every_deflated_type_come_back(phantom, to_file) -> None:
    from medpipe.io.pixel_data import PixelFormat, frames_of

    for dtype in ("uint8", "int16", "int32"):
        dataset = phantom(dtype=dtype).datasets[3]
        content = to_file(dataset, DeflatedExplicitVRLittleEndian)
        form = PixelFormat.of(parse(io.BytesIO(content), pixels=False))
        (values,) = frames_of(io.BytesIO(content), form, len(content))
        np.testing.assert_array_equal(values.ravel(), np.frombuffer(dataset.PixelData, dtype))
