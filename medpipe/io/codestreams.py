"""The size that a compressed image declares in its own stream, read before a decoder allocates for it."""

from __future__ import annotations

__all__ = ["JP2_START", "declared_size", "jp2_codestream"]

JP2_START = b"\x00\x00\x00\x0cjP  "

_JPEG_START, _J2K_START = b"\xff\xd8", b"\xff\x4f\xff\x51"
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


def declared_size(codestream: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 stream declares; None where none can be read.

    JPEG and JPEG-LS: frame header SOFn (ITU-T T.81 B.2.2, T.87 C.2.2). JPEG 2000: SIZ (ITU-T T.800 A.5.1), also within
    a JP2 file, which DICOM forbids and some writers embed.
    """
    if codestream.startswith(JP2_START):
        codestream = codestream[jp2_codestream(codestream) or len(codestream) :]
    if codestream[:4] == _J2K_START:
        edges = [int.from_bytes(codestream[at : at + 4], "big") for at in (8, 12, 16, 20)]
        return (edges[1] - edges[3], edges[0] - edges[2]) if len(codestream) >= 24 else None
    return _jpeg_size(codestream) if codestream[:2] == _JPEG_START else None


def jp2_codestream(stream: bytes) -> int | None:
    """Where the codestream starts in a JP2 file (ITU-T T.800 annex I); None where its boxes do not lead to one.

    A box that says it is shorter than its own header would keep a reader that trusts it in one place for ever.
    """
    at = 12
    while at + 8 <= len(stream):
        length = int.from_bytes(stream[at : at + 4], "big")
        if stream[at + 4 : at + 8] == b"jp2c":
            return at + 8
        if length < 8:
            return None
        at += length
    return None


def _jpeg_size(stream: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if marker in _FRAME_HEADERS:
            return int.from_bytes(stream[at + 5 : at + 7], "big"), int.from_bytes(stream[at + 7 : at + 9], "big")
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    return None
