"""Text inside the pixel data: comments in compressed streams, what follows the pixels, and overlays in free bits."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from medpipe.errors import CaseFailedError
from medpipe.io.codestreams import JP2_START

__all__ = ["blank_comments", "clear_embedded_overlays", "cut_surplus"]

_ITEM, _ITEM_HEADER = b"\xfe\xff\x00\xe0", 8
_JPEG, _JPEG2000, _END = b"\xff\xd8", b"\xff\x4f", b"\xff\xd9"
_SCAN = {_JPEG: (0xDA,), _JPEG2000: (0x90, 0x93)}
"""Markers after which the compressed image follows."""

_RLE_HEADER = 64

_COMMENTS = {_JPEG: frozenset({0xFE, *range(0xE1, 0xF0)}) - {0xE8, 0xEE}, _JPEG2000: frozenset({0x64})}
"""Comments and application data; APP0 (JFIF), APP8 (JPEG-LS colour transform) and APP14 (Adobe) say how to decode."""


def blank_comments(encapsulated: bytes, rle_plane: int = 0) -> bytes:
    """Encapsulated pixel data (PS3.5 annex A.4) of equal length, with zeros for the comments of JPEG, JPEG-LS and JPEG 2000
    images and for what follows an image's or a segment's end.

    Args:
        encapsulated: Items: an offset table, then fragments.
        rle_plane: Bytes of a decoded segment (rows times columns) where the images are RLE compressed; else 0.

    Raises:
        CaseFailedError: An image is wrapped in a JP2 file, whose boxes may hold any text.
    """
    content = bytearray(encapsulated)
    ended = False
    for number, (start, stop) in enumerate(_fragments(encapsulated)):
        if number == 0:
            continue
        if rle_plane:
            _blank(content, _after_segments(encapsulated[start:stop], rle_plane), start)
            continue
        if encapsulated.startswith(JP2_START, start):
            raise CaseFailedError(
                "its JPEG 2000 images are wrapped in JP2 files, which may hold text; decompress it first"
            )
        begins = encapsulated[start : start + 2] in _SCAN
        comments, coded = _comment_payloads(encapsulated, start, stop) if begins else ([], start)
        _blank(content, comments)
        end = encapsulated.find(_END, coded, stop)  # no coded image holds this marker
        if ended and not begins:  # a fragment between images
            _blank(content, [(start, stop)])
        elif end >= 0:
            _blank(content, [(end + 2, stop)])
        ended = (ended and not begins) or end >= 0
    return bytes(content)


def _blank(content: bytearray, spans: Iterable[tuple[int, int]], offset: int = 0) -> None:
    for first, last in spans:
        content[offset + first : offset + last] = bytes(max(last - first, 0))


def _after_segments(fragment: bytes, plane: int) -> Iterator[tuple[int, int]]:
    """What lies between and behind the RLE segments of a frame (PS3.5 annex G), and in its header's unused offsets."""
    if len(fragment) < _RLE_HEADER:
        return
    count, *offsets = struct.unpack_from("<16L", fragment)
    starts = sorted(offset for offset in offsets[: min(count, 15)] if _RLE_HEADER <= offset <= len(fragment))
    if not starts:
        return
    yield 4 + 4 * count, _RLE_HEADER
    yield _RLE_HEADER, starts[0]
    for start, stop in pairwise([*starts, len(fragment)]):
        yield _end_of_segment(fragment, start, stop, plane), stop


def _end_of_segment(fragment: bytes, place: int, stop: int, plane: int) -> int:
    """Where a segment has given as many bytes as a plane has."""
    decoded = 0
    while decoded < plane and place < stop:
        control = fragment[place]
        if control < 128:
            decoded, place = decoded + control + 1, place + control + 2
        elif control > 128:
            decoded, place = decoded + 257 - control, place + 2
        else:
            place += 1
    return min(place, stop)


def _fragments(content: bytes) -> Iterator[tuple[int, int]]:
    place = 0
    while content[place : place + 4] == _ITEM:
        length = int.from_bytes(content[place + 4 : place + 8], "little")
        yield place + _ITEM_HEADER, min(place + _ITEM_HEADER + length, len(content))
        place += _ITEM_HEADER + length


def _comment_payloads(content: bytes, start: int, stop: int) -> tuple[list[tuple[int, int]], int]:
    """Comments in the headers of an image, and where its coded part begins."""
    kind, place, found = content[start : start + 2], start + 2, []
    while place + 4 <= stop and content[place] == 0xFF and content[place + 1] not in _SCAN[kind]:
        length = int.from_bytes(content[place + 2 : place + 4], "big")
        if content[place + 1] in _COMMENTS[kind]:
            registration = 2 if kind == _JPEG2000 else 0  # two bytes that say whether the comment is text
            found.append((place + 4 + registration, min(place + 2 + length, stop)))
        place += 2 + max(length, 2)
    return found, place


def cut_surplus(dataset: Any) -> bool:
    """Cut uncompressed pixel data after their last pixel; whether there was more than one byte of padding."""
    if "PixelData" not in dataset or dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return False
    bits = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("SamplesPerPixel") or 1)
    bits *= int(dataset.get("NumberOfFrames") or 1) * int(dataset.BitsAllocated)
    if dataset.get("PhotometricInterpretation") == "YBR_FULL_422":
        bits = bits * 2 // 3
    size, there = (bits + 7) // 8, len(dataset.PixelData)
    if there > size:
        dataset.PixelData = dataset.PixelData[:size] + bytes(size % 2)
    return there > size + size % 2


def clear_embedded_overlays(dataset: Any) -> bool:
    """Clear the bits of uncompressed pixels in which overlays lie (retired, PS3.5-2004 section 8.1.2).

    Above the sign of signed pixels its copies take their place, as readers expect that do not look at BitsStored.

    Returns:
        Whether there was such an overlay.

    Raises:
        CaseFailedError: There is one in compressed pixels or in pixels of an odd size, where it cannot be cleared.
    """
    if "PixelData" not in dataset or not any(_has_embedded(dataset, group) for group in range(0x6000, 0x6020, 2)):
        return False
    bits, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    if bits not in (8, 16, 32) or dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        raise CaseFailedError("has an overlay inside its pixels that cannot be cleared; decompress it first")
    order = ">" if dataset.original_encoding[1] is False else "<"
    kind = "i" if dataset.get("PixelRepresentation") == 1 else "u"
    values = np.frombuffer(dataset.PixelData, f"{order}{kind}{bits // 8}")
    above, below = bits - 1 - int(dataset.HighBit), int(dataset.HighBit) + 1 - stored
    dataset.PixelData = (((values << above) >> (above + below)) << below).astype(values.dtype).tobytes()
    return True


def _has_embedded(dataset: Any, group: int) -> bool:
    return (group, 0x0010) in dataset and (group, 0x3000) not in dataset
