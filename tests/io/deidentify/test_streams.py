from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from medpipe.errors import CaseFailedError
from medpipe.io.deidentify.streams import blank_comments, clear_embedded_overlays

PIXELS = np.random.default_rng(0).integers(0, 255, (32, 32)).astype(np.uint8)


def jpeg(comment: bytes) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "JPEG", comment=comment)
    return stream.getvalue()


def test_a_comment_in_a_jpeg_stream_becomes_zeros_and_the_image_stays() -> None:
    plain, named = jpeg(b""), jpeg(b"Vogelsang^Canarius")
    before = encapsulate([named, plain])
    after = blank_comments(before)
    assert b"Vogelsang" in before
    assert b"Vogelsang" not in after
    assert len(after) == len(before)
    start = after.index(b"\xff\xd8")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(after[start:]))), np.asarray(Image.open(io.BytesIO(plain))))


def test_a_comment_in_a_jpeg_2000_stream_becomes_zeros() -> None:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "JPEG2000", no_jp2=True, irreversible=False, comment=b"Vogelsang^Canarius")
    before = encapsulate([stream.getvalue()])
    after = blank_comments(before)
    assert b"Vogelsang" in before
    assert b"Vogelsang" not in after
    start = after.index(b"\xff\x4f")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(after[start:]))), PIXELS)


@pytest.mark.parametrize(
    "content", [b"", b"\xfe\xff\x00\xe0", b"\xfe\xff\x00\xe0\xff\xff\xff\x7f\xff\xd8\xff\xfe\xff", b"x" * 99]
)
def test_streams_that_are_cut_or_none_come_back_as_they_are(content) -> None:
    assert len(blank_comments(content)) == len(content)


def overlaid(syntax: str) -> Dataset:
    dataset = Dataset()
    dataset.Rows = dataset.Columns = 4
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelData = (np.arange(16, dtype="<u2") * 200 | 0xF000).tobytes()
    dataset.add_new(0x60000010, "US", 4)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def test_an_overlay_in_the_free_bits_is_cleared_and_the_pixels_stay() -> None:
    dataset = overlaid(ExplicitVRLittleEndian)
    assert clear_embedded_overlays(dataset)
    assert np.array_equal(np.frombuffer(dataset.PixelData, "<u2"), np.arange(16) * 200)
    dataset.add_new(0x60003000, "OW", b"\0\0")  # now the overlay has data of its own
    assert not clear_embedded_overlays(dataset)


def test_an_overlay_in_compressed_pixels_is_refused() -> None:
    with pytest.raises(CaseFailedError, match="decompress it first"):
        clear_embedded_overlays(overlaid(JPEGBaseline8Bit))
