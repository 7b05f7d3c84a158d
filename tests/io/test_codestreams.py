from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from medpipe.errors import CaseFailedError
from medpipe.io.codestreams import declared_size
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
