"""A plain radiograph as every reader of this room hands it on, and the reader that picks among the formats."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from medpipe.errors import CaseFailedError
from medpipe.io.sources import Source

__all__ = ["MAX_PIXELS", "Radiograph", "check_pixel_count", "file_kind", "read_radiograph", "scale_to_unit"]

MAX_PIXELS = 100_000_000
"""Largest image that is decoded (a 35 x 43 cm detector at 0.05 mm has 60 million pixels)."""

_JSRT_NAME = re.compile(r"JPC[LN]N\d{3,}\.IMG", re.IGNORECASE)
"""Films of the JSRT database have no header: their names alone tell them."""


@dataclass(frozen=True)
class Radiograph:
    """One projection image, ready for display or a network.

    Attributes:
        pixels: (rows, columns) float32 in [0, 1]; 0 is black (air), 1 is white (bone), whatever the file's
            photometric interpretation. Row 0 is the top, column 0 the left edge of the picture.
        spacing_mm: Distance of neighbouring (rows, columns) in millimetres, or None where the file does not say.
        spacing_source: Which field gave the spacing: "PixelSpacing", "ImagerPixelSpacing" (at the detector, not
            corrected for magnification), "file" (NIfTI, MetaImage), "JSRT" (the published scale) or "".
        notes: What was done that a reader should know (an inversion, a window left out).
    """

    pixels: npt.NDArray[np.float32]
    spacing_mm: tuple[float, float] | None = None
    spacing_source: str = ""
    notes: tuple[str, ...] = field(default=())


def file_kind(head: bytes, name: str) -> str:
    """Tell the format from a file's first 132 bytes and its name.

    Returns:
        "dicom", "png", "jpeg", "nifti", "metaimage", "jsrt", "zip" or "" for anything else.
    """
    lower = name.lower()
    if head[128:132] == b"DICM" or _starts_as_bare_dicom(head):
        return "dicom"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if lower.endswith((".nii", ".nii.gz")):
        return "nifti"
    if lower.endswith((".mha", ".mhd")):
        return "metaimage"
    if _JSRT_NAME.fullmatch(name):
        return "jsrt"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) and lower.endswith(".zip"):
        return "zip"
    return "dicom" if lower.endswith((".dcm", ".dicom", ".ima")) else ""


def _starts_as_bare_dicom(head: bytes) -> bool:
    """A data set without preamble starts with an element of group 0002 or 0008 (PS3.10 section 7.1 files do not)."""
    if len(head) < 12 or head[:2] not in (b"\x02\x00", b"\x08\x00") or head[3] != 0:
        return False
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return explicit or int.from_bytes(head[4:8], "little") <= 1024


def check_pixel_count(rows: int, columns: int) -> None:
    """Refuse sizes that no radiograph has, before anything is allocated.

    Raises:
        CaseFailedError: A side is not positive, or rows x columns exceeds ``MAX_PIXELS``.
    """
    if rows < 1 or columns < 1:
        raise CaseFailedError(f"declares {rows} x {columns} pixels; both must be positive")
    if rows * columns > MAX_PIXELS:
        raise CaseFailedError(f"declares {rows} x {columns} pixels, more than the {MAX_PIXELS:,} that are read")


def scale_to_unit(
    values: npt.NDArray[np.floating], low: float, high: float, *, invert: bool = False
) -> npt.NDArray[np.float32]:
    """Map [low, high] to [0, 1] as float32, clipped; ``invert`` swaps black and white.

    Raises:
        CaseFailedError: There is no contrast between ``low`` and ``high``, or a value is not finite.
    """
    if not (np.isfinite(low) and np.isfinite(high)):
        raise CaseFailedError("holds values that are not finite (NaN or infinity)")
    if not np.isfinite(values).all():
        raise CaseFailedError("holds values that are not finite (NaN or infinity)")
    if not high > low:
        raise CaseFailedError(f"every pixel has the same value ({low:g}): there is nothing to read")
    unit = ((values - low) / (high - low)).clip(0, 1).astype(np.float32)
    return np.subtract(np.float32(1), unit) if invert else unit


def read_radiograph(source: Source | str) -> Radiograph:
    """Read one radiograph from DICOM, PNG, JPEG, a single-slice NIfTI or MetaImage, or a film of the JSRT database.

    Args:
        source: A file, or the one-string form of ``medpipe.io.sources``.

    Raises:
        CaseFailedError: The file cannot be read, or is none of these formats; the message says why.
        CaseSkippedError: It is sound, but no single two-dimensional grey image.
    """
    from medpipe.io import dicom_radiograph, plain_images
    from medpipe.io.jsrt_film import decode_jsrt_film
    from medpipe.io.metaimage import decode_metaimage

    source = Source.parse(source) if isinstance(source, str) else source
    with source.open() as stream:
        head = stream.read(132)
        stream.seek(0)
        kind = file_kind(head, source.name)
        if kind == "dicom":
            return dicom_radiograph.decode(stream, frame=source.frame)
        if kind in ("png", "jpeg"):
            return plain_images.decode_picture(stream)
        if kind == "nifti":
            return plain_images.decode_nifti(stream.read(), gzipped=source.name.lower().endswith(".gz"))
        if kind == "metaimage":
            return decode_metaimage(stream)
        if kind == "jsrt":
            return decode_jsrt_film(stream)
    raise CaseFailedError("is neither DICOM, PNG, JPEG, NIfTI, MetaImage nor a JSRT film")
