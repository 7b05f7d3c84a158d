from __future__ import annotations

from itertools import permutations, product

import highdicom as hd
import numpy as np
import pydicom
import pytest

from medpipe.errors import RequestError
from medpipe.predictions.dicom_output import write_dicom_results

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
OBLIQUE = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
OBLIQUE[2] = np.cross(OBLIQUE[0], OBLIQUE[1])


def axis_orders() -> list[np.ndarray]:
    """All 24 right-handed orders and signs of the axes, and an oblique one."""
    matrices = [
        np.eye(3)[list(order)] * np.array(signs)[:, None]
        for order in permutations(range(3))
        for signs in product((1, -1), repeat=3)
    ]
    return [*(m for m in matrices if np.linalg.det(m) > 0), OBLIQUE]


def affine_of(directions: np.ndarray) -> np.ndarray:
    """RAS affine of the generated CT from (column, row, slice)."""
    affine = np.eye(4)
    affine[:3, :3] = directions.T * [0.5, 0.75, 2.5]
    affine[:3, 3] = [-100.5, 20.25, 310.125]
    return LPS_TO_RAS @ affine


def random_mask(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, (8, 6, 5)).astype(np.uint8)


def voxels_in_patient(array: np.ndarray, affine: np.ndarray) -> dict[tuple[float, ...], int]:
    """Label of each place in the patient, rounded to a thousandth of a millimetre."""
    indices = np.argwhere(np.ones(array.shape))
    places = indices @ affine[:3, :3].T + affine[:3, 3]
    return dict(zip(map(tuple, np.round(places, 3) + 0.0), array.ravel().tolist(), strict=True))


@pytest.mark.parametrize("directions", axis_orders(), ids=lambda d: "".join(f"{v:.0f}" for v in d.ravel()))
@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_a_mask_comes_back_exactly_and_at_its_place(write_ct, producer, tmp_path, directions, kind) -> None:
    from medpipe.predictions.dicom_output.segmentation import segmentation

    paths = write_ct(directions, order=[3, 0, 4, 1, 2])
    mask, affine = random_mask(), affine_of(directions)
    made = segmentation(
        [pydicom.dcmread(p) for p in paths], mask, {1: "liver", 2: "spleen"}, producer, affine=affine, kind=kind
    )
    made.save_as(tmp_path / "s.dcm")
    volume = hd.seg.segread(tmp_path / "s.dcm").get_volume(combine_segments=True)
    array, back = volume.array, LPS_TO_RAS @ volume.affine
    steps = np.abs(np.linalg.inv(affine) @ back)
    assert np.abs(steps[:3, :3] - np.rint(steps[:3, :3])).max() < 1e-6
    indices = (
        np.argwhere(np.ones(array.shape)) @ np.linalg.solve(affine, back)[:3, :3].T
        + np.linalg.solve(affine, back)[:3, 3]
    )
    away = np.linalg.norm((indices - np.rint(indices)) @ affine[:3, :3].T, axis=1)
    assert away.max() <= 1e-3
    assert np.array_equal(mask[tuple(np.rint(indices).astype(int).T)], array.ravel())


def test_turned_and_swapped_axes_of_the_mask_are_found_by_their_places(write_ct, producer, tmp_path) -> None:
    paths = [str(path) for path in write_ct(OBLIQUE)]
    mask, affine = random_mask(), affine_of(OBLIQUE)
    write_dicom_results(paths, tmp_path, "seg", producer, mask=mask, segments={1: "a", 2: "b"}, affine=affine)
    expected = (tmp_path / "seg.dcm").read_bytes()
    turned = mask[::-1].transpose(2, 0, 1)
    turn = np.array([[0, -1, 0, 7], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], float)
    write_dicom_results(paths, tmp_path, "seg", producer, mask=turned, segments={1: "a", 2: "b"}, affine=affine @ turn)
    assert (tmp_path / "seg.dcm").read_bytes() == expected


def test_simpleitk_reads_the_segmentation_with_the_geometry_of_its_source(write_ct, producer, tmp_path) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    paths = [str(path) for path in write_ct(OBLIQUE)]
    mask = np.ones((8, 6, 5), np.uint8)
    mask[2:4, 1:3, 1:] = 0
    write_dicom_results(paths, tmp_path, "seg", producer, mask=mask, segments={1: "liver"}, affine=affine_of(OBLIQUE))
    image = sitk.ReadImage(str(tmp_path / "seg.dcm"))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    array = (sitk.GetArrayFromImage(image).transpose(2, 1, 0) > 0).astype(np.uint8)
    ours = voxels_in_patient(mask, affine_of(OBLIQUE))
    theirs = voxels_in_patient(array, LPS_TO_RAS @ affine)
    assert sorted(theirs.values()) == sorted(ours.values())
    for place, label in theirs.items():
        near = min(ours, key=lambda other: sum((a - b) ** 2 for a, b in zip(place, other, strict=True)))
        assert ours[near] == label
        assert np.linalg.norm(np.subtract(near, place)) < 2e-3  # two roundings


def test_empty_masks_and_masks_of_one_slice_are_written(write_ct, producer, tmp_path) -> None:
    paths = [str(path) for path in write_ct(np.eye(3))]
    mask = np.zeros((8, 6, 5), np.uint8)
    write_dicom_results(paths, tmp_path, "seg", producer, mask=mask, segments={1: "liver"}, affine=affine_of(np.eye(3)))
    assert not pydicom.dcmread(tmp_path / "seg.dcm").pixel_array.any()
    mask[3, 2, 4] = 1
    write_dicom_results(paths, tmp_path, "seg", producer, mask=mask, segments={1: "liver"}, affine=affine_of(np.eye(3)))
    written = pydicom.dcmread(tmp_path / "seg.dcm")
    assert written.NumberOfFrames == 1
    assert np.argwhere(written.pixel_array.reshape(6, 8)).tolist() == [[2, 3]]


def test_a_mask_elsewhere_of_another_size_or_with_unnamed_labels_is_refused(write_ct, producer, tmp_path) -> None:
    paths = [str(path) for path in write_ct(np.eye(3))]
    affine = affine_of(np.eye(3))
    shifted = affine.copy()
    shifted[0, 3] += 0.1

    def write(mask: np.ndarray, affine: np.ndarray | None, segments: dict[int, str]) -> None:
        write_dicom_results(paths, tmp_path, "seg", producer, mask=mask, segments=segments, affine=affine)

    names = {1: "a", 2: "b"}
    with pytest.raises(RequestError, match="not on the grid of its source"):
        write(random_mask(), shifted, names)
    with pytest.raises(RequestError, match="does not cover"):
        write(random_mask()[:-1], affine, names)
    with pytest.raises(RequestError, match="label 2, which has no name"):
        write(random_mask(), affine, {1: "a"})
    with pytest.raises(RequestError, match="whole numbers"):
        write(random_mask() / 2, affine, names)
    with pytest.raises(RequestError, match="0 is the background"):
        write(random_mask(), affine, {0: "z", **names})
    with pytest.raises(RequestError, match=r"shape \(8, 6, 5\), its sources \(5, 6, 8\)"):
        write(random_mask(), None, names)
    assert not (tmp_path / "seg.dcm").exists()


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["liver_seg", "spine_seg", "heart_seg"])
def test_masks_of_dcmqi_survive_the_way_to_dicom_and_back(shared_data, producer, tmp_path, name) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    folder = shared_data / "dicom_misc" / "dcmqi_ct_liver_seg" / "data" / "segmentations"
    image = sitk.ReadImage(str(folder / f"{name}.nrrd"))
    mask = (sitk.GetArrayFromImage(image) > 0).astype(np.uint8)
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    sources = [str(path) for path in (folder / "ct-3slice").glob("*.dcm")]
    arguments = {"mask": mask.transpose(2, 1, 0), "segments": {1: "Liver"}, "affine": LPS_TO_RAS @ affine}
    write_dicom_results(sources, tmp_path, "seg", producer, **arguments)
    back = sitk.ReadImage(str(tmp_path / "seg.dcm"))
    resampled = sitk.Resample(back, image, sitk.Transform(), sitk.sitkNearestNeighbor)
    assert np.array_equal(sitk.GetArrayFromImage(resampled) > 0, mask > 0)
    theirs = hd.seg.segread(folder / "liver.dcm")
    if name == "liver_seg":  # the authors' own segmentation object of the same mask
        ours = hd.seg.segread(tmp_path / "seg.dcm").get_volume(combine_segments=True)
        assert np.array_equal(ours.array > 0, theirs.get_volume(combine_segments=True).match_geometry(ours).array > 0)
