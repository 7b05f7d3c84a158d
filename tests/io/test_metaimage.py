from __future__ import annotations

import contextlib
import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from medpipe.errors import CaseError, CaseFailedError, CaseSkippedError
from medpipe.io.cases import find_radiographs
from medpipe.io.metaimage import decode_metaimage, read_metaimage_header
from medpipe.io.radiograph import file_kind, read_radiograph

HEADER = {
    "ObjectType": "Image",
    "NDims": "2",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "ElementSpacing": "0.2 0.3",
    "DimSize": "3 2",
    "ElementType": "MET_USHORT",
    "ElementDataFile": "LOCAL",
}
VALUES = np.array([[0, 1, 2], [3, 4, 5]], "<u2")


def metaimage(content: bytes = VALUES.tobytes(), **fields: str | None) -> bytes:
    """A file of that header and content; a field given as None is left out."""
    fields = {**HEADER, **fields}
    fields["ElementDataFile"] = fields.pop("ElementDataFile")  # the last one, as in every file
    lines = [f"{key} = {value}\n" for key, value in fields.items() if value is not None]
    return "".join(lines).encode() + content


def unit(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    return (values - values.min()) / (values.max() - values.min())


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
def test_what_simpleitk_writes_comes_back_as_it_was(tmp_path: Path, ramp, dtype: str, compressed: bool) -> None:
    values = (ramp // 64 - 20 if dtype == "i1" else ramp // 16).astype(dtype)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.3, 0.2))
    sitk.WriteImage(image, str(tmp_path / "n0001.mha"), compressed)
    radiograph = read_radiograph(str(tmp_path / "n0001.mha"))
    np.testing.assert_allclose(radiograph.pixels, unit(values), atol=1e-6)
    np.testing.assert_allclose(radiograph.spacing_mm, (0.2, 0.3))
    assert radiograph.spacing_source == "file"


def test_a_volume_of_one_slice_is_a_radiograph(tmp_path: Path, ramp) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(ramp[None]), str(tmp_path / "a.mha"))
    np.testing.assert_allclose(read_radiograph(str(tmp_path / "a.mha")).pixels, unit(ramp), atol=1e-6)


def test_a_volume_of_several_slices_is_skipped(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 70, 80), np.uint8)), str(tmp_path / "a.mha"))
    with pytest.raises(CaseSkippedError, match="80 x 70 x 3: expected a single slice"):
        read_radiograph(str(tmp_path / "a.mha"))


def test_a_colour_image_is_skipped(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((70, 80, 3), np.uint8), isVector=True), str(tmp_path / "a.mha"))
    with pytest.raises(CaseSkippedError, match="colour"):
        read_radiograph(str(tmp_path / "a.mha"))


def test_big_endian_values_are_swapped() -> None:
    content = metaimage(VALUES.astype(">u2").tobytes(), BinaryDataByteOrderMSB="True")
    np.testing.assert_allclose(decode_metaimage(io.BytesIO(content)).pixels, VALUES / 5, atol=1e-6)


def test_the_first_size_counts_columns_and_the_first_spacing_is_theirs() -> None:
    header = read_metaimage_header(io.BytesIO(metaimage()))
    assert (header.rows, header.columns, header.spacing_mm) == (2, 3, (0.3, 0.2))


@pytest.mark.parametrize("spacing", [None, "0 0", "nan 1", "0.2", "words"])
def test_an_unusable_spacing_is_unknown(spacing: str | None) -> None:
    radiograph = decode_metaimage(io.BytesIO(metaimage(ElementSpacing=spacing)))
    assert (radiograph.spacing_mm, radiograph.spacing_source) == (None, "")


@pytest.mark.parametrize("other", ["/etc/passwd", "../a.raw", "a.raw", "LIST", "slice%03d.raw 1 3 1"])
def test_a_header_that_names_another_file_is_refused_and_the_name_not_shown(tmp_path: Path, other: str) -> None:
    (tmp_path / "a.raw").write_bytes(VALUES.tobytes())
    (tmp_path / "a.mha").write_bytes(metaimage(ElementDataFile=other))
    with pytest.raises(CaseFailedError, match="names another file") as failure:
        read_radiograph(str(tmp_path / "a.mha"))
    assert other not in str(failure.value)


def test_a_detached_header_fails_as_a_case(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((70, 80), np.uint8)), str(tmp_path / "a.mhd"))
    with pytest.raises(CaseFailedError, match=r"into one \.mha"):
        read_radiograph(str(tmp_path / "a.mhd"))


@pytest.mark.parametrize(
    "size", ["100000 100000", "1000000000 1", "1e300 2", "0 2", "-3 2", "3", "3 2 1", "a b", "2.5 2"]
)
def test_absurd_sizes_are_refused_before_anything_is_allocated(size: str) -> None:
    with pytest.raises(CaseFailedError, match="declares|do not agree"):
        decode_metaimage(io.BytesIO(metaimage(DimSize=size)))


def test_a_file_cut_short_names_both_lengths() -> None:
    with pytest.raises(CaseFailedError, match="declares 12 bytes, the file has 7"):
        decode_metaimage(io.BytesIO(metaimage(VALUES.tobytes()[:7])))


def test_a_packed_stream_is_unpacked_no_further_than_declared(monkeypatch) -> None:
    lengths = []
    unpacker = zlib.decompressobj

    class Watched:
        def __init__(self) -> None:
            self._inner = unpacker()

        def decompress(self, content: bytes, limit: int) -> bytes:
            unpacked = self._inner.decompress(content, limit)
            lengths.append(len(unpacked))
            return unpacked

    monkeypatch.setattr("medpipe.io.metaimage.zlib.decompressobj", Watched)
    bomb = zlib.compress(VALUES.tobytes() + bytes(10_000_000))
    radiograph = decode_metaimage(io.BytesIO(metaimage(bomb, CompressedData="True")))
    np.testing.assert_allclose(radiograph.pixels, VALUES / 5, atol=1e-6)
    assert lengths == [12]


@pytest.mark.parametrize("content", [b"no zlib stream", b""])
def test_damaged_packed_values_fail(content: bytes) -> None:
    with pytest.raises(CaseFailedError, match="damaged|cut short"):
        decode_metaimage(io.BytesIO(metaimage(content, CompressedData="True")))


@pytest.mark.parametrize(
    "fields", [{"ElementType": "MET_STRING"}, {"BinaryData": "False"}, {"HeaderSize": "-1"}, {"NDims": None}]
)
def test_what_would_be_misread_is_refused(fields: dict[str, str | None]) -> None:
    with pytest.raises(CaseFailedError):
        decode_metaimage(io.BytesIO(metaimage(**fields)))


def test_values_that_are_not_finite_or_all_the_same_fail() -> None:
    for values in (np.full((2, 3), 7, "<f4"), np.array([[0, 1, 2], [3, np.nan, 5]], "<f4"), VALUES * 1e300):
        kind = "MET_FLOAT" if values.dtype == "<f4" else "MET_DOUBLE"
        with pytest.raises(CaseFailedError, match="same value|not finite"):
            decode_metaimage(io.BytesIO(metaimage(values.tobytes(), ElementType=kind)))


def test_every_prefix_is_refused_or_read_but_never_raises_otherwise() -> None:
    whole = metaimage()
    for length in range(len(whole)):
        with pytest.raises(CaseError):
            decode_metaimage(io.BytesIO(whole[:length]))


@given(st.dictionaries(st.sampled_from(sorted(HEADER)), st.text(max_size=12), max_size=4), st.binary(max_size=40))
def test_no_header_raises_anything_but_a_case_error(fields: dict[str, str], content: bytes) -> None:
    with contextlib.suppress(CaseError):
        decode_metaimage(io.BytesIO(metaimage(content, **fields)))


def test_a_search_finds_metaimages_in_folders_and_archives(tmp_path: Path) -> None:
    (tmp_path / "c0001.mha").write_bytes(metaimage())
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("images/n0001.mha", metaimage())
    cases = {case["case"]: case for case in find_radiographs(tmp_path)}
    assert {name: case["status"] for name, case in cases.items()} == {"c0001": "pending", "n0001": "pending"}
    for case in cases.values():
        np.testing.assert_allclose(read_radiograph(case["image"]).pixels, VALUES / 5, atol=1e-6)


def test_the_name_tells_a_metaimage_but_content_goes_first() -> None:
    assert file_kind(metaimage()[:132], "N0001.MHA") == "metaimage"
    assert file_kind(b"\x89PNG\r\n\x1a\n" + b"\0" * 124, "x.mha") == "png"
