"""Radiographs in DICOM: header facts, and pixels after the grey-scale pipeline of PS3.4 annex N.

Stored values -> modality LUT or rescale (PS3.3 C.11.1) -> VOI LUT or window (C.11.2) -> MONOCHROME1 inverted (C.7.6.3.1.2).
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from medpipe.errors import CaseError, CaseFailedError, CaseSkippedError
from medpipe.io.codestreams import declared_size
from medpipe.io.radiograph import Radiograph, check_pixel_count, scale_to_unit

__all__ = ["RadiographHeader", "decode", "read_header"]

_HEADER_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "Manufacturer",
    "BodyPartExamined",
    "ViewPosition",
    "ViewCodeSequence",
    "PatientOrientation",
    "PatientID",
    "PatientSex",
    "PatientAge",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PixelSpacing",
    "ImagerPixelSpacing",
]

_PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)

MAX_RLE_RATIO = 64
"""PackBits turns two bytes into at most 128 pixels' bytes (PS3.5 annex G), so no RLE stream unpacks by more."""


@dataclass(frozen=True)
class RadiographHeader:
    """What a DICOM header says about a radiograph; empty strings and zeros where it is silent."""

    sop_instance_uid: str
    modality: str
    view: str
    body_part: str
    rows: int
    columns: int
    frames: int
    grey: bool
    has_pixels: bool
    patient_id: str
    sex: str
    age: str
    manufacturer: str


def read_header(stream: BinaryIO) -> RadiographHeader:
    """Read the facts by which a file is accepted or skipped, without its pixels.

    Raises:
        CaseFailedError: The header cannot be read.
    """
    dataset, has_pixels = _read(stream, pixels=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # values are converted here; an ill-formed UID is no reason for noise
            return _header(dataset, has_pixels)
    except Exception as error:  # elements of another kind than the standard says
        raise CaseFailedError(f"has a damaged DICOM header ({_short(error)})") from error


def _header(dataset: Any, has_pixels: bool) -> RadiographHeader:
    photometric = _text(dataset, "PhotometricInterpretation").upper()
    return RadiographHeader(
        sop_instance_uid=_text(dataset, "SOPInstanceUID"),
        modality=_text(dataset, "Modality").upper(),
        view=_view(dataset),
        body_part=_text(dataset, "BodyPartExamined").upper(),
        rows=_integer(dataset, "Rows"),
        columns=_integer(dataset, "Columns"),
        frames=max(_integer(dataset, "NumberOfFrames"), 1),
        grey=_integer(dataset, "SamplesPerPixel") <= 1 and (not photometric or photometric.startswith("MONOCHROME")),
        has_pixels=has_pixels,
        patient_id=_text(dataset, "PatientID"),
        sex=_text(dataset, "PatientSex"),
        age=_text(dataset, "PatientAge"),
        manufacturer=_text(dataset, "Manufacturer"),
    )


def decode(stream: BinaryIO, *, frame: int | None = None) -> Radiograph:
    """Decode one image to display values.

    Args:
        stream: The file's bytes.
        frame: 0-based frame of a multi-frame file.

    Raises:
        CaseFailedError: Damaged, undecodable, or of absurd size.
        CaseSkippedError: Colour, several frames without ``frame``, or no pixels.
    """
    dataset, has_pixels = _read(stream, pixels=True)
    if not has_pixels:
        raise CaseSkippedError("has no pixel data")
    stored = _stored_values(dataset, frame)
    try:
        unit, notes = _to_display(dataset, stored)
    except CaseError:
        raise
    except Exception as error:  # a malformed LUT or window: pydicom raises many kinds
        raise CaseFailedError(f"its grey-scale tables cannot be applied ({_short(error)})") from error
    spacing, origin = _spacing(dataset)
    return Radiograph(unit, spacing, origin, tuple(notes))


def _read(stream: BinaryIO, *, pixels: bool) -> tuple[Any, bool]:
    import pydicom
    from pydicom.filereader import read_partial
    from pydicom.tag import Tag

    seen: list[int] = []

    def at_pixels(tag: Any, vr: str | None, length: int) -> bool:
        if int(tag) in _PIXEL_TAGS:
            seen.append(length)
        return not pixels and int(tag) >= _PIXEL_TAGS[0]

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oddities that matter are judged below, by name
            tags = None if pixels else [Tag(name) for name in _HEADER_TAGS]
            dataset = read_partial(stream, stop_when=at_pixels, force=True, specific_tags=tags)
            if not pixels and len(dataset) == 0 and not seen:
                raise CaseFailedError("holds no DICOM elements; it is damaged or no DICOM file")
    except CaseError:
        raise
    except (pydicom.errors.InvalidDicomError, EOFError) as error:
        raise CaseFailedError(f"is not readable as DICOM ({_short(error)})") from error
    except Exception as error:  # damaged headers raise anything from struct.error to TypeError
        raise CaseFailedError(f"has a damaged DICOM header ({_short(error)})") from error
    return dataset, bool(seen) if not pixels else "PixelData" in dataset


def _stored_values(dataset: Any, frame: int | None) -> npt.NDArray[Any]:
    """Decoded stored values (rows, columns) after every size field was checked against the bytes that are there."""
    rows, columns = _integer(dataset, "Rows"), _integer(dataset, "Columns")
    frames = max(_integer(dataset, "NumberOfFrames"), 1)
    photometric = _text(dataset, "PhotometricInterpretation").upper()
    if _integer(dataset, "SamplesPerPixel") > 1 or (photometric and not photometric.startswith("MONOCHROME")):
        raise CaseSkippedError(f"is a colour image ({photometric or 'several samples per pixel'})")
    if frames > 1 and frame is None:
        raise CaseSkippedError(f"has {frames} frames; expected one")
    if frame is not None and frame >= frames:
        raise CaseFailedError(f"has {frames} frames, no frame {frame}")
    check_pixel_count(rows, columns)
    syntax = _transfer_syntax(dataset)
    _check_length(dataset, syntax, rows * columns * frames)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pydicom.pixels import pixel_array

            # pydicom would clear unused bits without a look at HighBit; ``_without_high_bits`` heeds it.
            values = pixel_array(dataset, index=frame if frame is not None else 0, correct_unused_bits=False)
    except Exception as error:  # decoders raise many kinds on damaged streams
        raise CaseFailedError(f"pixel data cannot be decoded ({syntax.name}: {_short(error)})") from error
    if values.shape != (rows, columns):
        raise CaseFailedError(f"pixel data decode to {values.shape}, but the header says ({rows}, {columns})")
    return _without_high_bits(dataset, values)


def _transfer_syntax(dataset: Any) -> Any:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    meta = getattr(dataset, "file_meta", None)
    syntax = meta.get("TransferSyntaxUID") if meta is not None else None
    if syntax is None:
        # A bare data set (no meta header) is by default implicit little endian (PS3.5 section 10.1).
        implicit, little = dataset.original_encoding
        syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        if meta is None:
            from pydicom.dataset import FileMetaDataset

            meta = dataset.file_meta = FileMetaDataset()
        meta.TransferSyntaxUID = syntax
    from pydicom.pixels import get_decoder

    if syntax.is_private or not syntax.is_transfer_syntax:
        raise CaseFailedError(f"unknown transfer syntax {syntax}; convert it, for example with dcmconv or gdcmconv")
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        raise CaseFailedError(
            f"transfer syntax {syntax.name} ({syntax}) has no decoder here; convert it, for example with dcmdjpeg"
        )
    return syntax


def _check_length(dataset: Any, syntax: Any, pixels: int) -> None:
    """Compare the declared size with the bytes present, before a decoder allocates for it."""
    bits = _integer(dataset, "BitsAllocated")
    if bits not in (1, 8, 16, 32):
        raise CaseFailedError(f"declares {bits} bits allocated; expected 8, 16 or 32")
    expected, present = pixels * bits // 8, len(dataset.PixelData)
    if not syntax.is_compressed or syntax == "1.2.840.10008.1.2.1.99":
        if present < expected:
            raise CaseFailedError(
                f"pixel data are cut short: {dataset.Rows} x {dataset.Columns} pixels of {bits} bits need "
                f"{expected:,} bytes, the file has {present:,}; copy it again from its source"
            )
    elif present == 0 or (syntax == "1.2.840.10008.1.2.5" and expected > MAX_RLE_RATIO * present):
        raise CaseFailedError(
            f"declares {dataset.Rows} x {dataset.Columns} pixels, which {present:,} bytes of {syntax.name} cannot hold"
        )
    else:
        _check_codestream(dataset)


def _check_codestream(dataset: Any) -> None:
    """Refuse a compressed image whose own stream declares another size than the header: decoders believe the stream."""
    from pydicom.encaps import generate_frames

    try:
        stream = next(generate_frames(dataset.PixelData, number_of_frames=max(_integer(dataset, "NumberOfFrames"), 1)))
    except Exception as error:  # fragments that do not add up
        raise CaseFailedError(f"has damaged compressed pixel data ({_short(error)})") from error
    size = declared_size(stream)
    if size is not None and size != (_integer(dataset, "Rows"), _integer(dataset, "Columns")):
        raise CaseFailedError(
            f"declares {dataset.Rows} x {dataset.Columns} pixels, but its compressed image {size[0]} x {size[1]}"
        )


def _without_high_bits(dataset: Any, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Clear what some devices leave above HighBit (overlays, dirt): those bits are no pixel value (PS3.5 section 8.1.1).

    Values whose highest bit stands above BitsStored are moved down to it.
    """
    stored, allocated = _integer(dataset, "BitsStored"), _integer(dataset, "BitsAllocated")
    if not 0 < stored < allocated or values.dtype.kind not in "iu":
        return values
    above = _integer(dataset, "HighBit") + 1 - stored
    if 0 < above <= allocated - stored:
        values = values >> above
    if _integer(dataset, "PixelRepresentation") == 0:
        return values if int(values.max()) < 1 << stored else values & ((1 << stored) - 1)
    shift = allocated - stored
    return (values << shift) >> shift


def _to_display(dataset: Any, stored: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float32], list[str]]:
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    notes: list[str] = []
    padding = _padding(dataset, stored)
    values = apply_modality_lut(stored, dataset)
    if values.dtype == np.float64:
        values = values.astype(np.float32)
    if dataset.get("VOILUTSequence"):
        # Wide enough for values that a rescale made negative.
        values = apply_voi_lut(np.rint(values).astype(np.int32), dataset, prefer_lut=True)
    inside = values if padding is None else values[~padding]
    if not inside.size:
        raise CaseFailedError("consists of padding alone")
    low, high = float(inside.min()), float(inside.max())
    window = None if dataset.get("VOILUTSequence") else _window(dataset)
    if window is None:
        pass
    elif window[0] >= high or window[1] <= low:
        notes.append("its window lies outside the pixel values and was left out")
    else:
        low, high = window
    inverted = _text(dataset, "PhotometricInterpretation").upper() == "MONOCHROME1"
    if inverted:
        notes.append("MONOCHROME1: inverted for display")
    unit = scale_to_unit(values.astype(np.float32, copy=False), low, high, invert=inverted)
    if padding is not None:
        unit[padding] = 0
        notes.append("padding shown black")
    return unit, notes


def _padding(dataset: Any, stored: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
    """Pixels outside the image by PixelPaddingValue and its range limit (PS3.3 C.7.5.1.1.2); None without any."""
    try:
        first = int(dataset.get("PixelPaddingValue"))
        last = dataset.get("PixelPaddingRangeLimit")
        last = first if last is None else int(last)
    except (TypeError, ValueError):
        return None
    padding = (stored >= min(first, last)) & (stored <= max(first, last))
    return padding if padding.any() else None


def _window(dataset: Any) -> tuple[float, float] | None:
    """Lower and upper end of the first window, by PS3.3 C.11.2.1.2 (LINEAR) or C.11.2.1.3 (LINEAR_EXACT).

    A SIGMOID window is taken by its linear part: only the ends of the display range differ.
    """
    from pydicom.multival import MultiValue

    center, width = dataset.get("WindowCenter"), dataset.get("WindowWidth")
    first = [v[0] if isinstance(v, MultiValue) and len(v) else v for v in (center, width)]
    try:
        center, width = (float(v) for v in first)
    except (TypeError, ValueError):
        return None
    if _text(dataset, "VOILUTFunction").upper() in ("LINEAR_EXACT", "SIGMOID"):
        return (center - width / 2, center + width / 2) if width > 0 else None
    return (center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2) if width > 1 else None


def _spacing(dataset: Any) -> tuple[tuple[float, float] | None, str]:
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        try:
            row, column = (float(v) for v in dataset.get(name))
        except (TypeError, ValueError):
            continue
        if row > 0 and column > 0 and np.isfinite([row, column]).all():
            return (row, column), name
    return None, ""


def _view(dataset: Any) -> str:
    """The view as one word: ViewPosition, else the view code's meaning, else lateral by PatientOrientation."""
    if view := _text(dataset, "ViewPosition").upper():
        return view
    codes = dataset.get("ViewCodeSequence")
    if codes:
        meaning = re.sub(r"[^A-Z]+", " ", str(codes[0].get("CodeMeaning", "")).upper()).strip()
        if meaning:
            return meaning
    orientation = [str(v).upper()[:1] for v in (dataset.get("PatientOrientation") or [])]
    return "LATERAL" if orientation and orientation[0] in ("A", "P") else ""


def _text(dataset: Any, name: str) -> str:
    try:
        value = dataset.get(name)
    except Exception:  # an element whose value cannot be converted is as good as absent
        return ""
    return "" if value is None else str(value).strip()


def _integer(dataset: Any, name: str) -> int:
    try:
        return int(dataset.get(name) or 0)
    except Exception:  # as above
        return 0


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".split("\n", 1)[0][:160]
