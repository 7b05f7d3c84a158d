from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medpipe.errors import CaseFailedError
from medpipe.io.segmentation_objects import read_segmentation, referenced_series
from medpipe.io.series import index_files
from medpipe.io.sources import Source


def inside(polygon: np.ndarray, x: float, y: float) -> bool:
    """Even-odd rule, point by point: the slow oracle."""
    found = False
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if (y0 <= y) != (y1 <= y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
            found = not found
    return found


def structures(p, contours: dict[int, list[np.ndarray]], kind: str = "CLOSED_PLANAR") -> Dataset:
    """A structure set whose contours are given as (n, 3) LPS points."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = (
        "1.2.840.10008.5.1.4.1.1.481.3",
        "1.2.9.9",
        "RTSTRUCT",
    )
    dataset.PatientID, dataset.PatientName = "CANARY-77", "Canary^Name"
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = p.datasets[0].SeriesInstanceUID
    study.RTReferencedSeriesSequence = Sequence([series])
    frame.RTReferencedStudySequence = Sequence([study])
    dataset.ReferencedFrameOfReferenceSequence = Sequence([frame])
    names, rois = [], []
    for number, polygons in contours.items():
        name, roi = Dataset(), Dataset()
        name.ROINumber, name.ROIName = number, f"structure {number}"
        roi.ReferencedROINumber = number
        items = []
        for polygon in polygons:
            item = Dataset()
            item.ContourGeometricType, item.NumberOfContourPoints = kind, len(polygon)
            item.ContourData = [f"{v:.8g}" for v in polygon.ravel()]
            items.append(item)
        roi.ContourSequence = Sequence(items)
        names.append(name)
        rois.append(roi)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = Sequence(names), Sequence(rois)
    return dataset


def in_patient(p, points: np.ndarray, level: int) -> np.ndarray:
    """(column, row) points of a slice to LPS millimetres."""
    index = np.column_stack([points, np.full(len(points), level), np.ones(len(points))])
    return (index @ p.affine.T)[:, :3] * [-1, -1, 1]


def read(p, dataset: Dataset, to_file, folder: Path):
    p.extra["structures.dcm"] = dataset
    p.save(folder)
    (stack,) = index_files(folder).series[0].stacks()
    return read_segmentation(Source(folder / "structures.dcm"), stack)


STAR = np.array([(5.2, 4.1), (28.7, 6.3), (12.4, 12.2), (20.9, 27.5), (9.6, 19.8), (3.3, 25.1)])
OBLIQUE = (0.99808053354361, 0.01024095353456, 0.06107676671215, 0.0, 0.98623243279598, -0.1653650159536)


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (0, -1, 0, 0, 0, 1), OBLIQUE])
def test_a_contour_fills_the_voxels_whose_centre_is_inside(phantom, to_file, tmp_path, orientation) -> None:
    p = phantom(orientation=orientation)
    found = read(p, structures(p, {3: [in_patient(p, STAR, 5)]}), to_file, tmp_path)
    expected = np.zeros((34, 32, 8), int)
    for x in range(34):
        for y in range(32):
            expected[x, y, 5] = 3 * inside(STAR, x, y)
    assert expected.sum() > 300
    np.testing.assert_array_equal(found.array, expected)
    np.testing.assert_allclose(found.affine, p.affine, atol=1e-6)


def test_a_contour_within_another_is_a_hole(phantom, to_file, tmp_path) -> None:
    p = phantom()
    outer = np.array([(2.5, 2.5), (20.5, 2.5), (20.5, 20.5), (2.5, 20.5)])
    inner = np.array([(8.5, 8.5), (12.5, 8.5), (12.5, 12.5), (8.5, 12.5)])
    polygons = [in_patient(p, outer, 0), in_patient(p, inner, 0)]
    found = read(p, structures(p, {1: polygons}), to_file, tmp_path)
    assert found.segments[0].voxels == 18 * 18 - 4 * 4
    assert found.array[10, 10, 0] == 0


def test_overlapping_structures_keep_a_mask_each(phantom, to_file, tmp_path) -> None:
    p = phantom()
    square = np.array([(2.5, 2.5), (6.5, 2.5), (6.5, 6.5), (2.5, 6.5)])
    dataset = structures(p, {1: [in_patient(p, square, 2)], 7: [in_patient(p, square + 2, 2)], 9: []})
    found = read(p, dataset, to_file, tmp_path)
    assert found.array.shape == (34, 32, 8, 3)
    assert [(s.number, s.voxels) for s in found.segments] == [(1, 16), (7, 16), (9, 0)]
    assert [finding.code for finding in found.findings] == ["empty_structure"]
    assert (found.array[..., 0] & found.array[..., 1]).sum() == 4


def test_an_open_contour_is_left_out_by_name(phantom, to_file, tmp_path) -> None:
    p = phantom()
    dataset = structures(p, {1: [in_patient(p, STAR, 2)]}, kind="OPEN_PLANAR")
    codes = [finding.code for finding in read(p, dataset, to_file, tmp_path).findings]
    assert codes == ["open_contour", "empty_structure"]


@pytest.mark.parametrize("level", [2.4, 8, -1])
def test_a_contour_beside_the_slices_is_refused(phantom, to_file, tmp_path, level) -> None:
    p = phantom()
    with pytest.raises(CaseFailedError, match="segmentation_off_grid"):
        read(p, structures(p, {1: [in_patient(p, STAR, level)]}), to_file, tmp_path)


def highdicom_segmentation(p, folder: Path, masks: np.ndarray, kind: str) -> Path:
    """A SEG object made by highdicom; ``masks`` is (slices, rows, columns[, segments])."""
    import highdicom as hd
    import pydicom
    from pydicom.sr.codedict import codes

    sources = [pydicom.dcmread(folder / name) for name in p.names]
    for source in sources:
        source.PatientSex, source.PatientBirthDate, source.StudyDate, source.StudyTime = "O", "", "", ""
        source.AccessionNumber = source.StudyID = source.ReferringPhysicianName = ""
    count = masks.shape[3] if masks.ndim == 4 else 1
    segments = [
        hd.seg.SegmentDescription(
            segment_number=n + 1,
            segment_label=f"segment {n + 1}",
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Liver,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for n in range(count)
    ]
    seg = hd.seg.Segmentation(
        sources, masks, kind, segments, "1.2.3.77", 1, "1.2.3.78", 1, "maker", "model", "1", "0", omit_empty_frames=True
    )
    path = folder / "seg.dcm"
    seg.save_as(path)
    return path


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (0, -1, 0, 0, 0, 1), OBLIQUE])
def test_a_seg_object_of_highdicom_comes_back_voxel_for_voxel(phantom, tmp_path, kind, orientation) -> None:
    p = phantom(orientation=orientation)
    p.save(tmp_path)
    rng = np.random.default_rng(3)
    masks = (rng.random((8, 32, 34, 2)) > 0.9).astype(np.uint8)
    masks[..., 1] &= 1 - masks[..., 0]  # a label map cannot say an overlap
    masks[2] = 0
    if kind == "FRACTIONAL":
        masks = masks * np.float32(0.5)
    path = highdicom_segmentation(p, tmp_path, masks, kind)
    index = index_files(tmp_path)
    assert [entry.label for entry in index.annotations] == ["seg.dcm"]
    assert index.series[0].series_uid in referenced_series(Source(path))
    found = read_segmentation(Source(path), index.series[0].stacks()[0])
    if kind == "FRACTIONAL":
        np.testing.assert_allclose(found.array, masks.transpose(2, 1, 0, 3), atol=1 / 255)
    else:
        np.testing.assert_array_equal(found.array, (masks[..., 0] + 2 * masks[..., 1]).transpose(2, 1, 0))
    assert [segment.type for segment in found.segments] == ["Liver", "Liver"]


def test_a_seg_object_of_another_grid_is_refused(phantom, tmp_path) -> None:
    p, other = phantom(), phantom(origin=(-31.3, 12.5, 100.0))
    p.save(tmp_path / "a")
    other.save(tmp_path / "b")
    path = highdicom_segmentation(p, tmp_path / "a", np.ones((8, 32, 34), np.uint8), "BINARY")
    (stack,) = index_files(tmp_path / "b").series[0].stacks()
    with pytest.raises(CaseFailedError, match=r"segmentation_off_grid: a frame misses it by 0\.375 voxels"):
        read_segmentation(Source(path), stack)


@pytest.mark.shared_data
def test_real_structure_sets_are_read_or_refused_by_name(shared_data: Path) -> None:
    folder = shared_data / "dicom_misc/rtstruct_rt_utils/tests/mock_data"
    (stack,) = index_files(folder).series[0].stacks()
    found = read_segmentation(Source(folder / "rt.dcm"), stack)
    assert [segment.label for segment in found.segments] == ["ROI-1"]
    assert found.segments[0].voxels > 0
    with pytest.raises(CaseFailedError, match="a contour lies at slice 2, the series has slices 0 to 1"):
        read_segmentation(Source(folder / "invalid_reference_rt.dcm"), stack)
