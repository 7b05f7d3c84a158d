"""Landmark files of every kind, and volumes that ITK reads."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medpipe.errors import InputDataError
from medpipe.evaluation.registration_files import read_image, read_label_map, read_landmarks

AFFINE = np.array([[-2.0, 0, 0, 30], [0, 1.5, 0, -10], [0, 0, 3, 5], [0, 0, 0, 1]])
VOXELS = np.array([[1.0, 2, 3], [4.5, 5, 6.25]])
RAS = VOXELS @ AFFINE[:3, :3].T + AFFINE[:3, 3]


def written(path: Path, head: str, points: np.ndarray, separator: str = ",") -> Path:
    path.write_text(head + "\n".join(separator.join(map(str, point)) for point in points.tolist()) + "\n")
    return path


@pytest.mark.parametrize(
    ("name", "head", "points", "separator"),
    [
        ("a.csv", "", VOXELS, ","),
        ("a.csv", "x,y,z\n", VOXELS, ", "),
        ("a.csv", "x_mm,y_mm,z_mm\n", RAS, ","),
        ("a.txt", "point\n2\n", RAS * [-1, -1, 1], " "),
        ("a.txt", "index\n2\n", VOXELS, " "),
    ],
)
def test_landmarks_come_out_as_indices_whatever_their_file(tmp_path, name, head, points, separator) -> None:
    found = read_landmarks(written(tmp_path / name, head, points, separator), AFFINE, "here")
    np.testing.assert_allclose(found, VOXELS)


def test_a_row_of_minus_one_is_a_missing_landmark(tmp_path) -> None:
    points = np.array([[1.0, 2, 3], [-1, -1, -1]])
    assert np.isnan(read_landmarks(written(tmp_path / "a.csv", "", points), AFFINE, "here")).all(axis=1).tolist() == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "holds no landmark"),
        ("a.csv", "1,2\n", "line 1: expected three numbers, found '1,2'"),
        ("a.csv", "1,2,nan\n", "line 1: expected three numbers"),
        ("a.txt", "1 2 3\n", "no list of elastix"),
        ("a.txt", "point\n3\n1 2 3\n", "no list of elastix"),
    ],
)
def test_what_is_no_landmark_file_is_refused(tmp_path, name, text, message) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputDataError, match=f"here: .*{message}"):
        read_landmarks(tmp_path / name, AFFINE, "here")


def test_a_volume_of_itk_has_the_affine_that_nifti_gives(tmp_path) -> None:
    import SimpleITK as sitk

    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    nib.save(nib.Nifti1Image(array, AFFINE), tmp_path / "a.nii.gz")
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "a.nii.gz")), str(tmp_path / "a.mha"))
    one, two = (read_image(tmp_path / name, "here") for name in ("a.nii.gz", "a.mha"))
    assert np.array_equal(one.array, two.array)
    np.testing.assert_allclose(one.affine, two.affine, atol=1e-5)
    assert one.same_place(two)
    assert one.spacing == pytest.approx((2, 1.5, 3))


def test_labels_stored_as_floats_of_whole_numbers_are_labels(tmp_path) -> None:
    nib.save(nib.Nifti1Image(np.full((3, 3, 3), 7.0, np.float32), AFFINE), tmp_path / "a.nii.gz")
    found = read_label_map(tmp_path / "a.nii.gz", "here")
    assert found.array.dtype == np.uint16
    assert set(found.array.ravel()) == {7}


def test_a_grid_a_tenth_of_a_voxel_away_is_another_one(tmp_path) -> None:
    array = np.zeros((9, 9, 9), np.float32)
    moved = AFFINE.copy()
    moved[0, 3] += 0.2
    for name, affine in (("a", AFFINE), ("b", moved)):
        nib.save(nib.Nifti1Image(array, affine), tmp_path / f"{name}.nii.gz")
    one, two = (read_image(tmp_path / f"{name}.nii.gz", "here") for name in "ab")
    assert not one.same_place(two)
    assert one.same_place(one)
