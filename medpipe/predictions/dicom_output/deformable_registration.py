"""A registration as a DICOM Deformable Spatial Registration object (PS3.3 A.39.2, C.20.3).

The registered frame of reference is the fixed image's, the source's is the moving image's: a place P of the fixed image has
its partner at M_post (M_pre P + d(P)). M_pre is the identity, d the grid's vector at P (interpolated linearly, millimetres
in LPS), M_post the affine map between the two images without deformation. highdicom has no such object, so pydicom makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.errors import CaseFailedError
from medpipe.io.geometry import LPS_TO_RAS
from medpipe.io.quiet import quiet_headers
from medpipe.io.series import index_files
from medpipe.predictions.dicom_output.producer import DISCLAIMER, MAKER, Producer, complete_header, finish, new_uid
from medpipe.predictions.dicom_output.sources import read_sources

__all__ = ["NAME", "write_deformable_registration"]

NAME = "dsr.dcm"
_CLASS = "1.2.840.10008.5.1.4.1.1.66.3"
_IDENTITY = [float(value) for value in np.eye(4).ravel()]
_PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "SpecificCharacterSet")
_STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName")


def write_deformable_registration(
    folder: Path,
    fixed: str,
    moving: str,
    vectors: npt.NDArray[Any],
    grid: npt.NDArray[Any],
    between: npt.NDArray[Any],
    producer: Producer,
) -> Path | None:
    """Write ``NAME`` into ``folder``, an object of the fixed image's study; the same result gives the same bytes.

    Args:
        folder: It exists.
        fixed: Path of the fixed image's series.
        moving: Path of the moving image's series.
        vectors: (x, y, z, 3) RAS+ millimetres, see ``RegisteredPair.lattice``.
        grid: (4, 4) of the vectors, RAS+, axes at right angles and right-handed.
        between: (4, 4) from the fixed image's world to the moving one's, RAS+.
        producer: The run.

    Returns:
        The file; None where one of the images is no DICOM, since nothing can be referred to.

    Raises:
        CaseFailedError: A header lacks what the object must refer to.
    """
    with quiet_headers():
        one, two = _headers(fixed), _headers(moving)
        if not one or not two:
            return None
        for headers in (one, two):
            for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
                if not all(header.get(name) for header in headers):
                    raise CaseFailedError(f"a header lacks {name}; without it a registration has nothing to refer to")
        dataset = _dataset(one, two, producer)
        moved = _item(two, LPS_TO_RAS @ between @ LPS_TO_RAS)
        moved.DeformableRegistrationGridSequence = [_grid(vectors, LPS_TO_RAS @ grid)]
        dataset.DeformableRegistrationSequence = [moved]
        description = f"{producer.name}: not for clinical use"
        return finish(dataset, producer, description, folder, NAME)


def _headers(path: str) -> list[Any]:
    if not any(Path(path).suffix.lower() == suffix for suffix in (".nii", ".gz", ".mha", ".mhd", ".nrrd", ".nhdr")):
        index = index_files(path)
        names = [str(instance.source) for series in index.series for instance in series.instances]
        return [complete_header(header) for header in read_sources(names)]
    return []


def _dataset(fixed: Sequence[Any], moving: Sequence[Any], producer: Producer) -> Any:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    first = fixed[0]
    dataset = Dataset()
    for name in (*_PATIENT, *_STUDY):
        if name in first:
            dataset[name] = first[name]
    dataset.SOPClassUID = _CLASS
    sources = [str(header.SOPInstanceUID) for header in (*fixed, *moving)]
    made = (producer.name, producer.version, producer.weights_sha256, producer.created.isoformat())
    dataset.SOPInstanceUID = new_uid("deformable registration", sources, *made)
    dataset.SeriesInstanceUID = new_uid("deformable registrations", str(first.StudyInstanceUID), *made)
    dataset.Modality = "REG"
    dataset.SeriesNumber, dataset.InstanceNumber = 9100, 1
    dataset.FrameOfReferenceUID = first.FrameOfReferenceUID
    dataset.PositionReferenceIndicator = first.get("PositionReferenceIndicator", "")
    dataset.Manufacturer, dataset.ManufacturerModelName = MAKER, producer.name[:64]
    equipment = producer.equipment()
    dataset.DeviceSerialNumber = equipment["device_serial_number"]
    dataset.SoftwareVersions = equipment["software_versions"]
    dataset.ContentLabel, dataset.ContentDescription = "REGISTRATION", DISCLAIMER
    dataset.ContentCreatorName = MAKER
    _refer(dataset, fixed, moving)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def _refer(dataset: Any, fixed: Sequence[Any], moving: Sequence[Any]) -> None:
    """Common Instance Reference module: both series, by the study that each is of."""
    from pydicom.dataset import Dataset

    inside, outside = [_series(fixed)], _series(moving)
    if moving[0].StudyInstanceUID == fixed[0].StudyInstanceUID:
        if moving[0].SeriesInstanceUID != fixed[0].SeriesInstanceUID:
            inside.append(outside)
    else:
        study = Dataset()
        study.StudyInstanceUID = moving[0].StudyInstanceUID
        study.ReferencedSeriesSequence = [outside]
        dataset.StudiesContainingOtherReferencedInstancesSequence = [study]
    dataset.ReferencedSeriesSequence = inside


def _series(headers: Sequence[Any]) -> Any:
    from pydicom.dataset import Dataset

    series = Dataset()
    series.SeriesInstanceUID = headers[0].SeriesInstanceUID
    series.ReferencedInstanceSequence = _instances(headers)
    return series


def _instances(headers: Sequence[Any]) -> list[Any]:
    from pydicom.dataset import Dataset

    items = []
    for header in headers:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
        items.append(item)
    return items


def _item(source: Sequence[Any], after: npt.NDArray[Any]) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.SourceFrameOfReferenceUID = source[0].FrameOfReferenceUID
    item.ReferencedImageSequence = _instances(source)
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "125024", "DCM"
    code.CodeMeaning = "Image Content-based Alignment"
    item.RegistrationTypeCodeSequence = [code]
    item.PreDeformationMatrixRegistrationSequence = [_matrix(_IDENTITY)]
    item.PostDeformationMatrixRegistrationSequence = [_matrix([float(value) for value in after.ravel()])]
    return item


def _matrix(values: list[float]) -> Any:
    from pydicom.dataset import Dataset

    matrix = Dataset()
    matrix.FrameOfReferenceTransformationMatrixType = "RIGID" if values == _IDENTITY else "AFFINE"
    matrix.FrameOfReferenceTransformationMatrix = [_decimal(value) for value in values]
    return matrix


def _grid(vectors: npt.NDArray[Any], lps: npt.NDArray[Any]) -> Any:
    from pydicom.dataset import Dataset

    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    directions = lps[:3, :3] / spacing
    grid = Dataset()
    grid.ImagePositionPatient = [_decimal(value) for value in lps[:3, 3]]
    grid.ImageOrientationPatient = [_decimal(value) for value in directions[:, :2].T.ravel()]
    grid.GridDimensions = [int(n) for n in vectors.shape[:3]]
    grid.GridResolution = [float(value) for value in spacing]
    # x fastest, the three components together.
    ordered = (vectors * np.diag(LPS_TO_RAS)[:3]).transpose(2, 1, 0, 3)
    grid.VectorGridData = np.ascontiguousarray(ordered, "<f4").tobytes()
    return grid


def _decimal(value: float) -> Any:
    """A decimal string of at most 16 characters, as exact as that allows."""
    from pydicom.valuerep import DSfloat

    return DSfloat(float(value), auto_format=True)
