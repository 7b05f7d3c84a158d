"""A DICOM header to an ``Instance``: what is declared is held against the bytes that are there before it is believed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from medpipe.errors import CaseFailedError, CaseSkippedError
from medpipe.io.dicom_file import (
    UNDEFINED_LENGTH,
    Elements,
    Parsed,
    integer,
    length_of,
    numbers,
    parse,
    raw,
    text,
    words_before_fault,
)
from medpipe.io.findings import Finding, found
from medpipe.io.frames import images_of
from medpipe.io.instances import Instance, UnreadableError
from medpipe.io.pixel_data import PixelFormat, check_length, check_syntax, is_lossy
from medpipe.io.privacy import OTHER_IDS, PATIENT_TAGS, defined_term, patient_words
from medpipe.io.radiograph import check_pixel_count
from medpipe.io.sources import Source

__all__ = ["MAX_FRAMES", "read_instance"]

MAX_FRAMES = 100_000
"""Most frames of one file; a header can declare any number."""

NOT_AN_IMAGE = {"SR", "PR", "KO", "RTPLAN", "RTRECORD", "DOC", "REG", "FID", "AU", "ECG", "HD", "EPS", "PLAN"}


_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422")


def read_instance(stream: BinaryIO, source: Source, label: str, size: int) -> Instance:
    """Read a header and lay out its images.

    Raises:
        UnreadableError: The file is damaged, or declares what cannot be.
        CaseSkippedError: It is sound, but no image.
    """
    try:
        parsed = parse(stream, pixels=False)
    except CaseFailedError as error:
        unreadable = UnreadableError("unreadable_file", str(error))
        unreadable.names = words_before_fault(stream)
        raise unreadable from error
    dataset = Elements(parsed.dataset)
    modality = _modality(dataset)
    try:
        _require_image(parsed, modality)
        form = PixelFormat.of(parsed, dataset)
        _check(form, size)
        instance = _instance(dataset, form, source, label, size, modality)
        instance.images = list(images_of(dataset, instance))
    except UnreadableError as error:
        error.series = (_patient(dataset), text(dataset, 0x0020000D), text(dataset, 0x0020000E), modality)
        error.names = _names(dataset)
        raise
    except CaseSkippedError as error:
        error.words = _names(dataset)
        raise
    return instance


def _modality(dataset: Any) -> str:
    """As in the header, in capitals; what is no term is not taken, since the modality goes into the names of files.

    Nor is a part of the patient's name, unless it is as short as the terms of most modalities ("Mr").
    """
    modality = text(dataset, 0x00080060).upper()
    if not re.fullmatch("[A-Z][A-Z0-9]{1,15}", modality):
        return ""
    names = "^".join(_names(dataset)).upper() if len(modality) > 3 else ""
    return "" if modality in re.split("[^A-Z0-9]+", names) else modality


def _patient(dataset: Any) -> str:
    patient_id, name = text(dataset, 0x00100020), text(dataset, 0x00100010)
    return f"{patient_id}\n{name}" if patient_id or name else ""


def _names(dataset: Any) -> tuple[str, ...]:
    words = [text(dataset, tag) for tag in PATIENT_TAGS if tag in dataset]
    if OTHER_IDS in dataset or not all(word.isascii() and "\x1b" not in word for word in words):
        return patient_words(dataset.dataset)  # slower, and knows character sets
    return tuple(filter(None, words))


def _require_image(parsed: Parsed, modality: str) -> None:
    dataset = parsed.dataset
    if parsed.pixel_tag:
        return
    rows = integer(dataset, 0x00280010, "US")
    storage = text(dataset, 0x00080016)
    if raw(dataset, 0x00041220) is not None:
        raise CaseSkippedError("DICOMDIR, an index of other files")
    if rows or (_is_image_storage(storage) and modality not in NOT_AN_IMAGE):
        raise UnreadableError("header_cut_short", "ends before its pixel data; copy it again from its source")
    if not storage and not modality:
        raise UnreadableError("unreadable_file", "holds neither an image nor a kind of object; it is damaged")
    raise CaseSkippedError(f"DICOM object without an image ({modality or _class_name(storage)})")


def _class_name(uid: str) -> str:
    from pydicom.uid import UID

    return UID(uid).name if re.fullmatch("[0-9.]{1,64}", uid) else "of no known kind"


def _is_image_storage(uid: str) -> bool:
    from pydicom.uid import UID

    return "Image Storage" in UID(uid).name


def _check(form: PixelFormat, size: int) -> None:
    if form.rows < 1 or form.columns < 1:
        raise UnreadableError("impossible_size", f"declares {form.rows} x {form.columns} pixels")
    if form.frames > MAX_FRAMES or form.samples not in (1, 3):
        raise UnreadableError("impossible_size", f"declares {form.frames} frames of {form.samples} samples per pixel")
    if form.keyword == "PixelData" and not 0 < form.stored <= form.allocated:
        raise UnreadableError("impossible_size", f"declares {form.stored} of {form.allocated} bits stored")
    try:
        check_pixel_count(form.rows, form.columns)
    except CaseFailedError as error:
        raise UnreadableError("impossible_size", str(error)) from error
    try:
        check_syntax(form.syntax)
    except CaseFailedError as error:
        raise UnreadableError("unknown_transfer_syntax", str(error)) from error
    present = max(size - form.offset, 0)
    if form.length != UNDEFINED_LENGTH:
        present = form.length if form.deflated else min(present, form.length)
    try:
        check_length(form, present)
    except CaseFailedError as error:
        code = "pixels_cut_short" if "cut short" in str(error) else "impossible_size"
        raise UnreadableError(code, str(error)) from error


def _instance(dataset: Any, form: PixelFormat, source: Source, label: str, size: int, modality: str) -> Instance:
    padding = numbers(dataset, 0x00280120, "SS" if form.signed else "US")
    limit = numbers(dataset, 0x00280121, "SS" if form.signed else "US") or padding
    return Instance(
        source=source,
        label=label,
        size=size,
        form=form,
        patient=_patient(dataset),
        names=_names(dataset),
        study=text(dataset, 0x0020000D),
        series=text(dataset, 0x0020000E),
        sop=text(dataset, 0x00080018),
        frame_of_reference=text(dataset, 0x00200052),
        modality=modality,
        series_number=integer(dataset, 0x00200011),
        number=integer(dataset, 0x00200013),
        image_type=tuple(text(dataset, 0x00080008).upper().split("\\")),
        declared_images=integer(dataset, 0x00201002),
        slice_step=length_of(dataset, 0x00180088),
        thickness=length_of(dataset, 0x00180050),
        tilt=(numbers(dataset, 0x00181120) or (0.0,))[0],
        padding=(padding[0], limit[0]) if padding and limit else None,
        findings=list(_file_findings(dataset, form, label, size)),
    )


def _says_colour(dataset: Any, form: PixelFormat) -> bool:
    """Whether the colour space is one that is converted to RGB, and uncompressed samples have an order."""
    if not form.is_native:
        return form.photometric in (*_COLOURS, "YBR_ICT", "YBR_RCT")
    return form.photometric in _COLOURS and raw(dataset, 0x00280006) is not None


def _file_findings(dataset: Any, form: PixelFormat, label: str, size: int) -> Iterator[Finding]:
    if form.photometric == "MONOCHROME1":
        yield found("monochrome1", files=[label])
    if form.photometric == "PALETTE COLOR":
        yield found("palette_colour", files=[label])
    if form.samples == 3 and not _says_colour(dataset, form):
        yield found("colour_unknown", defined_term(form.photometric), [label])
    if is_lossy(form.syntax) or text(dataset, 0x00282110) == "01":
        yield found("lossy_compression", files=[label])
    if raw(dataset, 0x00283000) is not None:
        yield found("modality_lut", files=[label])
    if form.is_native and form.keyword == "PixelData" and not form.stored - 1 <= form.high < form.allocated:
        detail = f"{form.high} with {form.stored} of {form.allocated} bits"
        yield found("high_bit_contradicts", detail, [label])
    if form.is_native and form.length != UNDEFINED_LENGTH:
        present = form.length if form.deflated else min(form.length, size - form.offset)
        expected = int(form.stored_frame_bytes * form.frames + 0.999)
        if present > expected + 1:
            yield found(
                "surplus_pixel_data",
                f"{present:,} bytes where {expected:,} are declared",
                [label],
                present=present,
                expected=expected,
            )
