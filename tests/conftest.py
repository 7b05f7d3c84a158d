"""What tests of several rooms share."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # a process beside others: torch and its like, imported later, take one core
    os.environ.setdefault("OMP_NUM_THREADS", "1")

CHECKOUT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _logging_as_at_the_start() -> Iterator[None]:
    """A bundle that was run in this process hushed libraries, and its handlers write to a stream that is closed by now."""
    for logger in (logging.root, *map(logging.getLogger, list(logging.root.manager.loggerDict))):
        for handler in list(logger.handlers):
            if getattr(getattr(handler, "stream", None), "closed", False):
                logger.removeHandler(handler)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real public images: beside the checkout, or where MEDPIPE_SHARED_DATA says."""
    folder = Path(os.environ.get("MEDPIPE_SHARED_DATA", CHECKOUT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real images are not at {folder}; set MEDPIPE_SHARED_DATA to run this test")
    return folder


@pytest.fixture
def ramp() -> np.ndarray:
    """A 12-bit image without symmetry: 96 rows, 80 columns, values 0 to 4095, brighter downwards and to the right."""
    rows, columns = np.mgrid[:96, :80]
    values = rows * 3.0 + columns * 1.0
    return np.round(values / values.max() * 4095).astype(np.uint16)


@pytest.fixture
def write_dicom(tmp_path: Path):
    """Function that writes a small DICOM radiograph: ``write_dicom(name, pixels, **elements)`` -> its path.

    ``syntax`` is a transfer syntax UID; an element given as None is left out.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    def write(
        name: str, pixels: np.ndarray | None, *, syntax: str = ExplicitVRLittleEndian, **elements: object
    ) -> Path:
        dataset = Dataset()
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[name])
        dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "CR", "CHEST", "PA"
        dataset.PatientID, dataset.PatientName = "77", "Canary^Name"
        if pixels is not None:
            dataset.Rows, dataset.Columns = pixels.shape[-2:]
            if pixels.ndim == 3:
                dataset.NumberOfFrames = pixels.shape[0]
            dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
            bits = pixels.dtype.itemsize * 8
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
            dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
            dataset.PixelData = pixels.tobytes()
        for key, value in elements.items():
            if value is None:
                delattr(dataset, key)
            else:
                setattr(dataset, key, value)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        if syntax != ExplicitVRLittleEndian:
            dataset.compress(syntax, generate_instance_uid=False)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write
