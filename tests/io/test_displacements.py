"""Displacement fields in other conventions: SimpleITK as the oracle, on grids of every kind."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates, zoom

from medpipe.errors import InputDataError
from medpipe.io.displacements import (
    field_from_grid_sample,
    field_from_learn2reg_npz,
    field_from_lps,
    field_from_sitk,
    field_on_grid,
    field_to_grid_sample,
    field_to_learn2reg_npz,
    field_to_lps,
    field_to_sitk,
    read_field,
    write_disp,
    write_warp,
)

SHAPE = (20, 24, 18)


def rotation(degrees: float, axis: tuple[float, float, float]) -> np.ndarray:
    transform = sitk.VersorRigid3DTransform()
    transform.SetRotation(axis, np.radians(degrees))
    return np.array(transform.GetMatrix()).reshape(3, 3)


def affine(matrix: np.ndarray, origin: tuple[float, float, float] = (-31.5, 42.0, 7.25)) -> np.ndarray:
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = matrix, origin
    return result


AFFINES = {
    "identity": np.eye(4),
    "flipped": affine(np.diag([-1.0, -1.0, 1.0])),
    "permuted": affine(np.array([[0, 0, 1.5], [-1.2, 0, 0], [0, 0.9, 0]])),
    "anisotropic": affine(np.diag([0.7, 0.9, 3.0])),
    "oblique": affine(rotation(10, (1, 2, 3)) @ np.diag([1.0, 0.8, 2.0])),
    "left-handed oblique": affine(rotation(10, (3, -1, 1)) @ np.diag([-1.1, 1.0, 1.3])),
}
every_affine = pytest.mark.parametrize("kind", AFFINES)


def waves(channels: int, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    waves = rng.normal(0, 2, (channels, 4, 3)), rng.uniform(0, 6.3, (channels, 4, 1, 1, 1))
    return np.sin(np.einsum("cwa,axyz->cwxyz", waves[0], places) + waves[1]).mean(axis=1).astype(np.float32)


def field(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    return 3 * waves(3, shape, seed)


def points(shape: tuple[int, ...] = SHAPE, count: int = 50) -> np.ndarray:
    """Whole voxels, where a displacement field is not interpolated."""
    return np.random.default_rng(3).integers(0, shape, (count, 3))


def to_lps(affine: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    return (voxels @ affine[:3, :3].T + affine[:3, 3]) * [-1, -1, 1]


def itk_image(array: np.ndarray, affine: np.ndarray) -> sitk.Image:
    """By nibabel and ITK's own reading of NIfTI's matrix, not by the code under test."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    matrix = np.diag([-1, -1, 1]) @ affine[:3, :3]
    spacing = np.sqrt((matrix**2).sum(axis=0))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((matrix / spacing).ravel().tolist())
    image.SetOrigin((affine[:3, 3] * [-1, -1, 1]).tolist())
    return image


def our_warp(moving: np.ndarray, field: np.ndarray) -> np.ndarray:
    return map_coordinates(moving, np.indices(field.shape[1:]) + field, order=1, mode="nearest")


@every_affine
@pytest.mark.parametrize("moving_kind", ["same", "oblique", "permuted"])
def test_itk_moves_points_as_we_do(kind: str, moving_kind: str) -> None:
    fixed, u = AFFINES[kind], field()
    moving = fixed if moving_kind == "same" else AFFINES[moving_kind]
    transform = sitk.DisplacementFieldTransform(field_to_sitk(u, fixed, moving))
    for voxel in points():
        partner = voxel + u[(slice(None), *voxel)].astype(float)
        found = transform.TransformPoint(to_lps(fixed, voxel).tolist())
        assert np.abs(np.array(found) - to_lps(moving, partner)).max() < 1e-4


@every_affine
@pytest.mark.parametrize("moving_kind", ["same", "oblique"])
def test_itk_warps_the_image_as_we_do(kind: str, moving_kind: str) -> None:
    fixed, u = AFFINES[kind], field()
    moving_shape = SHAPE if moving_kind == "same" else (22, 26, 30)
    moving = fixed if moving_kind == "same" else AFFINES[moving_kind]
    image = waves(1, moving_shape, 8)[0]
    transform = sitk.DisplacementFieldTransform(field_to_sitk(u, fixed, moving))
    reference = itk_image(np.zeros(SHAPE, np.float32), fixed)
    warped = sitk.Resample(itk_image(image, moving), reference, transform, sitk.sitkLinear, np.nan)
    warped = sitk.GetArrayFromImage(warped).T
    inside = np.isfinite(warped)
    assert inside.mean() > 0.5
    assert np.abs(warped - our_warp(image, u))[inside].max() < 1e-3 * np.ptp(image)


@every_affine
def test_a_written_warp_file_warps_in_itk_as_we_do(kind: str, tmp_path: Path) -> None:
    fixed, u, image = AFFINES[kind], field(), waves(1, SHAPE, 8)[0]
    write_warp(tmp_path / "a_Warp.nii.gz", u, fixed)
    header = nib.load(tmp_path / "a_Warp.nii.gz").header
    assert header.get_data_shape() == (*SHAPE, 1, 3)
    assert header["intent_code"] == 1007
    vectors = sitk.Cast(sitk.ReadImage(str(tmp_path / "a_Warp.nii.gz")), sitk.sitkVectorFloat64)
    transform = sitk.DisplacementFieldTransform(vectors)
    reference = itk_image(image, fixed)
    warped = sitk.GetArrayFromImage(sitk.Resample(reference, reference, transform, sitk.sitkLinear, np.nan)).T
    inside = np.isfinite(warped)
    assert np.abs(warped - our_warp(image, u))[inside].max() < 1e-3 * np.ptp(image)


@given(st.integers(0, 2**31 - 1), st.tuples(*[st.integers(1, 6)] * 3))
@settings(max_examples=40, deadline=None)
def test_millimetres_and_back_is_the_field_again(seed: int, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    u = rng.normal(0, 10, (3, *shape)).astype(np.float32)
    fixed, moving = (
        affine(
            rotation(rng.uniform(0, 180), (1, 0.2, 0.5)) @ np.diag(rng.uniform(0.3, 4, 3)), tuple(rng.normal(0, 90, 3))
        )
        for _ in range(2)
    )
    assert np.allclose(field_from_lps(field_to_lps(u, fixed, moving), fixed, moving), u, atol=1e-4)
    assert np.allclose(field_from_sitk(field_to_sitk(u, fixed, moving), fixed, shape, moving), u, atol=1e-3)


def test_a_field_between_equal_grids_is_turned_and_scaled_alone() -> None:
    u = field()
    expected = np.einsum("ij,jxyz->xyzi", np.diag([-1, -1, 1]) @ AFFINES["oblique"][:3, :3], u)
    assert np.allclose(field_to_lps(u, AFFINES["oblique"]), expected, atol=1e-5)


def test_a_sitk_transform_of_any_kind_becomes_a_field() -> None:
    fixed, moving = AFFINES["oblique"], AFFINES["anisotropic"]
    transform = sitk.AffineTransform(3)
    transform.Rotate(0, 1, 0.1)
    transform.SetTranslation((1, 2, 3))
    u = field_from_sitk(transform, fixed, SHAPE, moving)
    for voxel in points():
        partner = voxel + u[(slice(None), *voxel)]
        expected = transform.TransformPoint(to_lps(fixed, voxel).tolist())
        assert np.abs(to_lps(moving, partner) - expected).max() < 1e-3


# Files.


@every_affine
@pytest.mark.parametrize("name", ["x_Warp.nii.gz", "x_disp.nii.gz", "x.h5", "x.tfm", "x.mha", "x.nrrd", "sitk.nii.gz"])
def test_a_file_gives_the_field_back(kind: str, name: str, tmp_path: Path) -> None:
    fixed, moving, u = AFFINES[kind], AFFINES["permuted"], field()
    path = tmp_path / name
    if name.endswith("Warp.nii.gz"):
        write_warp(path, u, fixed, moving)
    elif name.endswith("disp.nii.gz"):
        write_disp(path, u, fixed)
    elif name.endswith((".h5", ".tfm")):
        sitk.WriteTransform(sitk.DisplacementFieldTransform(field_to_sitk(u, fixed, moving)), str(path))
    else:
        sitk.WriteImage(field_to_sitk(u, fixed, moving), str(path))
    assert np.allclose(read_field(path, fixed, SHAPE, moving), u, atol=1e-3)


def test_learn2regs_own_reading_of_a_disp_file_is_the_field(tmp_path: Path) -> None:
    u, image = field(), waves(1)[0]
    write_disp(tmp_path / "disp_0001_0002.nii.gz", u, AFFINES["flipped"])
    theirs = np.moveaxis(nib.load(tmp_path / "disp_0001_0002.nii.gz").get_fdata(), -1, 0)
    identity = np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij")
    warped = map_coordinates(image, identity + theirs, order=1, mode="nearest")
    assert np.allclose(warped, our_warp(image, u), atol=1e-5)


def test_written_files_are_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_warp(tmp_path / name, field(), AFFINES["oblique"])
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_a_voxelmorph_file_has_its_components_first(tmp_path: Path) -> None:
    u = field()
    nib.save(nib.Nifti1Image(u, np.eye(4)), tmp_path / "warp.nii.gz")
    assert np.array_equal(read_field(tmp_path / "warp.nii.gz", AFFINES["oblique"], SHAPE), u)


def test_intent_1006_is_ras_millimetres_as_in_itk(tmp_path: Path) -> None:
    u, fixed = field(), AFFINES["oblique"]
    image = nib.Nifti1Image((field_to_lps(u, fixed) * [-1, -1, 1])[:, :, :, None].astype(np.float32), fixed)
    image.header.set_intent(1006)
    nib.save(image, tmp_path / "ras.nii.gz")
    assert np.allclose(read_field(tmp_path / "ras.nii.gz", fixed, SHAPE), u, atol=1e-4)


def test_a_warp_on_another_grid_is_sampled_at_the_fixed_voxels(tmp_path: Path) -> None:
    large, small = (40, 48, 36), AFFINES["oblique"]
    fine = small @ np.diag([0.5, 0.5, 0.5, 1])
    write_warp(tmp_path / "fine_Warp.nii.gz", field(large), fine)
    sitk.WriteImage(field_to_sitk(field(large), fine), str(tmp_path / "fine.mha"))
    ours = read_field(tmp_path / "fine_Warp.nii.gz", small, SHAPE)
    assert np.allclose(ours, read_field(tmp_path / "fine.mha", small, SHAPE), atol=1e-3)
    # Every second voxel of the fine grid is one of the coarse grid, half as large.
    assert np.allclose(ours, field(large)[:, ::2, ::2, ::2] / 2, atol=1e-3)


def test_foreign_conventions_are_refused_by_name(tmp_path: Path) -> None:
    u = np.moveaxis(field(), 0, -1)
    fsl = nib.Nifti1Image(u, np.eye(4))
    fsl.header.set_intent(2006, allow_unknown=True)
    nib.save(fsl, tmp_path / "fnirt.nii.gz")
    spm = nib.Nifti1Image(u[:, :, :, None], np.eye(4))
    spm.header.set_intent(1007, name="Mapping")
    nib.save(spm, tmp_path / "deformation.nii")
    nib.save(nib.Nifti1Image(u[:, :, :, None], np.eye(4)), tmp_path / "y_t1.nii")
    for name, message in [("fnirt.nii.gz", "FSL warp"), ("deformation.nii", "SPM"), ("y_t1.nii", "SPM")]:
        with pytest.raises(InputDataError, match=message):
            read_field(tmp_path / name, np.eye(4), SHAPE)


def test_files_that_are_no_fields_are_refused(tmp_path: Path) -> None:
    def saved(name: str, array: np.ndarray, intent: int = 0) -> Path:
        image = nib.Nifti1Image(array.astype(np.float32), np.eye(4))
        image.header.set_intent(intent, allow_unknown=True)
        nib.save(image, tmp_path / name)
        return tmp_path / name

    (tmp_path / "broken.h5").write_bytes(b"no transform")
    (tmp_path / "broken.npz").write_bytes(b"no array")
    np.savez(tmp_path / "two.npz", a=np.zeros(3), b=np.zeros(3))
    (tmp_path / "field.pkl").write_bytes(b"")
    sitk.WriteImage(sitk.Image(4, 4, 4, sitk.sitkFloat32), str(tmp_path / "scalar.mha"))
    for path, message in [
        (tmp_path / "absent.nii.gz", "no displacement field at"),
        (
            saved("a.nii.gz", np.zeros((4, 4, 4, 3))),
            r"size of the fixed image, \(20, 24, 18, 3\).*found \(4, 4, 4, 3\)",
        ),
        (saved("b.nii.gz", np.zeros(SHAPE)), r"found \(20, 24, 18\)"),
        (saved("c.nii.gz", np.zeros((*SHAPE, 3)), 1007), r"expected vectors \(X, Y, Z, 1, 3\)"),
        (saved("d.nii.gz", np.zeros((*SHAPE, 3)), 1002), "intent code 1002"),
        (saved("e.nii.gz", np.full((*SHAPE, 3), np.nan)), "25,920 displacements are not finite"),
        (tmp_path / "broken.h5", "ITK cannot read it"),
        (tmp_path / "broken.npz", "damaged or no .npz"),
        (tmp_path / "two.npz", "expected one array, found a, b"),
        (tmp_path / "field.pkl", "expected a displacement field or transform in one of"),
        (tmp_path / "scalar.mha", "1 components"),
    ]:
        with pytest.raises(InputDataError, match=message):
            read_field(path, np.eye(4), SHAPE)


def test_a_wrong_array_is_refused() -> None:
    with pytest.raises(InputDataError, match=r"\(3, X, Y, Z\), found \(20, 24, 18, 3\)"):
        field_to_lps(np.moveaxis(field(), 0, -1), np.eye(4))
    with pytest.raises(InputDataError, match=r"\(X, Y, Z, 3\), found \(3, 20, 24, 18\)"):
        field_from_lps(field(), np.eye(4))


# Layouts of arrays.


def test_grid_sample_warps_as_we_do() -> None:
    image, u = waves(1, (15, 22, 31), 8)[0], field()
    positions = field_to_grid_sample(u, image.shape)
    warped = F.grid_sample(
        torch.from_numpy(image)[None, None],
        torch.from_numpy(positions)[None],
        padding_mode="border",
        align_corners=True,
    )[0, 0]
    assert np.allclose(warped.numpy(), our_warp(image, u), atol=1e-5)
    assert np.allclose(field_from_grid_sample(positions, image.shape), u, atol=1e-5)


def test_learn2regs_half_size_field_is_in_voxels_of_the_full_grid() -> None:
    u = field()
    stored = field_to_learn2reg_npz(u)
    assert (stored.dtype, stored.shape) == (np.float16, (3, 10, 12, 9))
    theirs = np.array([zoom(stored[i].astype("float32"), 2, order=2) for i in range(3)])
    ours = field_from_learn2reg_npz(stored, SHAPE)
    assert np.array_equal(ours, theirs)
    assert np.sqrt(((ours - u) ** 2).mean()) < 0.05 * np.sqrt((u**2).mean())
    assert np.array_equal(field_from_learn2reg_npz(u, SHAPE), u)
    with pytest.raises(InputDataError, match=r"of size \(5, 6, 9\); expected that of the fixed image"):
        field_from_learn2reg_npz(np.zeros((3, 5, 6, 9)), SHAPE)
    with pytest.raises(InputDataError, match="halves the grid"):
        field_to_learn2reg_npz(np.zeros((3, 5, 6, 8)))


# Back to the original grid.


def test_a_field_on_cropped_grids_moves_points_as_on_the_original_ones() -> None:
    fixed, moving = AFFINES["oblique"], AFFINES["permuted"]
    fixed_crop = fixed @ np.array([[1.3, 0, 0, 4], [0, -0.9, 0, 20], [0, 0, 0.7, 2], [0, 0, 0, 1]])
    moving_crop = moving @ np.diag([0.8, 1.1, 1.2, 1])
    weight, shift = np.random.default_rng(1).normal(0, 0.05, (3, 3)), np.array([1.0, -2, 0.5])
    grid = np.indices((10, 16, 18)).astype(float)
    u = np.einsum("ij,jxyz->ixyz", weight, grid) + shift[:, None, None, None]
    result, inside = field_on_grid(
        u, fixed_crop, moving_crop, fixed_affine=fixed, fixed_shape=SHAPE, moving_affine=moving
    )
    assert 0.1 < inside.mean() < 0.9
    for voxel in np.argwhere(inside)[::37]:
        # An affine field is interpolated exactly, so the partner is known in closed form.
        place = np.linalg.inv(fixed_crop) @ fixed @ [*voxel, 1]
        partner = place[:3] + weight @ place[:3] + shift
        expected = moving_crop @ [*partner, 1]
        found = moving @ [*(voxel + result[(slice(None), *voxel)]), 1]
        assert np.abs(found - expected).max() < 1e-3


def test_between_equal_grids_the_field_stays_and_all_is_inside() -> None:
    u, grid = field(), AFFINES["oblique"]
    result, inside = field_on_grid(u, grid, grid, fixed_affine=grid, fixed_shape=SHAPE, moving_affine=grid)
    assert inside.all()
    assert np.allclose(result, u, atol=1e-4)


def test_outside_the_crop_the_border_displacement_goes_on() -> None:
    crop = np.eye(4)
    crop[0, 3] = 5
    u = np.zeros((3, 4, 4, 4))
    u[1] = 1.5
    result, inside = field_on_grid(
        u, crop, crop, fixed_affine=np.eye(4), fixed_shape=(12, 4, 4), moving_affine=np.eye(4)
    )
    assert inside[:, 0, 0].tolist() == [False] * 5 + [True] * 4 + [False] * 3
    assert np.allclose(result[1], 1.5)
    assert np.allclose(result[[0, 2]], 0, atol=1e-6)
