from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from medpipe.predictions.dicom_output import Producer

PATIENT = {"PatientName": "Vogelsang^Anna", "PatientID": "ZQ-77", "PatientBirthDate": "19600312", "PatientSex": "F"}


@pytest.fixture
def producer() -> Producer:
    return Producer("cxr_pneumothorax_acm", "0.1.0", datetime(2026, 1, 2, 3, 4, 5), "ab" * 32)


def save(dataset: Dataset, path: Path) -> Path:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def image(number: int, pixels: np.ndarray, **elements: object) -> Dataset:
    dataset = Dataset()
    for name, value in PATIENT.items():
        setattr(dataset, name, value)
    dataset.SOPInstanceUID = f"1.2.999.4.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.999.1", "1.2.999.2"
    dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = "20240501", "101112", "ACC9"
    dataset.ReferringPhysicianName, dataset.StudyID, dataset.InstanceNumber = "", "", number
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelData = pixels.astype("<u2").tobytes()
    for name, value in elements.items():
        setattr(dataset, name, value)
    return dataset


@pytest.fixture
def radiograph(tmp_path: Path) -> Path:
    """A 60 x 90 chest radiograph (DX)."""
    pixels = np.arange(60 * 90).reshape(60, 90)
    elements = {"Modality": "DX", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1", "PatientOrientation": ["L", "F"]}
    return save(image(1, pixels, ImagerPixelSpacing=[0.2, 0.3], **elements), tmp_path / "in" / "dx.dcm")


@pytest.fixture
def write_ct(tmp_path: Path) -> Callable[..., list[Path]]:
    """Function that writes a CT of 5 slices of 6 x 8 pixels; ``directions`` is (3, 3): along columns, rows and slices."""

    def write(directions: np.ndarray, *, order: list[int] | None = None) -> list[Path]:
        paths = []
        for number in order or range(5):
            position = np.array([-100.5, 20.25, 310.125]) + number * 2.5 * directions[2]
            elements = {
                "SOPClassUID": CTImageStorage,
                "Modality": "CT",
                "FrameOfReferenceUID": "1.2.999.3",
                "ImageOrientationPatient": [f"{v:.12g}" for v in directions[:2].ravel()],
                "ImagePositionPatient": [f"{v:.12g}" for v in position],
                "PixelSpacing": [0.75, 0.5],
                "SliceThickness": "2.5",
                "PositionReferenceIndicator": "",
            }
            dataset = image(10 + number, np.full((6, 8), number), **elements)
            paths.append(save(dataset, tmp_path / "ct" / f"{len(paths)}.dcm"))
        return paths

    return write
