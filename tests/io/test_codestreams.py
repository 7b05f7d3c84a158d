from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from medpipe.errors import CaseFailedError
from medpipe.io.codestreams import JP2_START, declared_size, jp2_codestream
from medpipe.io.radiograph import read_radiograph


@pytest.mark.parametrize(
    ("name", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("JPEG2000", {"no_jp2": True})]
)
def test_the_size_is_the_one_that_was_encoded(name, options) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((96, 80), np.uint8)).save(stream, name, **options)
    assert declared_size(stream.getvalue()) == (96, 80)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xc0", b"\xff\x4f\xff\x51\x00", b"words" * 9, b"\xff" * 40]
)
def test_a_stream_without_a_size_has_none(content) -> None:
    assert declared_size(content) is None


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless])
def test_a_header_that_contradicts_its_stream_is_refused_before_decoding(write_dicom, ramp, syntax) -> None:
    path = write_dicom("a.dcm", ramp, syntax=syntax)
    assert read_radiograph(str(path)).pixels.shape == (96, 80)
    dataset = pydicom.dcmread(path)
    dataset.Rows = 128
    dataset.save_as(path)
    with pytest.raises(CaseFailedError, match="declares 128 x 80 pixels, but its compressed image 96 x 80"):
        read_radiograph(str(path))


def jp2(*boxes: tuple[int, bytes, bytes]) -> bytes:
    """A JP2 file of boxes given as declared length, type and content."""
    return JP2_START + b"\r\n\x87\n" + b"".join(n.to_bytes(4, "big") + kind + content for n, kind, content in boxes)


def test_a_codestream_in_a_jp2_file_is_found() -> None:
    siz = b"\xff\x4f\xff\x51" + bytes(4) + b"".join(n.to_bytes(4, "big") for n in (300, 200, 0, 0)) + bytes(30)
    stream = jp2((16, b"ftyp", bytes(8)), (0, b"jp2c", siz))
    assert jp2_codestream(stream) == 12 + 16 + 8
    assert declared_size(stream) == (200, 300)


@pytest.mark.parametrize("length", [0, 1, 7])
def test_a_box_shorter_than_its_header_leads_nowhere_at_once(length) -> None:
    assert jp2_codestream(jp2((length, b"ftyp", bytes(8)), (8, b"jp2c", b""))) is None
    assert declared_size(jp2((length, b"ftyp", bytes(8)))) is None
    assert jp2_codestream(JP2_START + bytes(4)) is None


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"])
def test_an_image_in_an_endless_jp2_file_is_refused(write_dicom, ramp, syntax) -> None:
    path = write_dicom("a.dcm", ramp, syntax="1.2.840.10008.1.2.4.90")
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = pydicom.encaps.encapsulate([jp2((0, b"ftyp", bytes(400)))])
    dataset.save_as(path)
    with pytest.raises(CaseFailedError, match="damaged JP2"):
        read_radiograph(str(path))
