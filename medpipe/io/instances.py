"""What a DICOM file with pixels says of itself, and the two-dimensional images in it.

Lengths are millimetres in DICOM's LPS patient axes, as in the header.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from medpipe.errors import CaseFailedError
from medpipe.io.findings import Finding
from medpipe.io.pixel_data import PixelFormat
from medpipe.io.sources import Source

__all__ = ["Image", "Instance", "UnreadableError"]


class UnreadableError(CaseFailedError):
    """A file that cannot become an image.

    Attributes:
        code: Why, as a finding says it.
        series: The series that its header names, where that much could be read.
        names: Parts of the patient's name and id; never shown.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.series: tuple[str, str, str, str] | None = None
        self.names: tuple[str, ...] = ()


@dataclass
class Instance:
    """A DICOM file with pixels: who it belongs to, and what it says of itself.

    Attributes:
        source: Where its bytes are.
        label: Its path as tables show it.
        size: Number of its bytes.
        form: How its pixel data are stored.
        patient: Identity of its patient for grouping; never shown.
        names: Parts of the patient's name and id; never shown.
        study, series, sop, frame_of_reference: UIDs.
        modality, photometric: As in the header, in capitals.
        series_number, number: SeriesNumber and InstanceNumber, None where absent.
        image_type: ImageType's values.
        declared_images: Number of images that the header says the acquisition has.
        slice_step: SpacingBetweenSlices, else None.
        thickness: SliceThickness, else None.
        tilt: GantryDetectorTilt in degrees.
        padding: PixelPaddingValue and its range limit.
        images: Its two-dimensional images.
        findings: What is odd about the file by itself.
    """

    source: Source
    label: str
    size: int
    form: PixelFormat
    patient: str
    names: tuple[str, ...]
    study: str
    series: str
    sop: str
    frame_of_reference: str
    modality: str
    series_number: int | None
    number: int | None
    image_type: tuple[str, ...]
    declared_images: int | None
    slice_step: float | None
    thickness: float | None
    tilt: float
    padding: tuple[float, float] | None
    spacing_source: str = ""
    images: list[Image] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


@dataclass
class Image:
    """One two-dimensional image of a file.

    Attributes:
        instance: Its file.
        frame: 0-based frame in the file.
        tile: (row, column) of its first pixel in a mosaic; None elsewhere.
        rows, columns: Its size.
        position: Centre of its first pixel (ImagePositionPatient), None where not given.
        orientation: Directions of increasing column and row index (ImageOrientationPatient), None where not given.
        spacing: Distance of neighbouring (rows, columns), None where not given.
        slope, intercept: Rescale of its stored values; None where not given.
        kind: What tells it from other images of one place: image type, echo.
        labels: Time labels by name, those that come first being the more trustworthy.
        segment: Number of the segment that the frame of a SEG object shows; 0 elsewhere.
        fault: Code of what is wrong with ``spacing`` where 1 mm had to be put in its place.
    """

    instance: Instance
    frame: int
    tile: tuple[int, int] | None
    rows: int
    columns: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    slope: float | None
    intercept: float | None
    kind: tuple[Any, ...]
    labels: dict[str, Any]
    fault: str = ""
    segment: int = 0
