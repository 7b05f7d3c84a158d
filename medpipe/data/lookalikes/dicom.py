"""Generated radiographs as DICOM files, in the encodings that a reader meets in practice."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from .marker import STATEMENT

__all__ = ["ENCODINGS", "Encoding", "Header", "write_radiograph", "write_report"]

JPEG_QUALITY = 90


@dataclass(frozen=True)
class Encoding:
    """How pixels are stored."""

    syntax: UID
    bits: int  # stored per pixel
    inverted: bool = False  # MONOCHROME1: low values are bright
    windowed: bool = False  # a rescale, and a window that spans the picture's grey values


ENCODINGS: dict[str, Encoding] = {
    "jpeg": Encoding(JPEGBaseline8Bit, 8),
    "raw_12_bit": Encoding(ExplicitVRLittleEndian, 12),
    "implicit_16_bit": Encoding(ImplicitVRLittleEndian, 16),
    "rle_12_bit": Encoding(RLELossless, 12),
    "jpeg_ls_12_bit": Encoding(JPEGLSLossless, 12),
    "jpeg_2000_16_bit": Encoding(JPEG2000Lossless, 16),
    "monochrome1_12_bit": Encoding(ExplicitVRLittleEndian, 12, inverted=True),
    "windowed_12_bit": Encoding(ExplicitVRLittleEndian, 12, windowed=True),
}


@dataclass(frozen=True)
class Header:
    """What a header says about patient, study and acquisition."""

    patient_id: str
    sex: str
    age: int  # years
    view: str  # PA, AP or LL
    modality: str  # CR or DX
    study_date: str  # YYYYMMDD
    spacing: float  # millimetres between pixel centres
    study_uid: str
    series_uid: str
    instance_uid: str


def write_radiograph(path: Path, image: NDArray[np.float32], header: Header, encoding: Encoding) -> None:
    """Write ``image`` (0 to 1, 1 = bright) as one DICOM file; equal arguments give equal bytes.

    JPEG files are secondary captures with the bare number as age, as SIIM-ACR distributes them; the others
    are CR or DX images with a DICOM age string.
    """
    as_distributed = encoding.syntax == JPEGBaseline8Bit
    dataset = _dataset(header, _image_class(header, as_distributed))
    age = str(header.age) if as_distributed else f"{header.age:03d}Y"
    dataset.add(DataElement("PatientAge", "AS", age, validation_mode=config.IGNORE))
    dataset.ViewPosition = header.view
    dataset.BodyPartExamined = "CHEST"
    dataset.PixelSpacing = [header.spacing, header.spacing]
    dataset.BurnedInAnnotation = "NO"
    if as_distributed:
        dataset.ConversionType = "WSD"
    elif header.modality == "DX":
        dataset.PresentationIntentType = "FOR PRESENTATION"
        dataset.PresentationLUTShape = "INVERSE" if encoding.inverted else "IDENTITY"
    _add_pixels(dataset, image, encoding)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def write_report(path: Path, header: Header) -> None:
    """Write a structured report of a few words: a DICOM file without pixel data."""
    dataset = _dataset(header, BasicTextSRStorage)
    dataset.Modality = "SR"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.CompletionFlag, dataset.VerificationFlag = "PARTIAL", "UNVERIFIED"
    dataset.ValueType, dataset.ContinuityOfContent = "CONTAINER", "SEPARATE"
    text = Dataset()
    text.RelationshipType, text.ValueType = "CONTAINS", "TEXT"
    text.TextValue = STATEMENT
    dataset.ContentSequence = [text]
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def _image_class(header: Header, as_distributed: bool) -> UID:
    if as_distributed:
        return SecondaryCaptureImageStorage
    return ComputedRadiographyImageStorage if header.modality == "CR" else DigitalXRayImageStorageForPresentation


def _dataset(header: Header, sop_class: UID) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, UID(header.instance_uid)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = UID(header.study_uid), UID(header.series_uid)
    dataset.StudyDate, dataset.StudyTime = header.study_date, "120000"
    dataset.AccessionNumber = dataset.StudyID = dataset.ReferringPhysicianName = dataset.PatientBirthDate = ""
    dataset.Modality = header.modality
    dataset.Manufacturer = "medpipe"
    dataset.PatientName = dataset.PatientID = header.patient_id
    dataset.PatientSex = header.sex
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.SeriesDescription = f"view: {header.view} (generated image)"
    dataset.ImageComments = STATEMENT
    return dataset


def _add_pixels(dataset: Dataset, image: NDArray[np.float32], encoding: Encoding) -> None:
    stored = _stored_values(dataset, image, encoding)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if encoding.inverted else "MONOCHROME2"
    dataset.Rows, dataset.Columns = image.shape
    dataset.BitsAllocated = 8 if encoding.bits == 8 else 16
    dataset.BitsStored, dataset.HighBit = encoding.bits, encoding.bits - 1
    dataset.PixelRepresentation = 0
    if encoding.syntax == JPEGBaseline8Bit:
        _add_jpeg(dataset, stored)
        return
    native = encoding.syntax if not encoding.syntax.is_compressed else ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = native
    dataset.add(DataElement("PixelData", "OW", stored.astype("<u2").tobytes()))
    if encoding.syntax.is_compressed:
        dataset.compress(encoding.syntax, generate_instance_uid=False)


def _stored_values(dataset: Dataset, image: NDArray[np.float32], encoding: Encoding) -> NDArray[np.uint16]:
    """Whole numbers to store; with a window, the header says how to show them."""
    top = 2**encoding.bits - 1
    if not encoding.windowed:
        stored = np.round(image * top)
        return (top - stored if encoding.inverted else stored).astype(np.uint16)
    low, high, slope, intercept = 500, 2500, 2, -1000
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = slope, intercept, "US"
    # A window of width w shows w - 1 steps from black to white around centre - 0.5 (PS3.3 C.11.2.1.2).
    dataset.WindowWidth = slope * (high - low) + 1
    dataset.WindowCenter = slope * (low + high) / 2 + intercept + 0.5
    return np.round(low + image * (high - low)).astype(np.uint16)


def _add_jpeg(dataset: Dataset, stored: NDArray[np.uint16]) -> None:
    buffer = io.BytesIO()
    Image.fromarray(stored.astype(np.uint8)).save(buffer, "JPEG", quality=JPEG_QUALITY)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.LossyImageCompression, dataset.LossyImageCompressionMethod = "01", "ISO_10918_1"
    dataset.LossyImageCompressionRatio = round(stored.size / buffer.tell(), 2)
    dataset.add(DataElement("PixelData", "OB", encapsulate([buffer.getvalue()]), is_undefined_length=True))
