"""Results on the grids of the originals, against ITK and against fields that are known."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import SimpleITK as sitk

from medpipe.errors import RequestError
from medpipe.io.displacements import read_field
from medpipe.io.nifti import read_nifti, write_nifti
from medpipe.io.sampling import warp_through
from medpipe.io.volume import Volume
from medpipe.predictions.registration_output import RegisteredPair, check_field_files, write_registration


def turned(degrees: float, spacing, origin, flips=(1, 1, 1), order=(0, 1, 2)) -> np.ndarray:
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = (rotation * np.array(spacing) * np.array(flips))[:, list(order)]
    affine[:3, 3] = origin
    return affine


GRIDS = {
    "upright": (turned(0, (2, 2, 2), (-40, -45, -30)), turned(0, (2, 2, 2), (-40, -45, -30))),
    "stored towards left and posterior": (
        turned(0, (2, 2, 2), (40, 45, -30), (-1, -1, 1)),
        turned(0, (2, 2, 2), (-40, -45, -30)),
    ),
    "anisotropic": (turned(0, (1.5, 2, 3), (-30, -40, -35)), turned(0, (2.5, 1.8, 2), (-45, -40, -30))),
    "oblique": (turned(10, (2, 2, 2), (-35, -50, -30)), turned(-17, (2.2, 1.9, 2.4), (-50, -35, -36))),
    "axes permuted": (
        turned(10, (2, 2, 2), (-35, -50, -30), order=(2, 0, 1)),
        turned(0, (2, 2, 2), (40, -45, -30), (-1, 1, 1), (1, 2, 0)),
    ),
}


def smooth(shape, seed: int, amplitude: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).normal(size=shape)
    values = gaussian_filter(noise, 3)
    return (values / np.abs(values).max() * amplitude).astype(np.float32)


@pytest.fixture(params=GRIDS)
def pair(request) -> RegisteredPair:
    """40 x 44 x 30 and 38 x 42 x 32 voxels; grids of 16 voxels a side over the middle of both, the moving one tilted."""
    fixed_affine, moving_affine = GRIDS[request.param]
    fixed = Volume(smooth((40, 44, 30), 1, 500).astype(np.int16), fixed_affine)
    moving = Volume(smooth((38, 42, 32), 2, 500).astype(np.int16), moving_affine)
    field = np.stack([smooth((16, 16, 16), 3 + k, 1.5) for k in range(3)])
    fixed_grid = turned(0, (4, 4.5, 3), (-28, -30, -20))
    alignment = turned(8, (1.05, 0.97, 1), (1, -2, 3))
    return RegisteredPair(fixed, moving, field, fixed_grid, alignment @ fixed_grid)


def resampled(pair: RegisteredPair, transform, tmp_path, interpolator=sitk.sitkLinear) -> np.ndarray:
    write_nifti(tmp_path / "fixed.nii", pair.fixed.array, pair.fixed.affine)
    write_nifti(tmp_path / "moving.nii", pair.moving.array, pair.moving.affine)
    fixed, moving = (sitk.ReadImage(str(tmp_path / f"{name}.nii")) for name in ("fixed", "moving"))
    fill = float(pair.moving.array.min())
    image = sitk.Resample(moving, fixed, transform, interpolator, fill, sitk.sitkFloat64)
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0)


def compared(pair: RegisteredPair, ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference in parts of the range, but for voxels whose partner lies at the moving image's very face."""
    places = pair.dense + np.indices(pair.fixed.array.shape)
    ends = np.array(pair.moving.array.shape)[:, None, None, None] - 0.5
    face = (np.minimum(np.abs(places + 0.5), np.abs(places - ends)) < 1e-2).any(axis=0)
    assert face.mean() < 0.05
    return float(np.abs(ours - theirs)[~face].max() / np.ptp(pair.moving.array))


def test_the_itk_transform_warps_the_original_as_we_do(pair, tmp_path) -> None:
    write_registration(tmp_path, pair, fields=["transform"], pictures=False)
    transform = sitk.ReadTransform(str(tmp_path / "transform.h5"))
    ours = read_nifti(tmp_path / "warped.nii.gz").array
    assert compared(pair, ours, resampled(pair, transform, tmp_path)) < 1e-3


def test_the_itk_field_warps_the_original_as_we_do(pair, tmp_path) -> None:
    write_registration(tmp_path, pair, fields=["warp"], pictures=False)
    field = sitk.ReadImage(str(tmp_path / "field_Warp.nii.gz"), sitk.sitkVectorFloat64)
    ours = read_nifti(tmp_path / "warped.nii.gz").array
    assert compared(pair, ours, resampled(pair, sitk.DisplacementFieldTransform(field), tmp_path)) < 1e-3


def test_the_three_forms_of_the_field_say_the_same(pair, tmp_path) -> None:
    write_registration(tmp_path, pair, pictures=False)
    arguments = (pair.fixed.affine, pair.fixed.array.shape, pair.moving.affine)
    for name in ("field_disp.nii.gz", "field_Warp.nii.gz", "transform.h5"):
        np.testing.assert_allclose(read_field(tmp_path / name, *arguments), pair.dense, atol=2e-4)


def test_labels_on_another_grid_are_carried_by_position(pair, tmp_path) -> None:
    labels = Volume(
        (smooth((30, 34, 28), 9, 3) > 0.5).astype(np.uint16) * 7, pair.moving.affine @ np.diag([1.2, 1.2, 1.1, 1])
    )
    carried = pair.carried_labels(labels)
    write_registration(tmp_path, pair, fields=["transform"], labels=carried, pictures=False)
    write_nifti(tmp_path / "fixed.nii", pair.fixed.array, pair.fixed.affine)
    write_nifti(tmp_path / "labels.nii", labels.array, labels.affine)
    theirs = sitk.Resample(
        sitk.ReadImage(str(tmp_path / "labels.nii")),
        sitk.ReadImage(str(tmp_path / "fixed.nii")),
        sitk.ReadTransform(str(tmp_path / "transform.h5")),
        sitk.sitkNearestNeighbor,
    )
    differing = (
        read_nifti(tmp_path / "labels.nii.gz").array != sitk.GetArrayFromImage(theirs).transpose(2, 1, 0)
    ).mean()
    assert set(np.unique(carried)) == {0, 7}
    assert differing < 2e-3  # places halfway between two voxels


def test_a_point_and_its_partner_lead_to_each_other(pair) -> None:
    rng = np.random.default_rng(5)
    inner = rng.uniform(3, 12, (20, 3)) @ pair.fixed_grid[:3, :3].T + pair.fixed_grid[:3, 3]
    there = pair.to_moving(inner)
    back, apart = pair.to_fixed(there)
    assert np.abs(back - inner).max() < 1e-3
    assert apart.max() < 1e-3
    assert not np.allclose(there, inner)


def test_points_move_as_itk_moves_them(pair, tmp_path) -> None:
    write_registration(tmp_path, pair, fields=["transform"], pictures=False)
    transform = sitk.ReadTransform(str(tmp_path / "transform.h5"))
    points = np.random.default_rng(6).uniform(-15, 15, (10, 3))
    lps = np.array([-1.0, -1.0, 1.0])
    theirs = np.array([transform.TransformPoint((point * lps).tolist()) for point in points]) * lps
    np.testing.assert_allclose(pair.to_moving(points), theirs, atol=1e-4)


@pytest.mark.parametrize("points_on", ["moving", "fixed"])
def test_points_are_written_in_voxels_and_millimetres_of_the_other_image(pair, points_on, tmp_path) -> None:
    points = np.array([[1.0, 2, 3], [np.nan] * 3, [500.0, 0, 0]])
    write_registration(tmp_path, pair, fields=[], points=points, points_on=points_on, pictures=False)
    with (tmp_path / "points.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    target = pair.fixed if points_on == "moving" else pair.moving
    expected = pair.to_fixed(points[:1])[0] if points_on == "moving" else pair.to_moving(points[:1])
    voxel = np.array([float(rows[0][name]) for name in ("x", "y", "z")])
    world = np.array([float(rows[0][name]) for name in ("x_mm", "y_mm", "z_mm")])
    np.testing.assert_allclose(world, expected[0], atol=1e-5)
    np.testing.assert_allclose(target.affine[:3, :3] @ voxel + target.affine[:3, 3], world, atol=1e-4)
    assert [rows[0][name] for name in ("x_lps", "z_lps")] == [f"{-world[0]:.6f}", f"{world[2]:.6f}"]
    assert (rows[1]["x"], rows[1]["x_mm"], rows[1]["note"]) == ("-1", "", "missing")
    assert rows[2]["note"].endswith("outside the registered box")


def test_outside_the_moving_image_there_is_its_least_value(pair) -> None:
    moved = RegisteredPair(pair.fixed, pair.moving, pair.field + 1000, pair.fixed_grid, pair.moving_grid)
    assert (moved.warped() == pair.moving.array.min()).all()
    assert not moved.carried_labels(Volume(np.ones((9, 9, 9), np.uint8), pair.moving.affine)).any()


def test_without_a_field_the_images_meet_as_they_were_aligned(pair) -> None:
    world = np.array([[0.0, 0, 0], [10, -5, 4]])
    expected = world @ pair.between[:3, :3].T + pair.between[:3, 3]
    np.testing.assert_allclose(pair.undeformed().to_moving(world), expected, atol=1e-9)


def test_a_fold_is_told_from_an_inverse() -> None:
    field = np.zeros((3, 8, 8, 8), np.float32)
    field[0] = np.where(np.arange(8)[:, None, None] % 2, 1.6, -1.6)
    volume = Volume(np.zeros((8, 8, 8), np.uint8), np.eye(4))
    pair = RegisteredPair(volume, volume, field, np.eye(4), np.eye(4))
    assert pair.to_fixed(np.array([[3.4, 4, 4]]))[1].max() > 0.1


def test_the_picture_is_the_same_for_the_same_pair(pair, tmp_path) -> None:
    from PIL import Image

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_registration(tmp_path / name, pair, fields=[])
    first, second = ((tmp_path / name / "marks.png").read_bytes() for name in ("one", "two"))
    assert first == second
    assert Image.open(tmp_path / "one" / "marks.png").convert("L").getextrema() == (0, 255)


def test_writing_again_gives_the_same_bytes(pair, tmp_path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_registration(tmp_path / name, pair)
    for file in sorted(path.name for path in (tmp_path / "one").iterdir()):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_the_warp_is_interpolated_once_from_the_original_voxels(pair) -> None:
    from scipy.ndimage import map_coordinates

    places = pair.dense.astype(float) + np.indices(pair.fixed.array.shape)
    expected = map_coordinates(pair.moving.array.astype(float), places, order=1, mode="nearest")
    ends = np.array(pair.moving.array.shape)[:, None, None, None] - 0.5
    inside = ((places > -0.5) & (places < ends)).all(axis=0)
    np.testing.assert_allclose(pair.warped()[inside], expected[inside], atol=1e-2)
    np.testing.assert_array_equal(
        pair.warped(), warp_through(pair.moving.array, pair.dense, fill=float(pair.moving.array.min()))
    )


def test_no_field_of_itk_is_written_for_a_sheared_fixed_image_but_the_transform_is(tmp_path) -> None:
    affine = turned(0, (2, 2, 2), (-40, -45, -30))
    affine[0, 2] = 0.5
    volume = Volume(smooth((20, 22, 15), 1, 500).astype(np.int16), affine)
    grid = turned(0, (4, 4.5, 3), (-28, -30, -20))
    pair = RegisteredPair(volume, volume, np.stack([smooth((8, 8, 8), 3 + k, 1.5) for k in range(3)]), grid, grid)
    write_registration(tmp_path, pair, pictures=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["field_disp.nii.gz", "transform.h5", "warped.nii.gz"]
    transform, lps = sitk.ReadTransform(str(tmp_path / "transform.h5")), np.array([-1.0, -1.0, 1.0])
    voxel = np.array([10, 12, 7])
    world = affine[:3, :3] @ voxel + affine[:3, 3]
    partner = affine[:3, :3] @ (voxel + pair.dense[:, 10, 12, 7]) + affine[:3, 3]
    np.testing.assert_allclose(np.array(transform.TransformPoint((world * lps).tolist())) * lps, partner, atol=1e-4)


def test_an_unknown_form_is_refused() -> None:
    assert check_field_files("warp, disp,warp") == ("warp", "disp")
    with pytest.raises(RequestError, match="'fsl' is unknown; there are disp, warp, transform"):
        check_field_files("fsl")
