"""Radiographs in DICOM: header facts, and pixels after the grey-scale pipeline of PS3.4 annex N.

Stored values -> modality LUT or rescale (PS3.3 C.11.1) -> VOI LUT or window (C.11.2) -> MONOCHROME1 inverted (C.7.6.3.1.2).
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from medpipe.errors import CaseError, CaseFailedError, CaseSkippedError
from medpipe.io.dicom_file import Parsed, numbers, parse, raw, words_before_fault
from medpipe.io.pixel_data import PixelFormat, check_syntax, decode_frames, without_high_bits
from medpipe.io.privacy import defined_term, patient_words
from medpipe.io.radiograph import Radiograph, check_pixel_count, file_kind, scale_to_unit

__all__ = ["RadiographHeader", "decode", "patient_words_of", "read_header"]

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


@dataclass(frozen=True)
class RadiographHeader:
    """What a DICOM header says about a radiograph; empty strings and zeros where it is silent.

    ``sex`` and ``age`` are terms of the standard or empty; ``words`` name the patient and are never shown.
    """

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
    words: tuple[str, ...] = ()


def read_header(stream: BinaryIO) -> RadiographHeader:
    """Read the facts by which a file is accepted or skipped, without its pixels.

    Raises:
        CaseFailedError: The header cannot be read; what it says of the patient before its fault is in ``words``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values are converted here; an ill-formed UID is no reason for noise
        try:
            parsed = parse(stream, pixels=False)
            return _header(parsed.dataset, bool(parsed.pixel_tag))
        except CaseFailedError as error:
            error.words = words_before_fault(stream)
            raise
        except Exception as error:  # elements of another kind than the standard says
            failure = CaseFailedError(f"has a damaged DICOM header ({type(error).__name__})")
            failure.words = words_before_fault(stream)
            raise failure from error


def patient_words_of(path: Path) -> tuple[str, ...]:
    """What a DICOM file says of its patient; nothing of other files, and of those that cannot be read."""
    try:
        with path.open("rb") as stream:
            return words_before_fault(stream) if file_kind(stream.read(132), path.name) == "dicom" else ()
    except OSError:
        return ()


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
        sex=_term(dataset, "PatientSex", "[MFO]"),
        age=_term(dataset, "PatientAge", r"\d{3}[DWMY]"),
        manufacturer=_text(dataset, "Manufacturer")[:64],
        words=patient_words(dataset),
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
    parsed = parse(stream, pixels=True)
    if not parsed.pixel_tag:
        raise CaseSkippedError("has no pixel data")
    dataset, stored = parsed.dataset, _stored_values(parsed, frame)
    try:
        unit, notes = _to_display(dataset, stored)
    except CaseError:
        raise
    except Exception as error:  # a malformed LUT or window: pydicom raises many kinds
        raise CaseFailedError(f"its grey-scale tables cannot be applied ({type(error).__name__})") from error
    spacing, origin = _spacing(dataset)
    return Radiograph(unit, spacing, origin, tuple(notes))


def _stored_values(parsed: Parsed, frame: int | None) -> npt.NDArray[Any]:
    """Decoded stored values (rows, columns) after every size field was checked against the bytes that are there."""
    form = PixelFormat.of(parsed)
    if form.samples > 1 or (form.photometric and not form.photometric.startswith("MONOCHROME")):
        raise CaseSkippedError(f"is a colour image ({defined_term(form.photometric) or 'several samples per pixel'})")
    if form.frames > 1 and frame is None:
        raise CaseSkippedError(f"has {form.frames} frames; expected one")
    if frame is not None and frame >= form.frames:
        raise CaseFailedError(f"has {form.frames} frames, no frame {frame}")
    check_pixel_count(form.rows, form.columns)
    check_syntax(form.syntax)
    content = raw(parsed.dataset, parsed.pixel_tag)
    (values,) = decode_frames(content if isinstance(content, bytes) else b"", form, [frame or 0])
    return without_high_bits(form, values)


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
    for tag, name in ((0x00280030, "PixelSpacing"), (0x00181164, "ImagerPixelSpacing")):
        values = numbers(dataset, tag)
        if values is not None and len(values) == 2 and min(values) > 0 and np.isfinite(values).all():
            return (values[0], values[1]), name
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


def _term(dataset: Any, name: str, pattern: str) -> str:
    """A coded value; "" where it is none that the standard defines."""
    value = _text(dataset, name).upper()
    return value if re.fullmatch(pattern, value) else ""


def _integer(dataset: Any, name: str) -> int:
    try:
        return int(dataset.get(name) or 0)
    except Exception:  # as above
        return 0
