from __future__ import annotations

import contextlib
import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.errors import CaseFailedError
from medpipe.io.nifti import read_nifti, write_nifti

OBLIQUE = np.array([[-0.98, 0.1, 0.2, 31.0], [0.1, 1.96, -0.1, -12.0], [-0.2, 0.3, 2.9, 7.5], [0, 0, 0, 1.0]])


def values(shape=(5, 6, 7), dtype="int16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_every_type_comes_back_and_nibabel_reads_the_same(tmp_path, name, dtype) -> None:
    array = values(dtype=dtype)
    write_nifti(tmp_path / name, array, OBLIQUE)
    volume, peer = read_nifti(tmp_path / name), nib.load(tmp_path / name)
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_array_equal(np.asarray(peer.dataobj), array)
    assert volume.array.dtype == peer.get_data_dtype() == np.dtype(dtype)
    np.testing.assert_allclose(volume.affine, OBLIQUE, atol=1e-5)
    np.testing.assert_allclose(peer.affine, OBLIQUE, atol=1e-5)
    assert volume.findings == []


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_order_makes_no_difference(tmp_path, order) -> None:
    array = np.asarray(values((4, 5, 6, 3)), order=order)
    write_nifti(tmp_path / "a.nii.gz", array, np.eye(4), time_step=2.5)
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii.gz").array, array)
    assert nib.load(tmp_path / "a.nii.gz").header.get_zooms()[3] == 2.5


def test_a_perpendicular_affine_has_both_forms_and_a_sheared_one_only_the_sform(tmp_path) -> None:
    turn = nib.eulerangles.euler2mat(0.1, 0.2, 0.3)
    upright = nib.affines.from_matvec(turn @ np.diag([1, 2, 3]), [1, 2, 3])
    sheared = upright @ np.array([[1, 0, 0, 0], [0, 1, 0.3, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    for affine, codes in ((upright, (1, 1)), (sheared, (1, 0))):
        write_nifti(tmp_path / "a.nii", values(), affine)
        header = nib.load(tmp_path / "a.nii").header
        assert (int(header["sform_code"]), int(header["qform_code"])) == codes
        np.testing.assert_allclose(read_nifti(tmp_path / "a.nii").affine, affine, atol=1e-5)
    write_nifti(tmp_path / "a.nii", values(), upright)
    point = sitk.ReadImage(str(tmp_path / "a.nii")).TransformIndexToPhysicalPoint((1, 2, 3))
    np.testing.assert_allclose(upright @ [1, 2, 3, 1], [-point[0], -point[1], point[2], 1], atol=1e-5)


def test_colour_is_kept(tmp_path) -> None:
    array = values((4, 5, 6, 3), "uint8")
    write_nifti(tmp_path / "a.nii.gz", array, np.eye(4), colour=True)
    volume, peer = read_nifti(tmp_path / "a.nii.gz"), np.asarray(nib.load(tmp_path / "a.nii.gz").dataobj)
    assert volume.colour
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_array_equal(np.stack([peer[c] for c in "RGB"], axis=-1), array)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", ">f4"])
def test_both_versions_and_byte_orders_are_read(tmp_path, kind, dtype) -> None:
    array = values(dtype=dtype)
    header = kind.header_class(endianness=dtype[0])
    header.set_data_dtype(dtype)
    nib.save(kind(array, OBLIQUE, header), tmp_path / "a.nii.gz")
    volume = read_nifti(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(volume.affine, OBLIQUE, atol=1e-5)


def test_a_long_axis_is_written_as_nifti_2(tmp_path) -> None:
    array = values((40000, 2, 2), "uint8")
    write_nifti(tmp_path / "a.nii", array, np.eye(4))
    assert isinstance(nib.load(tmp_path / "a.nii"), nib.Nifti2Image)
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii").array, array)
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "a.nii").dataobj), array)


def test_scale_factors_are_applied_as_nibabel_does(tmp_path) -> None:
    image = nib.Nifti1Image(values(), OBLIQUE)
    image.header.set_slope_inter(0.37, -12.5)
    nib.save(image, tmp_path / "a.nii")
    # nibabel rescales on saving; the header's own factors are what counts
    peer = nib.load(tmp_path / "a.nii")
    volume = read_nifti(tmp_path / "a.nii")
    np.testing.assert_allclose(volume.array, peer.get_fdata(), rtol=1e-6)


def test_forms_that_disagree_lack_or_use_other_units_are_findings(tmp_path) -> None:
    image = nib.Nifti1Image(values(), np.eye(4))
    image.set_sform(np.diag([2, 2, 2, 1]), code=1)
    image.set_qform(np.eye(4), code=1)
    nib.save(image, tmp_path / "two.nii")
    volume = read_nifti(tmp_path / "two.nii")
    assert [finding.code for finding in volume.findings] == ["forms_disagree"]
    assert volume.affine[0, 0] == 2
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)
    nib.save(image, tmp_path / "none.nii")
    assert [finding.code for finding in read_nifti(tmp_path / "none.nii").findings] == ["no_orientation"]
    image = nib.Nifti1Image(values(), np.diag([500, 500, 500, 1]))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "micron.nii")
    volume = read_nifti(tmp_path / "micron.nii")
    assert [finding.code for finding in volume.findings] == ["converted_units"]
    np.testing.assert_allclose(volume.affine[:3, :3], np.eye(3) * 0.5)


def test_what_is_no_number_is_counted(tmp_path) -> None:
    array = values(dtype="float32")
    array[0, 0, :2] = np.nan, np.inf
    write_nifti(tmp_path / "a.nii", array, np.eye(4))
    (finding,) = read_nifti(tmp_path / "a.nii").findings
    assert (finding.code, finding.numbers["voxels"]) == ("not_a_number", 2)


def test_a_file_cut_short_names_both_lengths(tmp_path) -> None:
    for name in ("a.nii", "a.nii.gz"):
        write_nifti(tmp_path / name, values((40, 40, 40)), np.eye(4))
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
        with pytest.raises(CaseFailedError, match=r"cut short: 128,000 bytes|damaged"):
            read_nifti(tmp_path / name)


def test_a_bomb_unpacks_no_more_than_its_shape_needs(tmp_path) -> None:
    write_nifti(tmp_path / "a.nii", values(), np.eye(4))
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes() + bytes(50_000_000)))
    np.testing.assert_array_equal(read_nifti(tmp_path / "b.nii.gz").array, values())


@pytest.mark.parametrize("shape", [(32767, 32767, 32767), (30000, 30000, 2)])
def test_a_shape_beyond_the_bytes_takes_no_memory(tmp_path, shape) -> None:
    import tracemalloc

    write_nifti(tmp_path / "a.nii", values(), np.eye(4))
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[42:48] = np.array(shape, "<i2").tobytes()
    (tmp_path / "a.nii").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(CaseFailedError, match="more than|cut short"):
        read_nifti(tmp_path / "a.nii")
    assert tracemalloc.get_traced_memory()[1] < 200 << 20
    tracemalloc.stop()


def test_a_failed_write_leaves_nothing_behind(tmp_path) -> None:
    with pytest.raises(Exception, match="data dtype"):
        write_nifti(tmp_path / "a.nii", np.zeros((2, 2, 2), "datetime64[s]"), np.eye(4))
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path_factory, seed, packed) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = folder / ("fuzz.nii.gz" if packed else "fuzz.nii")
    write_nifti(path, values((6, 5, 4)), OBLIQUE)
    rng = np.random.default_rng(seed)
    content = bytearray(path.read_bytes())
    for _ in range(int(rng.integers(1, 16))):
        content[int(rng.integers(min(len(content), 352)))] = int(rng.integers(256))
    path.write_bytes(content[: len(content) if rng.random() < 0.8 else int(rng.integers(len(content)))])
    with contextlib.suppress(CaseFailedError):
        read_nifti(path)


@pytest.mark.shared_data
def test_real_files_are_read_as_nibabel_reads_them(shared_data: Path) -> None:
    files = [*(shared_data / "ct/totalsegmentator").glob("*.nii.gz"), *(shared_data / "dicom_nifti").rglob("*.nii")]
    files += [p for p in (shared_data / "brain_mri").rglob("*.nii*") if p.name.endswith((".nii", ".nii.gz"))][:40]
    assert len(files) > 20
    for path in files:
        peer = nib.load(path)
        volume = read_nifti(path)
        # Trailing axes of length one are dropped, missing spatial ones added; the voxels are the same in file order.
        expected = np.asarray(peer.dataobj).ravel(order="F")
        np.testing.assert_allclose(volume.array.ravel(order="F"), expected, rtol=1e-6, err_msg=path.name)
        np.testing.assert_allclose(volume.affine, peer.affine, atol=1e-5, err_msg=path.name)


def _with_bytes(path: Path, at: int, layout: str, *values) -> Path:
    """A small whole file with some bytes of its header replaced."""
    image = nib.Nifti1Image(np.arange(512, dtype=np.int16).reshape(8, 8, 8), np.diag([2.0, 2.0, 2.0, 1.0]))
    content = bytearray(image.to_bytes())
    struct.pack_into(layout, content, at, *values)
    path.write_bytes(bytes(content))
    return path


@pytest.mark.parametrize(
    ("at", "layout", "values", "code"),
    [
        (40, "<8h", (3, 8, 8, 4, 1, 1, 1, 1), "surplus_voxels"),
        (80, "<3f", (1.0, 1.0, 1.0), "voxel_size_disagrees"),
    ],
)
def test_a_header_that_contradicts_itself_is_a_finding(tmp_path, at, layout, values, code) -> None:
    volume = read_nifti(_with_bytes(tmp_path / "a.nii", at, layout, *values))
    assert [finding.code for finding in volume.findings] == [code]
    np.testing.assert_array_equal(np.diag(volume.affine), (2, 2, 2, 1))


@pytest.mark.parametrize(
    ("at", "layout", "values", "message"),
    [
        (112, "<2f", (np.inf, 0.0), "infinite"),
        (72, "<h", (8,), "8 bits per voxel, but a data type of 16"),
        (344, "4s", (b"ni1",), "pair"),
        (80, "<f170xh", (0.0, 0), "voxel sizes"),  # without an sform
        (80, "<f170xh", (-2.0, 0), "voxel sizes"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(tmp_path, at, layout, values, message) -> None:
    with pytest.raises(CaseFailedError, match=message):
        read_nifti(_with_bytes(tmp_path / "a.nii", at, layout, *values))


def test_an_offset_of_nothing_means_the_end_of_the_header(tmp_path) -> None:
    volume = read_nifti(_with_bytes(tmp_path / "a.nii", 108, "<f", 0.0))
    np.testing.assert_array_equal(volume.array, np.arange(512).reshape(8, 8, 8))


def test_values_far_from_zero_keep_their_steps(tmp_path) -> None:
    volume = read_nifti(_with_bytes(tmp_path / "a.nii", 112, "<2f", 0.001, 1e6))
    assert len(np.unique(volume.array)) == 512


def test_colour_is_not_scaled_and_has_eight_bits(tmp_path) -> None:
    dtype = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    content = bytearray(nib.Nifti1Image(np.full((2, 3, 4), 7, np.uint8).astype(dtype), np.eye(4)).to_bytes())
    struct.pack_into("<2f", content, 112, 2.0, 1.0)
    (tmp_path / "a.nii").write_bytes(bytes(content))
    assert (read_nifti(tmp_path / "a.nii").array == 7).all()
    with pytest.raises(CaseFailedError, match="8 bits"):
        write_nifti(tmp_path / "b.nii", np.zeros((2, 3, 4, 3), np.uint16), np.eye(4), colour=True)
    assert not (tmp_path / "b.nii").exists()
