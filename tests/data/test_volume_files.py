from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from medpipe.data.volume_files import inside_hdf5, read_points, read_volume_file, read_volume_header, stem_of
from medpipe.errors import InputDataError

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (4, 5, 6)).astype(np.int16)


def oblique() -> np.ndarray:
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) @ np.diag([1.0, 2.0, 3.0])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn, [5, -6, 7]
    return affine


def itk_image(affine: np.ndarray) -> SimpleITK.Image:
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = SimpleITK.GetImageFromArray(VOXELS.T.copy())
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "v.mha", "v.mhd"])
def test_nifti_and_metaimage_of_one_volume_give_the_same_array_and_affine(tmp_path: Path, name: str) -> None:
    SimpleITK.WriteImage(itk_image(oblique()), str(tmp_path / name))
    header = read_volume_header(tmp_path / name)
    array, affine = read_volume_file(tmp_path / name)
    assert (header.shape, header.oriented) == ((4, 5, 6), True)
    np.testing.assert_allclose(header.affine, oblique(), atol=1e-4)
    np.testing.assert_allclose(affine, oblique(), atol=1e-4)
    np.testing.assert_array_equal(array, VOXELS)


@pytest.mark.parametrize("opened", ["v.hdr", "v.img"])
def test_analyze_is_read_from_either_file_and_says_no_orientation(tmp_path: Path, opened: str) -> None:
    nib.save(nib.AnalyzeImage(VOXELS, np.diag([1.0, 2, 3, 1])), tmp_path / "v.img")
    array, _ = read_volume_file(tmp_path / opened)
    np.testing.assert_array_equal(array, VOXELS)
    assert read_volume_header(tmp_path / opened).oriented is False


def test_a_nifti_file_without_any_form_has_no_orientation(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOXELS, None)
    nib.save(image, tmp_path / "v.nii")
    assert read_volume_header(tmp_path / "v.nii").oriented is False


def test_a_fourth_axis_of_one_is_no_axis(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(VOXELS[..., None], np.eye(4)), tmp_path / "v.nii")
    assert read_volume_header(tmp_path / "v.nii").shape == (4, 5, 6)


@pytest.mark.parametrize("place", ["../v.raw", "/etc/passwd", "", ".."])
def test_a_header_that_names_a_voxel_file_elsewhere_is_refused(tmp_path: Path, place: str) -> None:
    SimpleITK.WriteImage(itk_image(np.eye(4)), str(tmp_path / "v.mhd"))
    text = (tmp_path / "v.mhd").read_text().replace("ElementDataFile = v.raw", f"ElementDataFile = {place}")
    (tmp_path / "v.mhd").write_text(text)
    for read in (read_volume_header, read_volume_file):
        with pytest.raises(
            InputDataError, match=r"v\.mhd: its ElementDataFile is .*; expected the name of a file beside"
        ):
            read(tmp_path / "v.mhd")


def test_a_missing_or_short_voxel_file_is_named(tmp_path: Path) -> None:
    SimpleITK.WriteImage(itk_image(np.eye(4)), str(tmp_path / "v.mhd"))
    whole = (tmp_path / "v.raw").read_bytes()
    (tmp_path / "v.raw").write_bytes(whole[:-2])
    with pytest.raises(InputDataError, match=r"v\.mhd: v\.raw has 238 bytes of 240"):
        read_volume_header(tmp_path / "v.mhd")
    (tmp_path / "v.raw").unlink()
    with pytest.raises(InputDataError, match=r"v\.mhd: its voxel file v\.raw is missing"):
        read_volume_header(tmp_path / "v.mhd")


@pytest.mark.parametrize("name", ["v.nii.gz", "v.nii", "v.mha", "v.hdr"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not a volume")
    for read in (read_volume_header, read_volume_file):
        with pytest.raises(InputDataError, match=name.replace(".", r"\.")):
            read(tmp_path / name)
        with pytest.raises(InputDataError, match=r"none\.nii"):
            read(tmp_path / "none.nii")


def test_a_place_in_an_hdf5_file_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["hepaticvessel/1/volume"] = VOXELS
        file["7/point"] = [[1.0, 2, 3], [-1, -1, -1], [0, -1, 4]]
    assert inside_hdf5("x/a.h5#7/point") == (Path("x/a.h5"), "7/point")
    assert inside_hdf5("x/a#b.nii") is None
    array, affine = read_volume_file(f"{tmp_path}/a.h5#hepaticvessel/1/volume")
    np.testing.assert_array_equal(array, VOXELS)
    np.testing.assert_array_equal(affine, np.eye(4))
    with pytest.raises(InputDataError, match=r"a\.h5: holds no data set '8/volume'"):
        read_volume_file(f"{tmp_path}/a.h5#8/volume")
    with pytest.raises(InputDataError, match=r"holds no data set 'hepaticvessel'"):
        read_volume_file(f"{tmp_path}/a.h5#hepaticvessel")
    with pytest.raises(InputDataError, match=r"b\.h5: cannot be read as HDF5"):
        read_volume_file(f"{tmp_path}/b.h5#8/volume")


def test_a_missing_point_is_not_a_number_and_a_negative_coordinate_stays(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["7/point"] = [[1.0, 2, 3], [-1, -1, -1], [0, -1, 4]]
    nan = [np.nan] * 3
    np.testing.assert_array_equal(read_points(f"{tmp_path}/a.h5#7/point"), [[1, 2, 3], nan, [0, -1, 4]])


def test_points_of_a_table_have_no_header(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("1,2.5,3\n-1,-1,-1\n\n")
    np.testing.assert_array_equal(read_points(tmp_path / "p.csv"), [[1, 2.5, 3], [np.nan] * 3])
    for text in ("x,y,z\n1,2,3\n", "1,2\n", "1;2;3\n"):
        (tmp_path / "p.csv").write_text(text)
        with pytest.raises(InputDataError, match=r"p\.csv, row 1: found '.*'; expected x,y,z in voxels, no header"):
            read_points(tmp_path / "p.csv")


@pytest.mark.parametrize(
    ("name", "stem"), [("a.b.nii.gz", "a.b"), ("a.nii", "a"), ("S01.x.hdr", "S01.x"), ("a.img.gz", "a")]
)
def test_a_stem_has_no_suffix_of_any_kind(name: str, stem: str) -> None:
    assert stem_of(Path(name)) == stem
