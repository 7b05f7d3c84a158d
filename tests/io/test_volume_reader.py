from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import LoadImage

from medpipe.errors import CaseFailedError
from medpipe.io.convert import convert
from medpipe.io.volume_reader import VolumeReader, load_volume


def test_dicom_and_nifti_of_one_scan_are_the_same_to_monai(phantom, tmp_path) -> None:
    p = phantom()
    folder = p.save(tmp_path / "in")
    result = convert([folder], tmp_path / "out")
    load = LoadImage(reader=VolumeReader(), image_only=True, dtype=None)
    dicom = load(folder)
    nifti = load(tmp_path / "out/volumes" / f"{result.volumes[0].volume}.nii.gz")
    np.testing.assert_array_equal(dicom.numpy(), p.voxels.T)
    np.testing.assert_array_equal(dicom.numpy(), nifti.numpy())
    np.testing.assert_allclose(dicom.affine, p.affine, atol=1e-6)
    np.testing.assert_allclose(nifti.affine, p.affine, atol=1e-4)


def test_no_other_reader_takes_over_a_refused_series(phantom, tmp_path) -> None:
    p = phantom()
    p.drop(3)
    folder = p.save(tmp_path)
    with pytest.raises(CaseFailedError, match="missing_slices"):
        LoadImage(reader=VolumeReader(), image_only=True)(folder)
    assert (
        LoadImage(reader=VolumeReader("warn"), image_only=True)(folder).meta["findings"]
        == ["missing_slices", "instance_number_gap"][::-1]
    )


def test_a_folder_of_two_volumes_or_of_none_is_refused(phantom, tmp_path) -> None:
    phantom().save(tmp_path / "in/a")
    phantom(uid="1.2.826.0.1.3680043.8.498.9").save(tmp_path / "in/b")
    (tmp_path / "none").mkdir()
    (tmp_path / "none/x.dcm").write_bytes(b"")
    for name, number in (("in", 2), ("none", 0)):
        with pytest.raises(CaseFailedError, match=f"holds {number} volumes; expected one"):
            load_volume(tmp_path / name)


def test_four_dimensions_are_channels(tmp_path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6, 3), np.int16), np.eye(4)), tmp_path / "a.nii.gz")
    assert LoadImage(reader=VolumeReader(), image_only=True, ensure_channel_first=True)(
        tmp_path / "a.nii.gz"
    ).shape == (3, 4, 5, 6)
