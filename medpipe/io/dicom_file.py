"""A DICOM file to its elements, with every size bounded: parsing is pydicom's, the bounds are ours.

A deflated data set is inflated up to a cap (PS3.5 annex A.5 sets none). Elements of a header are read as the bytes they
are and converted one by one, because a series needs some forty of several hundred, and a damaged value must not hide
the sound ones.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Any, BinaryIO

from medpipe.errors import CaseError, CaseFailedError
from medpipe.io.privacy import patient_words, without_quotes

__all__ = [
    "MAX_HEADER_BYTES",
    "MAX_INFLATED_BYTES",
    "PIXEL_TAGS",
    "Elements",
    "Parsed",
    "check_deflated",
    "integer",
    "length_of",
    "numbers",
    "parse",
    "raw",
    "short",
    "text",
    "words_before_fault",
]

PIXEL_TAGS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}

_PATIENT_GROUP = 0x0010FFFF

UNDEFINED_LENGTH = 0xFFFFFFFF

MAX_HEADER_BYTES = 64 << 20
"""Most bytes before the pixel data that are read; the header of 10,000 enhanced frames stays below."""

MAX_INFLATED_BYTES = 256 << 20
"""Largest deflated data set that is inflated (the largest radiograph has 200 million bytes)."""

_FIRST_READ = 1 << 15
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}


@dataclass(frozen=True)
class Parsed:
    """Elements of a DICOM file, and the place of its pixel data.

    Attributes:
        dataset: pydicom's data set, with ``file_meta``; it holds the pixel data only if they were asked for.
        pixel_tag: Tag of the pixel data element, 0 without one.
        pixel_vr: Its value representation, "" in implicit files.
        pixel_offset: Where its value starts: in the file, or in the inflated data set.
        pixel_length: Its declared length, ``UNDEFINED_LENGTH`` for encapsulated pixel data.
        deflated: The data set had to be inflated.
    """

    dataset: Any
    pixel_tag: int
    pixel_vr: str
    pixel_offset: int
    pixel_length: int
    deflated: bool


def parse(stream: BinaryIO, *, pixels: bool) -> Parsed:
    """Read the elements up to the pixel data, or with them.

    Args:
        stream: The file's bytes, at their start.
        pixels: Read the whole file; otherwise no more of it than its header needs.

    Raises:
        CaseFailedError: No DICOM elements, a damaged header, or more bytes than the bounds allow.
    """
    if pixels:
        return _parse(stream.read(), True)
    size = _FIRST_READ
    while True:
        stream.seek(0)
        head = stream.read(size)
        complete = len(head) < size
        try:
            parsed = _parse(head, False)
        except CaseFailedError:
            if complete:
                raise
        else:
            if parsed.pixel_tag or complete:
                return parsed
        if size >= MAX_HEADER_BYTES:
            raise CaseFailedError(f"has no pixel data in its first {MAX_HEADER_BYTES >> 20} MiB")
        size *= 8


def words_before_fault(stream: BinaryIO) -> tuple[str, ...]:
    """What a file says of its patient, as ``privacy.PatientWords.add`` takes it, as far as it can be read."""
    from pydicom.filereader import read_partial

    try:
        stream.seek(0)
        return patient_words(read_partial(stream, stop_when=lambda tag, *_: int(tag) > _PATIENT_GROUP, force=True))
    except Exception:  # what cannot be read is not known
        return ()


def check_deflated(stream: BinaryIO) -> None:
    """Refuse a deflated file that inflates to more than is read, for readers that set no bound; other files pass.

    Raises:
        CaseFailedError: It is one, or its stream is damaged.
    """
    stream.seek(0)
    if _deflated_meta_end(stream.read(_FIRST_READ)):
        stream.seek(0)
        content = stream.read()
        _inflated(content, _deflated_meta_end(content))
    stream.seek(0)


def inflate(content: bytes, limit: int) -> bytes:
    """Inflate a raw deflate stream to at most ``limit`` bytes.

    Raises:
        CaseFailedError: The stream is damaged.
    """
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return unpacker.decompress(content, limit)
    except zlib.error as error:
        raise CaseFailedError(f"its deflated data set is damaged ({error})") from error


def _parse(content: bytes, pixels: bool) -> Parsed:
    from pydicom.filereader import read_dataset, read_partial

    place: list[tuple[int, str, int, int]] = []
    meta_end = _deflated_meta_end(content)
    stream = io.BytesIO(_inflated(content, meta_end) if meta_end else content)

    def at_pixels(tag: Any, vr: str | None, length: int) -> bool:
        if int(tag) in PIXEL_TAGS and not place:
            place.append((int(tag), vr or "", stream.tell(), length))
        return not pixels and int(tag) >= 0x7FE00008

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oddities that matter are judged by name
            if meta_end:
                dataset = read_dataset(stream, False, True, stop_when=at_pixels)
                dataset.file_meta = read_partial(io.BytesIO(content[:meta_end]), force=True).file_meta
                dataset.set_original_encoding(False, True)
            else:
                dataset = read_partial(stream, stop_when=at_pixels, force=True)
    except CaseError:
        raise
    except MemoryError as error:
        raise CaseFailedError("declares more bytes than there is memory") from error
    except Exception as error:  # damaged headers raise anything from struct.error to RecursionError
        raise CaseFailedError(f"has a damaged DICOM header ({type(error).__name__})") from error
    if not len(dataset) and not place:
        raise CaseFailedError("holds no DICOM elements; it is damaged or no DICOM file")
    tag, vr, offset, length = place[0] if place else (0, "", 0, 0)
    return Parsed(dataset, tag, vr, offset, length, bool(meta_end))


def _inflated(content: bytes, meta_end: int) -> bytes:
    body = inflate(content[meta_end:], MAX_INFLATED_BYTES + 1)
    if len(body) > MAX_INFLATED_BYTES:
        raise CaseFailedError(
            f"inflates from {len(content):,} to more than the {MAX_INFLATED_BYTES:,} bytes that are read"
        )
    return body


def _deflated_meta_end(content: bytes) -> int:
    """Where the data set starts in a file whose meta header says that it is deflated; 0 for other files."""
    if content[128:138] != b"DICM\x02\x00\x00\x00UL" or len(content) < 144:
        return 0
    end = 144 + int.from_bytes(content[140:144], "little")
    uid = content[144:end].find(_DEFLATED)
    return end if uid >= 0 and content[144 + uid - 8 : 144 + uid - 4] == b"\x02\x00\x10\x00" else 0


class Elements:
    """A data set's elements by plain integer tags: many times faster to look up than pydicom's own."""

    __slots__ = ("by_tag", "dataset")

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.by_tag = {int(tag): element for tag, element in dataset.items()}

    def __contains__(self, tag: int) -> bool:
        return tag in self.by_tag

    def __getitem__(self, tag: int) -> Any:
        return self.dataset[tag]


def _element(dataset: Any, tag: int) -> Any:
    if type(dataset) is Elements:
        return dataset.by_tag.get(tag)
    try:
        return dataset.get_item(tag)
    except Exception:  # an element that cannot even be looked up is as good as absent
        return None


def raw(dataset: Any, tag: int) -> Any:
    """The unconverted value of an element (bytes as a rule), None where it is absent or empty."""
    element = _element(dataset, tag)
    return None if element is None or element.value in (b"", "") else element.value


def text(dataset: Any, tag: int) -> str:
    """An element as text without padding; "" where it is absent. Several values stay joined by backslashes."""
    value = raw(dataset, tag)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip(" \0\r\n\t")
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    try:
        return "\\".join(str(v) for v in value)
    except TypeError:
        return str(value)


def numbers(dataset: Any, tag: int, kind: str = "") -> tuple[float, ...] | None:
    """The numbers of an element; None where it is absent or any part of it is no number.

    Args:
        dataset: A data set of pydicom's, or its ``Elements``.
        tag: The element.
        kind: VR for files that do not say it ("US", "FD", ...); text is assumed without one.
    """
    value = raw(dataset, tag)
    if value is None:
        return None
    try:
        if isinstance(value, bytes):
            element = _element(dataset, tag)
            code = _BINARY.get(element.VR or kind)
            if code:
                order = "<" if element.is_little_endian else ">"
                count = len(value) // struct.calcsize(code)
                return tuple(float(part) for part in struct.unpack(f"{order}{count}{code}", value)) or None
            return tuple(float(part) for part in value.decode("ascii").strip(" \0").split("\\"))
        if isinstance(value, str | int | float):
            return (float(value),)
        return tuple(float(part) for part in value)
    except (ValueError, TypeError, struct.error, UnicodeDecodeError):
        return None


def integer(dataset: Any, tag: int, kind: str = "") -> int | None:
    """The first number of an element as an integer; None where there is none."""
    values = numbers(dataset, tag, kind)
    try:
        return int(values[0]) if values else None
    except (ValueError, OverflowError):
        return None


def length_of(dataset: Any, tag: int) -> float | None:
    """The first number of an element as a length: positive and finite, or None."""
    value = numbers(dataset, tag)
    return abs(value[0]) if value and math.isfinite(value[0]) and value[0] else None


def short(error: BaseException) -> str:
    """An exception's kind and the start of its text without what it quotes, for a reason in a table."""
    return without_quotes(f"{type(error).__name__}: {error}")[:160]
