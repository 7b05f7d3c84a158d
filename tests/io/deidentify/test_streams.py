from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from medpipe.errors import CaseFailedError
from medpipe.io.deidentify.streams import blank_comments, clear_embedded_overlays, cut_surplus

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


def test_what_follows_the_end_of_an_image_becomes_zeros() -> None:
    image = jpeg(b"")
    after = blank_comments(encapsulate([image + b"CANARY"]))
    assert b"CANARY" not in after
    assert image in after


def test_images_in_jp2_files_are_refused() -> None:
    with pytest.raises(CaseFailedError, match="JP2"):
        blank_comments(encapsulate([b"\x00\x00\x00\x0cjP  \r\n\x87\nxml CANARY"]))


def test_bytes_after_the_last_pixel_are_cut() -> None:
    dataset = overlaid(ExplicitVRLittleEndian)
    pixels = dataset.PixelData
    assert not cut_surplus(dataset)
    dataset.PixelData = pixels + b"CANARY"
    assert cut_surplus(dataset)
    assert dataset.PixelData == pixels


def test_signed_pixels_keep_their_sign_where_an_overlay_is_cleared() -> None:
    dataset = overlaid(ExplicitVRLittleEndian)
    values = np.arange(-6, 6, dtype=np.int16).reshape(3, 4) * 100
    dataset.PixelRepresentation = 1
    dataset.Rows, dataset.Columns = values.shape
    dataset.PixelData = (values ^ 0x4000).astype("<i2").tobytes()
    clear_embedded_overlays(dataset)
    np.testing.assert_array_equal(np.frombuffer(dataset.PixelData, "<i2").reshape(values.shape), values)


@pytest.mark.parametrize("samples", [1, 3])
def test_text_behind_rle_segments_becomes_zeros_and_the_image_stays(samples) -> None:
    dataset = Dataset()
    dataset.Rows = dataset.Columns = 33
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = samples, 0
    dataset.PhotometricInterpretation = "RGB" if samples == 3 else "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    pixels = np.random.default_rng(1).integers(0, 5, (33, 33) if samples == 1 else (33, 33, 3)).astype(np.uint8)
    dataset.PixelData = pixels.tobytes()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.compress(RLELossless)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    before = encapsulate([frame + b"Vogelsang^Canarius"])
    after = blank_comments(before, 33 * 33)
    assert b"Vogelsang" in before
    assert b"Vogelsang" not in after
    assert len(after) == len(before)
    dataset.PixelData = after
    assert np.array_equal(dataset.pixel_array, pixels)


def test_text_in_a_fragment_between_images_becomes_zeros() -> None:
    image = jpeg(b"")
    before = encapsulate([image, b"Vogelsang^Canarius", image])
    after = blank_comments(before)
    assert b"Vogelsang" not in after
    assert after.count(image) == 2


def test_an_image_in_several_fragments_stays() -> None:
    pieces = 3
    image = jpeg(b"Vogelsang^Canarius")
    cuts = [image[k * len(image) // pieces : (k + 1) * len(image) // pieces] for k in range(pieces)]
    after = blank_comments(encapsulate([cut + b"\0" * (len(cut) % 2) for cut in cuts]))
    assert b"Vogelsang" not in after
    assert cuts[2] in after


def test_a_thumbnail_inside_a_comment_does_not_end_the_image() -> None:
    image = jpeg(b"Vogelsang" + b"\xff\xd9")
    after = blank_comments(encapsulate([image]))
    assert b"Vogelsang" not in after
    shown = np.asarray(Image.open(io.BytesIO(after[after.index(b"\xff\xd8") :])))
    assert np.array_equal(shown, np.asarray(Image.open(io.BytesIO(jpeg(b"")))))
