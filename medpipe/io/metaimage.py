"""Radiographs in MetaImage files (.mha): a text header, then the values in the same file.

The header is read here and not by ITK, because the bytes may come from an archive, every size is checked before anything is
allocated, and a header that points to another file must not be followed.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from math import isfinite
from typing import BinaryIO

import numpy as np

from medpipe.errors import CaseFailedError, CaseSkippedError
from medpipe.io.radiograph import Radiograph, check_pixel_count, scale_to_unit

__all__ = ["MetaImageHeader", "decode_metaimage", "read_metaimage_header"]

_MAX_HEADER = 64 * 1024
"""Bytes within which a header must end; ITK writes less than a thousand."""

_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}


@dataclass(frozen=True)
class MetaImageHeader:
    """What the header of one grey image says.

    Attributes:
        rows: Number of rows.
        columns: Number of columns.
        spacing_mm: Distance of neighbouring (rows, columns) in millimetres, or None where the header does not say.
        dtype: Of the values, with their byte order.
        compressed: Whether the values are packed by zlib.
        start: Where they start in the file.
    """

    rows: int
    columns: int
    spacing_mm: tuple[float, float] | None
    dtype: np.dtype[np.number]
    compressed: bool
    start: int


def read_metaimage_header(stream: BinaryIO) -> MetaImageHeader:
    """Read the header of a two-dimensional grey image, which may be written as one slice of a volume.

    Raises:
        CaseFailedError: It is damaged, declares an absurd size, or keeps its values in another file.
        CaseSkippedError: It declares several slices or several values per pixel.
    """
    fields, start = _read_fields(stream)
    sizes = _numbers(fields, "DimSize")
    agree = sizes is not None and str(len(sizes)) == fields.get("NDims") and len(sizes) > 1
    if sizes is None or not agree or not all(size.is_integer() for size in sizes):
        raise CaseFailedError("damaged MetaImage header (NDims and DimSize do not agree)")
    columns, rows, *others = map(int, sizes)
    if any(size != 1 for size in others):
        raise CaseSkippedError(f"MetaImage of {' x '.join(map(str, map(int, sizes)))}: expected a single slice")
    check_pixel_count(rows, columns)
    if fields.get("ElementNumberOfChannels", "1") != "1":
        raise CaseSkippedError("is a colour image (several values per pixel)")
    if fields.get("ElementType") not in _TYPES or not _says(fields, "BinaryData", default=True):
        raise CaseFailedError(
            f"MetaImage without binary values of one of the types {', '.join(_TYPES)}; export it again"
        )
    big = _says(fields, "BinaryDataByteOrderMSB") or _says(fields, "ElementByteOrderMSB")
    spacing = _numbers(fields, "ElementSpacing") or _numbers(fields, "ElementSize")
    known = spacing is not None and len(spacing) == len(sizes) and all(isfinite(mm) and mm > 0 for mm in spacing)
    return MetaImageHeader(
        rows=rows,
        columns=columns,
        spacing_mm=(spacing[1], spacing[0]) if spacing is not None and known else None,
        dtype=np.dtype((">" if big else "<") + _TYPES[fields["ElementType"]]),
        compressed=_says(fields, "CompressedData"),
        start=start,
    )


def decode_metaimage(stream: BinaryIO) -> Radiograph:
    """Decode one grey image; its values span their own range, because no header says what they mean.

    Rows and columns are those of the file, whatever its ``TransformMatrix``.

    Raises:
        CaseFailedError: As ``read_metaimage_header``, or the file has fewer values than its header declares.
        CaseSkippedError: As ``read_metaimage_header``.
    """
    header = read_metaimage_header(stream)
    expected = header.rows * header.columns * header.dtype.itemsize
    stream.seek(header.start)
    content = _unpack(stream, expected) if header.compressed else stream.read(expected)
    if len(content) < expected:
        raise CaseFailedError(f"is cut short: its header declares {expected:,} bytes, the file has {len(content):,}")
    values = np.frombuffer(content, header.dtype).reshape(header.rows, header.columns)
    with np.errstate(over="ignore"):  # an infinity is refused below
        pixels = values.astype(np.float32)
    unit = scale_to_unit(pixels, float(pixels.min()), float(pixels.max()))
    return Radiograph(unit, header.spacing_mm, "file" if header.spacing_mm else "")


def _read_fields(stream: BinaryIO) -> tuple[dict[str, str], int]:
    """The header's fields, and where the values start: behind ``ElementDataFile``, which is the last of them."""
    head = stream.read(_MAX_HEADER)
    last = re.search(rb"^ElementDataFile[ \t]*=([^\n]*)\n", head, re.MULTILINE)
    if last is None:
        raise CaseFailedError("damaged MetaImage header (no ElementDataFile)")
    if last[1].strip().upper() != b"LOCAL":
        raise CaseFailedError(
            "a MetaImage header that names another file for its values, which is not followed; "
            "write header and values into one .mha file"
        )
    lines = head[: last.start()].decode("latin-1").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    fields = {key.strip(): value.strip() for key, _, value in pairs}
    if fields.get("HeaderSize", "0") != "0":
        raise CaseFailedError("a MetaImage whose values do not follow its header (HeaderSize); export it again")
    return fields, last.end()


def _numbers(fields: dict[str, str], key: str) -> list[float] | None:
    try:
        return [float(word) for word in fields[key].split()]
    except (KeyError, ValueError):
        return None


def _says(fields: dict[str, str], key: str, *, default: bool = False) -> bool:
    return fields.get(key, str(default)).lower() in ("true", "1")


def _unpack(stream: BinaryIO, expected: int) -> bytes:
    """Unpack at most ``expected`` bytes, whatever the packed stream would give."""
    unpacker = zlib.decompressobj()
    try:
        return unpacker.decompress(stream.read(), expected)
    except zlib.error as error:
        raise CaseFailedError("its packed values are damaged (zlib); copy it again from its source") from error
