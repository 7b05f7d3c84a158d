"""The Deformable Spatial Registration object, read back by the standard's own words."""

from __future__ import annotations

from datetime import datetime, timezone

import numpy as np
import pydicom
import pytest

from medpipe.errors import CaseFailedError
from medpipe.io.placed import read_image_volume
from medpipe.predictions.dicom_output.deformable_registration import write_deformable_registration
from medpipe.predictions.dicom_output.producer import Producer
from medpipe.predictions.registration_output import RegisteredPair

PRODUCER = Producer("test", "1", datetime(2026, 1, 2, tzinfo=timezone.utc), "ab" * 32)
FIXED, MOVING = "1.2.840.1.1", "1.2.840.1.2"


@pytest.fixture
def series(write_dicom, tmp_path):
    def write(uid: str, number: int = 6, **elements: object) -> str:
        values = {
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
            "SeriesInstanceUID": uid,
            "StudyInstanceUID": "1.2.9",
            "FrameOfReferenceUID": f"{uid}.99",
            "Modality": "CT",
            "ImageOrientationPatient": [0.8, 0.6, 0, -0.6, 0.8, 0],
            "PixelSpacing": [1.5, 2],
            "RescaleSlope": 1,
            "RescaleIntercept": -10,
            **elements,
        }
        pixels = np.random.default_rng(0).integers(0, 500, (number, 10, 12)).astype(np.int16)
        for k in range(number):
            place = {"ImagePositionPatient": [5, -7, 2.5 * k], "SOPInstanceUID": f"{uid}.{k + 1}"}
            write_dicom(f"{uid}/{k}.dcm", pixels[k], **values, **place)
        return str(tmp_path / uid)

    return write


def registered(fixed: str, moving: str) -> RegisteredPair:
    one, two = read_image_volume(fixed), read_image_volume(moving)
    field = np.random.default_rng(1).normal(0, 0.4, (3, 5, 6, 4)).astype(np.float32)
    grid = np.diag([2.0, 2, 3, 1])
    grid[:3, :3] = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) @ grid[:3, :3]
    grid[:3, 3] = -12, 0, 2
    tilt = np.eye(4)
    tilt[:3] = [[0.99, 0.05, 0, 3], [-0.05, 1.01, 0.02, -2], [0, 0, 1, 1]]
    return RegisteredPair(one, two, field, grid, tilt @ grid)


def written(folder, pair, fixed, moving):
    return write_deformable_registration(folder, fixed, moving, *pair.lattice(), pair.between, PRODUCER)


def carried(dataset, point: np.ndarray) -> np.ndarray:
    """PS3.3 C.20.3.1.3: a place of the registered frame, LPS millimetres, to the source's frame."""
    item = dataset.DeformableRegistrationSequence[0]
    pre, post = (
        np.array(sequence[0].FrameOfReferenceTransformationMatrix, float).reshape(4, 4)
        for sequence in (item.PreDeformationMatrixRegistrationSequence, item.PostDeformationMatrixRegistrationSequence)
    )
    grid = item.DeformableRegistrationGridSequence[0]
    x, y, z = grid.GridDimensions
    vectors = np.frombuffer(grid.VectorGridData, "<f4").reshape(z, y, x, 3)
    first, second = np.array(grid.ImageOrientationPatient, float).reshape(2, 3)
    axes = np.stack([first, second, np.cross(first, second)])
    index = axes @ (point - np.array(grid.ImagePositionPatient, float)) / np.array(grid.GridResolution)
    low = np.floor(index).astype(int)
    part = index - low
    vector = np.zeros(3)
    for corner in np.ndindex(2, 2, 2):
        i, j, k = low + corner
        vector += np.prod(np.where(corner, part, 1 - part)) * vectors[k, j, i]
    return (post @ np.append((pre @ np.append(point, 1))[:3] + vector, 1))[:3]


def test_a_reader_of_the_standard_finds_our_partners(series, tmp_path) -> None:
    fixed, moving = series(FIXED), series(MOVING, 7)
    pair = registered(fixed, moving)
    dataset = pydicom.dcmread(written(tmp_path, pair, fixed, moving))
    lps = np.array([-1.0, -1, 1])
    shape = np.array(pair.fixed.array.shape)
    for voxel in np.random.default_rng(2).uniform(0, shape - 1, (20, 3)):
        world = pair.fixed.affine[:3, :3] @ voxel + pair.fixed.affine[:3, 3]
        expected = pair.to_moving(world[None])[0]
        np.testing.assert_allclose(carried(dataset, world * lps) * lps, expected, atol=1e-4)


def test_references_and_frames_are_those_of_the_two_series(series, tmp_path) -> None:
    fixed, moving = series(FIXED), series(MOVING, 7)
    dataset = pydicom.dcmread(written(tmp_path, registered(fixed, moving), fixed, moving))
    assert (dataset.SOPClassUID, dataset.Modality) == ("1.2.840.10008.5.1.4.1.1.66.3", "REG")
    assert (dataset.FrameOfReferenceUID, dataset.StudyInstanceUID) == (f"{FIXED}.99", "1.2.9")
    assert dataset.PatientID == "77"
    (item,) = dataset.DeformableRegistrationSequence
    assert item.SourceFrameOfReferenceUID == f"{MOVING}.99"
    assert [i.ReferencedSOPInstanceUID for i in item.ReferencedImageSequence] == [f"{MOVING}.{k}" for k in range(1, 8)]
    assert [s.SeriesInstanceUID for s in dataset.ReferencedSeriesSequence] == [FIXED, MOVING]
    assert len(dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 6
    assert "StudiesContainingOtherReferencedInstancesSequence" not in dataset


def test_a_moving_image_of_another_study_is_referred_to_by_it(series, tmp_path) -> None:
    fixed, moving = series(FIXED), series(MOVING, 7, StudyInstanceUID="1.2.8")
    dataset = pydicom.dcmread(written(tmp_path, registered(fixed, moving), fixed, moving))
    (study,) = dataset.StudiesContainingOtherReferencedInstancesSequence
    assert (study.StudyInstanceUID, study.ReferencedSeriesSequence[0].SeriesInstanceUID) == ("1.2.8", MOVING)
    assert [s.SeriesInstanceUID for s in dataset.ReferencedSeriesSequence] == [FIXED]


def test_the_same_again_is_the_same_byte_for_byte(series, tmp_path) -> None:
    fixed, moving = series(FIXED), series(MOVING)
    contents = []
    for _ in range(2):
        contents.append(written(tmp_path, registered(fixed, moving), fixed, moving).read_bytes())
    assert contents[0] == contents[1]


def test_without_a_frame_of_reference_there_is_nothing_to_refer_to(series, tmp_path) -> None:
    fixed, moving = series(FIXED), series(MOVING, FrameOfReferenceUID="")
    with pytest.raises(CaseFailedError, match="lacks FrameOfReferenceUID"):
        written(tmp_path, registered(fixed, moving), fixed, moving)
    assert written(tmp_path, registered(fixed, moving), fixed, str(tmp_path / "a.nii.gz")) is None


def test_dciodvfy_like_required_elements_are_filled(series, tmp_path) -> None:
    fixed, moving = series(FIXED), series(MOVING)
    dataset = pydicom.dcmread(written(tmp_path, registered(fixed, moving), fixed, moving))
    for name in (
        "SeriesDate",
        "ContentDate",
        "ContentTime",
        "ContentLabel",
        "InstanceNumber",
        "SeriesNumber",
        "Manufacturer",
    ):
        assert dataset.get(name) not in (None, ""), name
    item = dataset.DeformableRegistrationSequence[0]
    matrix = item.PostDeformationMatrixRegistrationSequence[0]
    assert matrix.FrameOfReferenceTransformationMatrixType == "AFFINE"
    assert all(len(str(value)) <= 16 for value in matrix.FrameOfReferenceTransformationMatrix)
    grid = item.DeformableRegistrationGridSequence[0]
    assert len(grid.VectorGridData) == 12 * np.prod(grid.GridDimensions)
