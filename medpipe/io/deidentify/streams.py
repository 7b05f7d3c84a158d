"""Text inside the pixel data: comments in compressed streams, and overlays in the bits that the pixels leave free."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from medpipe.errors import CaseFailedError

__all__ = ["blank_comments", "clear_embedded_overlays"]

_ITEM, _ITEM_HEADER = b"\xfe\xff\x00\xe0", 8
_JPEG, _JPEG2000 = b"\xff\xd8", b"\xff\x4f"
_SCAN = {_JPEG: (0xDA,), _JPEG2000: (0x90, 0x93)}
"""Markers after which the compressed image follows."""

_COMMENTS = {_JPEG: frozenset({0xFE, *range(0xE1, 0xF0)}) - {0xE8, 0xEE}, _JPEG2000: frozenset({0x64})}
"""Comments and application data; APP0 (JFIF), APP8 (JPEG-LS colour transform) and APP14 (Adobe) say how to decode."""


def blank_comments(encapsulated: bytes) -> bytes:
    """Encapsulated pixel data (PS3.5 annex A.4) whose JPEG, JPEG-LS and JPEG 2000 comments are zeros, of equal length."""
    content = bytearray(encapsulated)
    for start, stop in _fragments(encapsulated):
        for first, last in _comment_payloads(encapsulated, start, stop):
            content[first:last] = bytes(last - first)
    return bytes(content)


def _fragments(content: bytes) -> Iterator[tuple[int, int]]:
    place = 0
    while content[place : place + 4] == _ITEM:
        length = int.from_bytes(content[place + 4 : place + 8], "little")
        yield place + _ITEM_HEADER, min(place + _ITEM_HEADER + length, len(content))
        place += _ITEM_HEADER + length


def _comment_payloads(content: bytes, start: int, stop: int) -> Iterator[tuple[int, int]]:
    kind = content[start : start + 2]
    if kind not in _SCAN:
        return
    place = start + 2
    while place + 4 <= stop and content[place] == 0xFF and content[place + 1] not in _SCAN[kind]:
        length = int.from_bytes(content[place + 2 : place + 4], "big")
        if content[place + 1] in _COMMENTS[kind]:
            registration = 2 if kind == _JPEG2000 else 0  # two bytes that say whether the comment is text
            yield place + 4 + registration, min(place + 2 + length, stop)
        place += 2 + max(length, 2)


def clear_embedded_overlays(dataset: Any) -> bool:
    """Clear the bits of uncompressed pixels in which overlays lie (retired, PS3.5-2004 section 8.1.2).

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
    values = np.frombuffer(dataset.PixelData, f"{order}u{bits // 8}")
    mask = ((1 << stored) - 1) << (int(dataset.HighBit) + 1 - stored)
    dataset.PixelData = (values & np.asarray(mask, values.dtype)).astype(values.dtype).tobytes()
    return True


def _has_embedded(dataset: Any, group: int) -> bool:
    return (group, 0x0010) in dataset and (group, 0x3000) not in dataset
