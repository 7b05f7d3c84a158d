"""Small DICOM series with known voxels at known places, written as a scanner would, then spoilt at will."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
)

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass
class Phantom:
    """A series in memory.

    Attributes:
        voxels: (slices, rows, columns) values after rescale.
        datasets: One for each slice, in spatial order; files are made from them by ``save``.
        affine: (column, row, slice) to RAS+ millimetres.
        names: File names, in the order of ``datasets``.
        extra: Further files by name, as bytes or data sets.
    """

    voxels: np.ndarray
    datasets: list[Dataset]
    affine: np.ndarray
    names: list[str]
    syntax: str = ExplicitVRLittleEndian
    extra: dict[str, Any] = field(default_factory=dict)

    def drop(self, *indices: int) -> None:
        """Take slices away."""
        keep = [k for k in range(len(self.datasets)) if k not in {i % len(self.datasets) for i in indices}]
        self.datasets = [self.datasets[k] for k in keep]
        self.names = [self.names[k] for k in keep]

    def set(self, indices: Sequence[int] | None = None, **elements: Any) -> None:
        """Change elements of some or all slices; None deletes one."""
        for index in range(len(self.datasets)) if indices is None else indices:
            for name, value in elements.items():
                if value is None:
                    if name in self.datasets[index]:
                        delattr(self.datasets[index], name)
                else:
                    setattr(self.datasets[index], name, value)

    def save(self, folder: Path) -> Path:
        """Write all files."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, dataset in [*zip(self.names, self.datasets, strict=True), *self.extra.items()]:
            (folder / name).write_bytes(dataset if isinstance(dataset, bytes) else file_bytes(dataset, self.syntax))
        return folder


def file_bytes(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """A DICOM file in a transfer syntax."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    native = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
    meta.TransferSyntaxUID = syntax if syntax in native else ExplicitVRLittleEndian
    stream = io.BytesIO()
    copy = FileDataset(stream, deepcopy(dataset), file_meta=meta, preamble=b"\0" * 128)
    if syntax == ExplicitVRBigEndian:
        copy.set_original_encoding(False, False)
        size = copy.BitsAllocated // 8
        copy.PixelData = np.frombuffer(copy.PixelData, f"<u{size}").astype(f">u{size}").tobytes()
        copy["PixelData"].VR = "OW" if size > 1 else "OB"
    if syntax not in native:
        copy.compress(syntax, generate_instance_uid=False)
    copy.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def make_phantom(
    *,
    modality: str = "CT",
    slices: int = 8,
    rows: int = 32,
    columns: int = 34,
    orientation: Sequence[float] = AXIAL,
    spacing: tuple[float, float] = (0.7, 0.8),
    step: float = 2.0,
    origin: Sequence[float] = (-31.0, 12.5, 100.0),
    dtype: str = "int16",
    slope: float | None = 1.0,
    intercept: float | None = -1024.0,
    uid: str = "1.2.826.0.1.3680043.8.498.1",
    seed: int = 0,
) -> Phantom:
    """An ordinary series: random voxels without symmetry, even spacing, one rescale."""
    rng = np.random.default_rng(seed)
    stored = rng.integers(0, 200 if dtype == "uint8" else 3000, (slices, rows, columns)).astype(dtype)
    row, column = np.asarray(orientation[:3], dtype=float), np.asarray(orientation[3:], dtype=float)
    normal = np.cross(row, column)
    affine = np.eye(4)
    affine[:3] = np.stack([row * spacing[1], column * spacing[0], normal * step, np.asarray(origin)], axis=1)
    datasets = []
    for k in range(slices):
        dataset = Dataset()
        dataset.SOPClassUID = MRImageStorage if modality == "MR" else CTImageStorage
        dataset.SOPInstanceUID = f"{uid}.1.{k + 1}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{uid}.2", f"{uid}.3"
        dataset.FrameOfReferenceUID = f"{uid}.4"
        dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate = "CANARY-77", "Canary^Name", "19010203"
        dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = modality, 3, k + 1
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.Rows, dataset.Columns = rows, columns
        dataset.PixelSpacing = [str(spacing[0]), str(spacing[1])]
        dataset.ImageOrientationPatient = [f"{v:.12g}" for v in orientation]
        dataset.ImagePositionPatient = [f"{v:.12g}" for v in np.asarray(origin) + normal * step * k]
        dataset.SliceThickness = str(step)
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        bits = stored.dtype.itemsize * 8
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
        dataset.PixelRepresentation = int(stored.dtype.kind == "i")
        if slope is not None:
            dataset.RescaleSlope = str(slope)
        if intercept is not None:
            dataset.RescaleIntercept = str(intercept)
        dataset.PixelData = stored[k].tobytes()
        datasets.append(dataset)
    voxels = stored.astype(float) * (1.0 if slope is None else slope) + (intercept or 0.0)
    # File names do not follow the position, as in any export.
    names = [f"IM{(k * 7 + 3) % 97:04d}_{k}.dcm" for k in range(slices)]
    return Phantom(voxels, datasets, LPS_TO_RAS @ affine, names)


@pytest.fixture
def phantom() -> Callable[..., Phantom]:
    """Function that makes a series in memory: ``phantom(modality="MR", step=3.0)``."""
    return make_phantom


@pytest.fixture
def to_file() -> Callable[..., bytes]:
    """Function that turns a data set into a DICOM file's bytes."""
    return file_bytes
