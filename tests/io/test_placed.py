"""Volumes for registration: what is refused, what is repaired, and the same volume from every kind of file."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medpipe.errors import CaseFailedError
from medpipe.io.nifti import write_nifti
from medpipe.io.placed import read_image_volume, read_label_volume

AFFINE = np.array([[0.0, -2, 0, 10], [-1.5, 0, 0, 20], [0, 0, 3, -30], [0, 0, 0, 1]])
ARRAY = np.arange(6 * 7 * 8, dtype=np.int16).reshape(6, 7, 8) - 50


def nifti(path, array, affine=AFFINE) -> str:
    nib.save(nib.Nifti1Image(array, affine), path)
    return str(path)


@pytest.mark.parametrize("suffix", [".mha", ".mhd", ".nrrd", ".nhdr", ".nii.gz"])
def test_all_formats_of_itk_give_array_and_place_of_the_nifti_file(tmp_path, suffix) -> None:
    image = sitk.ReadImage(nifti(tmp_path / "a.nii", ARRAY))
    sitk.WriteImage(image, str(tmp_path / f"b{suffix}"))
    volume = read_image_volume(tmp_path / f"b{suffix}")
    np.testing.assert_array_equal(volume.array, ARRAY)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8", ">i2"])
def test_every_type_of_voxel_is_read(tmp_path, dtype) -> None:
    volume = read_image_volume(nifti(tmp_path / "a.nii", np.abs(ARRAY).clip(0, 255).astype(dtype)))
    np.testing.assert_array_equal(volume.array, np.abs(ARRAY).clip(0, 255))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((6, 7, 8, 3), np.int16), r"holds 4 axes \(6, 7, 8, 3\); give one time point"),
        (np.full((6, 7, 8), 7, np.int16), "holds the value 7 everywhere"),
        (np.zeros((6, 7, 8), np.float32), "holds the value 0 everywhere"),
        (np.full((6, 7, 8), np.nan, np.float32), "holds no finite number"),
        (np.where(ARRAY == 0, np.nan, 5).astype(np.float32), "holds the value 5 everywhere"),
        (ARRAY[:, :, :1], r"is of size \(6, 7, 1\); at least 4 voxels"),
    ],
)
def test_what_cannot_be_registered_is_refused_by_name(tmp_path, array, message) -> None:
    with pytest.raises(CaseFailedError, match=message):
        read_image_volume(nifti(tmp_path / "a.nii", array))


@pytest.mark.parametrize("mm", [5e-4, 200.0])
def test_a_spacing_that_cannot_be_meant_is_refused(tmp_path, mm) -> None:
    with pytest.raises(CaseFailedError, match="correct its header"):
        read_image_volume(nifti(tmp_path / "a.nii", ARRAY, np.diag([mm, mm, mm, 1])))


def test_voxels_that_are_no_number_become_background_with_a_finding(tmp_path) -> None:
    array = ARRAY.astype(np.float32)
    array[0, 0, :3] = np.nan, np.inf, -np.inf
    volume = read_image_volume(nifti(tmp_path / "a.nii", array))
    assert volume.array[0, 0, :3].tolist() == [-47.0] * 3
    (finding,) = volume.findings
    assert finding.message.endswith("3 voxels, taken for background (-47)")


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "a.nii.gz", "empty|damaged|ends"),
        (b"x" * 400, "a.nii", "NIfTI"),
        (b"ObjectType = Image\n", "a.mha", "cannot be read by ITK"),
        (b"hello", "a.txt", "holds no volume"),
    ],
)
def test_damaged_files_are_refused(tmp_path, content, name, message) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CaseFailedError, match=message):
        read_image_volume(tmp_path / name)


def test_a_file_cut_short_and_one_that_is_gone_are_refused(tmp_path) -> None:
    path = tmp_path / "a.nii"
    nifti(path, ARRAY)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CaseFailedError, match="cut short"):
        read_image_volume(path)
    with pytest.raises(CaseFailedError, match="does not exist"):
        read_image_volume(tmp_path / "gone.nii")


def test_colour_and_two_dimensions_of_itk_are_refused(tmp_path) -> None:
    sitk.WriteImage(sitk.Image([5, 5, 5], sitk.sitkVectorUInt8, 3), str(tmp_path / "rgb.nrrd"))
    with pytest.raises(CaseFailedError, match="of 3 components; expected a grey volume"):
        read_image_volume(tmp_path / "rgb.nrrd")
    sitk.WriteImage(sitk.Image([5, 5], sitk.sitkUInt8), str(tmp_path / "flat.mha"))
    with pytest.raises(CaseFailedError, match="holds 2 axes"):
        read_image_volume(tmp_path / "flat.mha")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[[0, 0.5]]], np.float32), "fractions"),
        (np.array([[[0, -1]]], np.int16), "values from -1 to 0"),
        (np.array([[[0, 70000]]], np.int32), "values from 0 to 70000"),
        (np.array([[[0, np.nan]]], np.float32), "values from nan to nan"),
        (np.zeros((2, 2, 2, 2), np.uint8), "labels hold 4 axes"),
    ],
)
def test_labels_are_whole_numbers(tmp_path, array, message) -> None:
    with pytest.raises(CaseFailedError, match=message):
        read_label_volume(nifti(tmp_path / "a.nii", array))
    write_nifti(tmp_path / "good.nii", np.array([[[0, 3.0]]], np.float32), np.eye(4))
    labels = read_label_volume(tmp_path / "good.nii")
    assert (labels.array.dtype, labels.array.max()) == (np.uint16, 3)
