"""Stored values of DICOM pixel data, checked before a decoder allocates for them.

Every size field is compared with the bytes that are there (PS3.5 section 8, annexes A and G). Uncompressed little endian
frames are copied straight from the file; all else is decoded by pydicom with pylibjpeg and pyjpegls.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from medpipe.errors import CaseFailedError
from medpipe.io.codestreams import JP2_START, declared_size, jp2_codestream
from medpipe.io.dicom_file import (
    MAX_INFLATED_BYTES,
    PIXEL_TAGS,
    UNDEFINED_LENGTH,
    Elements,
    Parsed,
    integer,
    parse,
    short,
    text,
)
from medpipe.io.privacy import defined_term

__all__ = [
    "MAX_PIXEL_BYTES",
    "PixelFormat",
    "check_codestream",
    "check_length",
    "check_syntax",
    "decode_frames",
    "frames_of",
    "is_lossy",
    "transfer_syntax",
    "without_high_bits",
]

MAX_RLE_RATIO = 64
"""PackBits turns two bytes into at most 128 pixels' bytes (PS3.5 annex G), so no RLE stream unpacks by more."""

MAX_PIXEL_BYTES = 2 << 30
"""Most bytes that the pixels of one file may decode to."""

DEFLATED, BIG_ENDIAN, RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.5"
_NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", BIG_ENDIAN, DEFLATED}
_FASTEST = {f"1.2.840.10008.1.2.4.{n}": "pyjpegls" for n in (80, 81)}
"""Decoders taken before pydicom's first choice: CharLS reads JPEG-LS five times faster than libjpeg."""

_STREAM_STARTS = (b"\xff\xd8", b"\xff\x4f\xff\x51")
"""Of a JPEG or JPEG-LS, and a JPEG 2000 image."""

_LOSSY = {f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 81, 91, 93, 112)}


@dataclass(frozen=True)
class PixelFormat:
    """How the pixel data of a file are stored (PS3.3 C.7.6.3); zeros where the header is silent."""

    syntax: str
    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    allocated: int
    stored: int
    high: int
    signed: bool
    planar: int
    keyword: str
    vr: str
    offset: int
    length: int
    deflated: bool

    @classmethod
    def of(cls, parsed: Parsed, elements: Elements | None = None) -> PixelFormat:
        """Read the format from a header; ``elements`` are its elements where they were looked up before."""
        dataset = elements or parsed.dataset
        allocated = integer(dataset, 0x00280100, "US") or 0
        stored = integer(dataset, 0x00280101, "US") or allocated
        high = integer(dataset, 0x00280102, "US")
        return cls(
            syntax=str(transfer_syntax(parsed.dataset)),
            rows=integer(dataset, 0x00280010, "US") or 0,
            columns=integer(dataset, 0x00280011, "US") or 0,
            frames=max(integer(dataset, 0x00280008) or 1, 1),
            samples=integer(dataset, 0x00280002, "US") or 1,
            photometric=text(dataset, 0x00280004).upper(),
            allocated=allocated,
            stored=stored,
            high=stored - 1 if high is None else high,
            signed=integer(dataset, 0x00280103, "US") == 1,
            planar=integer(dataset, 0x00280006, "US") or 0,
            keyword=PIXEL_TAGS.get(parsed.pixel_tag, ""),
            vr=parsed.pixel_vr,
            offset=parsed.pixel_offset,
            length=parsed.pixel_length,
            deflated=parsed.deflated,
        )

    @property
    def frame_bytes(self) -> int:
        """Bytes of one decoded frame."""
        return self.rows * self.columns * self.samples * max(self.allocated, 8) // 8

    @property
    def stored_frame_bytes(self) -> float:
        """Bytes of one frame as uncompressed pixel data hold it; 1-bit pixels share bytes, YBR_FULL_422 drops a third."""
        part = 2 / 3 if self.photometric == "YBR_FULL_422" else 1
        return self.rows * self.columns * self.samples * self.allocated / 8 * part

    @property
    def is_native(self) -> bool:
        """Pixel data are uncompressed."""
        return self.syntax in _NATIVE

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values, in this machine's byte order."""
        if self.keyword == "FloatPixelData":
            return np.dtype(np.float32)
        if self.keyword == "DoubleFloatPixelData":
            return np.dtype(np.float64)
        return np.dtype(f"{'i' if self.signed else 'u'}{max(self.allocated, 8) // 8}")


def transfer_syntax(dataset: Any) -> Any:
    """The transfer syntax of a data set; where no meta header names it, the one that it was found to be read in."""
    from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    meta = getattr(dataset, "file_meta", None)
    named = text(meta, 0x00020010) if meta is not None else ""
    if named:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return UID(named)
    # A bare data set (no meta header) is by default implicit little endian (PS3.5 section 10.1).
    implicit, little = dataset.original_encoding
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian


@lru_cache(maxsize=64)
def check_syntax(name: str) -> None:
    """Refuse a transfer syntax that has no decoder here.

    Raises:
        CaseFailedError: With the way to convert it.
    """
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    syntax = UID(name)

    if syntax.is_private or not syntax.is_transfer_syntax:
        shown = defined_term(str(syntax), r"[0-9.]{1,64}")
        raise CaseFailedError(f"unknown transfer syntax {shown}; convert it, for example with dcmconv or gdcmconv")
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        raise CaseFailedError(
            f"transfer syntax {syntax.name} ({syntax}) has no decoder here; convert it, for example with dcmdjpeg"
        )


def check_length(form: PixelFormat, present: int) -> None:
    """Compare the declared size with the bytes present, before a decoder allocates for it.

    Raises:
        CaseFailedError: Too few bytes, or more pixels than are read.
    """
    if form.allocated not in (1, 8, 16, 32, 64) or (form.allocated == 64) != (form.keyword == "DoubleFloatPixelData"):
        raise CaseFailedError(f"declares {form.allocated} bits allocated; expected 8, 16 or 32")
    if form.frame_bytes * form.frames > MAX_PIXEL_BYTES:
        raise CaseFailedError(
            f"declares {form.frames} frames of {form.rows} x {form.columns} pixels, more than the "
            f"{MAX_PIXEL_BYTES >> 20:,} MiB that are read"
        )
    expected = int(form.stored_frame_bytes * form.frames)
    if form.is_native:
        if present < expected:
            raise CaseFailedError(
                f"pixel data are cut short: {form.rows} x {form.columns} pixels of {form.allocated} bits need "
                f"{expected:,} bytes, the file has {present:,}; copy it again from its source"
            )
    elif present == 0 or (form.syntax == RLE and expected > MAX_RLE_RATIO * present):
        raise CaseFailedError(
            f"declares {form.rows} x {form.columns} pixels, which {present:,} bytes of {_name(form.syntax)} cannot hold"
        )


def check_codestream(form: PixelFormat, stream: bytes) -> None:
    """Refuse a compressed image whose own stream declares another size than the header: decoders believe the stream.

    Raises:
        CaseFailedError: Naming both sizes; or the stream is cut short.
    """
    if stream.startswith(JP2_START) and jp2_codestream(stream) is None:  # pydicom's own search would never end
        raise CaseFailedError("its JPEG 2000 stream is wrapped in a damaged JP2 file")
    size = declared_size(stream)
    if size is not None and size != (form.rows, form.columns):
        raise CaseFailedError(
            f"declares {form.rows} x {form.columns} pixels, but its compressed image {size[0]} x {size[1]}"
        )
    if stream[:2] == b"\xff\xd8" and b"\xff\xd9" not in stream[-64:]:  # libjpeg fills up what is missing in silence
        raise CaseFailedError("its JPEG stream is cut short: it has no end marker; copy the file again from its source")
    if form.syntax == RLE:
        _check_rle(form, stream)


def _check_rle(form: PixelFormat, stream: bytes) -> None:
    """The header of an RLE frame (PS3.5 annex G.5): one segment for each byte of a pixel, in order, inside the frame."""
    if form.frame_bytes > MAX_RLE_RATIO * len(stream):
        raise CaseFailedError(
            f"declares {form.rows} x {form.columns} pixels, which {len(stream):,} bytes of RLE cannot hold"
        )
    header = [int.from_bytes(stream[at : at + 4], "little") for at in range(0, 64, 4)]
    count, offsets = header[0], header[1 : header[0] + 1]
    wanted = form.samples * max(form.allocated, 8) // 8
    if count != wanted or offsets[0] != 64 or offsets != sorted(offsets) or offsets[-1] >= len(stream):
        raise CaseFailedError(f"its RLE header is damaged ({count} segments, {wanted} expected)")


def without_high_bits(form: PixelFormat, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Clear what some devices leave above HighBit (overlays, dirt): those bits are no pixel value (PS3.5 section 8.1.1).

    Values whose highest bit stands above BitsStored are moved down to it.
    """
    if not 0 < form.stored < form.allocated or values.dtype.kind not in "iu":
        return values
    above = form.high + 1 - form.stored
    if 0 < above <= form.allocated - form.stored:
        values = values >> above
    if not form.signed:
        return values if int(values.max()) < 1 << form.stored else values & ((1 << form.stored) - 1)
    shift = form.allocated - form.stored
    return (values << shift) >> shift


def frames_of(stream: BinaryIO, form: PixelFormat, size: int) -> Iterator[npt.NDArray[Any]]:
    """Decode all frames of a file, in their order.

    Args:
        stream: The file's bytes.
        form: Its format, as its header says.
        size: Number of bytes of the file.

    Returns:
        (rows, columns) or (rows, columns, samples) stored values of each frame; colour as RGB.

    Raises:
        CaseFailedError: Cut short, damaged, or of absurd size.
    """
    if form.deflated:
        return decode_frames(_inflated_pixels(stream, form), form)
    present = max(size - form.offset, 0)
    present = present if form.length == UNDEFINED_LENGTH else min(present, form.length)
    check_length(form, present)
    stream.seek(form.offset)
    return decode_frames(stream.read(present), form)


def decode_frames(
    content: bytes, form: PixelFormat, indices: Sequence[int] | None = None
) -> Iterator[npt.NDArray[Any]]:
    """Decode the value of a pixel data element: all frames, or those of 0-based ``indices``.

    Raises:
        CaseFailedError: Cut short, damaged, or of absurd size.
    """
    check_length(form, len(content))
    if not form.is_native:
        _check_codestreams(content, form)
    elif form.samples == 1 and form.allocated > 1 and not (form.syntax == BIG_ENDIAN and form.allocated == 8):
        dtype = form.dtype.newbyteorder(">" if form.syntax == BIG_ENDIAN else "<")
        values = np.frombuffer(content, dtype, form.frames * form.rows * form.columns)
        frames = values.reshape(form.frames, form.rows, form.columns)
        return iter(frames if indices is None else frames[list(indices)])
    return _by_pydicom(content, form, indices)


def is_lossy(syntax: str) -> bool:
    """Whether a transfer syntax may have changed grey values."""
    return syntax in _LOSSY


def _inflated_pixels(stream: BinaryIO, form: PixelFormat) -> bytes:
    if form.frame_bytes * form.frames > MAX_INFLATED_BYTES:
        raise CaseFailedError(f"declares {form.rows} x {form.columns} pixels, more than is inflated")
    stream.seek(0)
    dataset = parse(stream, pixels=True).dataset
    content = dataset.get_item(next(tag for tag, name in PIXEL_TAGS.items() if name == form.keyword)).value
    check_length(form, len(content))
    return content if isinstance(content, bytes) else bytes(content)


def _check_codestreams(content: bytes, form: PixelFormat) -> None:
    from pydicom.encaps import generate_fragments, generate_frames

    try:
        fragments = islice(generate_fragments(content), 1, None)  # the first is the offset table
        images = sum(form.syntax == RLE or part.startswith(_STREAM_STARTS) for part in fragments)
        if images > form.frames:  # without offsets a decoder would take them for parts of one image
            raise CaseFailedError(f"holds {images} compressed images, but the header says {form.frames} frames")
        for stream in generate_frames(content, number_of_frames=form.frames):
            check_codestream(form, stream)
    except CaseFailedError:
        raise
    except Exception as error:  # fragments that do not add up
        raise CaseFailedError(f"has damaged compressed pixel data ({short(error)})") from error


def _by_pydicom(content: bytes, form: PixelFormat, indices: Sequence[int] | None) -> Iterator[npt.NDArray[Any]]:
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    options: dict[str, Any] = {
        "rows": form.rows,
        "columns": form.columns,
        "number_of_frames": form.frames,
        "samples_per_pixel": form.samples,
        "photometric_interpretation": form.photometric or "MONOCHROME2",
        "bits_allocated": form.allocated,
        "bits_stored": form.stored,
        "pixel_representation": int(form.signed),
        "pixel_keyword": form.keyword,
        "pixel_vr": form.vr or "OW",
        "correct_unused_bits": False,  # pydicom would clear them without a look at HighBit
    }
    if form.samples > 1:
        options["planar_configuration"] = form.planar
    shape = (form.rows, form.columns) if form.samples == 1 else (form.rows, form.columns, form.samples)
    syntax = UID("1.2.840.10008.1.2.1" if form.syntax == DEFLATED else form.syntax)
    count = 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for values, _ in get_decoder(syntax).iter_array(
                content, indices=indices, decoding_plugin=_FASTEST.get(form.syntax, ""), **options
            ):
                if values.shape != shape:
                    raise CaseFailedError(f"pixel data decode to {values.shape}, but the header says {shape}")
                count += 1
                yield values
    except CaseFailedError:
        raise
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # decoders raise many kinds on damaged streams; Rust's panics are no Exception
        raise CaseFailedError(f"pixel data cannot be decoded ({_name(form.syntax)}: {short(error)})") from error
    wanted = form.frames if indices is None else len(indices)
    if count != wanted:
        raise CaseFailedError(f"pixel data give {count} frames, the header says {wanted}")


def _name(syntax: str) -> str:
    from pydicom.uid import UID

    return str(UID(syntax).name)
