"""Pairs on the network's grid: where its voxels lie, what they hold, and what is said about odd input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medpipe.engines.case_dataset import LoadCase
from medpipe.io.nifti import write_nifti
from medpipe.io.sampling import on_grid
from medpipe.io.volume import Volume
from medpipe.transforms.foreground import block_means, box_of, foreground
from medpipe.transforms.registration import PairToGridd, registration_preprocessing


def head(shape=(50, 60, 44), affine=None, centre=(0, 0, 0), scale=1.0) -> Volume:
    """An ellipsoid with a pattern in world coordinates, half axes 30, 38 and 26 mm times ``scale``."""
    affine = np.array(
        affine if affine is not None else [[2.0, 0, 0, -50], [0, 2, 0, -60], [0, 0, 2, -44], [0, 0, 0, 1]]
    )
    voxels = np.indices(shape).reshape(3, -1)
    world = (affine[:3, :3] @ voxels + affine[:3, 3:]).T - centre
    radius = np.linalg.norm(world / (np.array([30, 38, 26]) * scale), axis=1)
    pattern = 600 + 200 * np.sin(world[:, 0] / 7) * np.cos(world[:, 1] / 9) + 5 * world[:, 2] + 3 * world[:, 1]
    return Volume(np.where(radius < 1, pattern, 0).reshape(shape).astype(np.int16), affine)


def case_of(fixed: Volume, moving: Volume, **more) -> dict:
    return {"reason": "", "fixed": fixed, "moving": moving, **more}


def turned(degrees: float, flips=(1, 1, 1), order=(0, 1, 2), spacing=(2.0, 2, 2), origin=(-50, -60, -44)) -> np.ndarray:
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = (rotation * spacing * np.array(flips))[:, list(order)]
    affine[:3, 3] = origin
    return affine


def test_the_grid_is_the_brains_box_with_its_margin() -> None:
    result = PairToGridd(32, "brain", "percentiles")(case_of(head(), head()))
    grid = result["fixed_grid"]
    assert result["image"].shape == (2, 32, 32, 32)
    assert np.count_nonzero(grid[:3, :3] - np.diag(np.diag(grid[:3, :3]))) == 0
    low, high = grid[:3, 3], grid[:3, 3] + np.diag(grid)[:3] * 31
    margin = np.maximum(0.05 * np.array([60, 76, 52]), 4)
    np.testing.assert_allclose(low, -np.array([30, 38, 26]) - margin, atol=2.1)
    np.testing.assert_allclose(high, np.array([30, 38, 26]) + margin, atol=2.1)


@pytest.mark.parametrize(
    "affine",
    [
        turned(0, (-1, -1, 1), origin=(50, 60, -44)),
        turned(0, order=(2, 0, 1), origin=(-50, -60, -44)),
        turned(0, (1, 1, -1), spacing=(2.0, 2, 2), origin=(-50, -60, 44)),
    ],
)
def test_storage_order_changes_nothing_on_the_grid(affine) -> None:
    shape = {True: (50, 60, 44), False: (44, 50, 60)}[bool(abs(affine[0, 0]))]
    one = PairToGridd(32, "brain", "percentiles")(case_of(head(), head(shape, affine)))
    np.testing.assert_allclose(one["image"][0], one["image"][1], atol=0.06)  # voxel centres lie half a millimetre apart
    np.testing.assert_allclose(one["fixed_grid"], one["moving_grid"], atol=2.1)
    assert np.linalg.det(one["moving_grid"][:3, :3]) > 0


def test_grid_voxels_hold_what_lies_at_their_place() -> None:
    """The grid's affine against the pattern itself, for an oblique volume."""
    volume = head((64, 70, 50), turned(17, spacing=(1.9, 1.8, 2.1), origin=(-40, -75, -50)))
    case = PairToGridd(24, "brain", "percentiles")(case_of(volume, volume))
    values = on_grid(volume.array, volume.affine, case["fixed_grid"], (24, 24, 24))
    low, high = np.percentile(values, (0.5, 99.5))
    np.testing.assert_allclose(case["image"][0], ((values - low) / (high - low)).clip(0, 1), atol=1e-5)


def test_fine_volumes_are_averaged_before_they_lose_voxels() -> None:
    noise = np.random.default_rng(0).normal(size=(64, 64, 64)).astype(np.float32)
    averaged, affine = block_means(noise, np.diag([1, 2, 3, 1.0]), (4, 4, 2))
    np.testing.assert_allclose(affine[:3, 3], [1.5, 3, 1.5])
    np.testing.assert_allclose(averaged[1, 2, 3], noise[4:8, 8:12, 6:8].mean(), rtol=1e-4)
    stripes = Volume(np.broadcast_to(np.arange(64)[:, None, None] % 2 * 100, (64, 64, 64)).astype(np.int16), np.eye(4))
    stripes.array[:, 32:] += 100
    image = PairToGridd(16, "whole", "percentiles")(case_of(stripes, stripes))["image"][0]
    np.testing.assert_allclose(image.std(dim=0).max(), 0, atol=0.05)  # no stripe is left, and none is made up


def test_hounsfield_units_are_windowed() -> None:
    rng = np.random.default_rng(0)
    ct = Volume((gaussian_filter(rng.normal(size=(20, 20, 20)), 2) * 5000).astype(np.int16), np.eye(4))
    image = PairToGridd(20, "whole", "ct_window")(case_of(ct, ct))["image"][0]
    np.testing.assert_allclose(image, ((ct.array + 25.0) / 290).clip(0, 1), atol=1e-5)


def abdomen() -> Volume:
    """A body of fat with a liver of 60 HU at the right, and noise."""
    shape = (64, 64, 30)
    i, j, k = np.indices(shape)
    array = np.full(shape, -1000.0)
    array[((i - 32) / 28) ** 2 + ((j - 32) / 24) ** 2 < 1] = -90
    array[((i - 42) / 14) ** 2 + ((j - 34) / 13) ** 2 + ((k - 15) / 9) ** 2 < 1] = 60
    array += np.random.default_rng(0).normal(0, 5, shape)
    return Volume(array.astype(np.int16), np.diag([5.0, 5, 6, 1]))


def test_the_liver_is_found_by_its_hounsfield_units() -> None:
    volume = abdomen()
    mask, affine = foreground(volume.array, volume.affine, "liver")
    box = box_of(mask, affine, np.eye(3))
    truth = np.array([[28.5 * 5, 21.5 * 5, 6.5 * 6], [55.5 * 5, 46.5 * 5, 23.5 * 6]])
    assert np.abs(box - truth).max() <= 15  # of 135, 125 and 102 mm; the margin is 25 and 30 mm


def test_given_labels_take_the_place_of_the_search() -> None:
    volume = abdomen()
    labels = Volume(np.zeros((10, 10, 10), np.uint16), np.diag([10.0, 10, 10, 1]))
    labels.array[3:6, 4:7, 5:8] = 1
    grid = PairToGridd(16, "liver", "ct_window")(case_of(volume, volume, fixed_labels=labels))["fixed_grid"]
    np.testing.assert_allclose(grid[:3, 3], np.array([25 - 25 + 2.5, 35 - 25 + 2.5, 45 - 30 + 3]), atol=1e-6)


@pytest.mark.parametrize("kind", ["moments", "rigid", "affine"])
def test_alignment_finds_a_shift_and_is_the_same_every_time(kind) -> None:
    fixed, moving = head(), head(affine=turned(0, origin=(-43, -69, -40)), centre=(7, -9, 4))
    maps = [PairToGridd(32, "brain", "percentiles", kind)(case_of(fixed, moving)) for _ in range(2)]
    np.testing.assert_array_equal(maps[0]["moving_grid"], maps[1]["moving_grid"])
    world = maps[0]["moving_grid"] @ np.linalg.inv(maps[0]["fixed_grid"])
    points = np.array([[0, 0, 0, 1], [20, -15, 10, 1.0]]).T
    assert np.abs((world @ points)[:3] - points[:3] - [[7], [-9], [4]]).max() < 1.5


def test_affine_alignment_finds_rotation_and_scale() -> None:
    angle = np.radians(12)
    truth = np.eye(4)
    truth[:3, :3] = 1.08 * np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    truth[:3, 3] = 4, -3, 2
    fixed = head()
    moving = Volume(fixed.array, truth @ fixed.affine)
    case = PairToGridd(48, "brain", "percentiles", "affine")(case_of(fixed, moving))
    world = case["moving_grid"] @ np.linalg.inv(case["fixed_grid"])
    corners = np.array([[x, y, z, 1.0] for x in (-20, 20) for y in (-25, 25) for z in (-15, 15)]).T
    before = np.linalg.norm(((truth - np.eye(4)) @ corners)[:3], axis=0).mean()
    after = np.linalg.norm(((truth - world) @ corners)[:3], axis=0).mean()
    assert before > 5
    assert after < 1


def test_an_affine_map_that_no_two_heads_differ_by_is_not_kept() -> None:
    fixed, moving = head(), head(affine=turned(0, spacing=(2.8, 2.8, 2.8), origin=(-70, -84, -62)), scale=1.4)
    moving = Volume(fixed.array, moving.affine)  # the same pattern, each side 1.4 times as long
    case = PairToGridd(32, "brain", "percentiles", "affine")(case_of(fixed, moving))
    world = case["moving_grid"] @ np.linalg.inv(case["fixed_grid"])
    assert case["reason"].startswith("the affine alignment multiplied volumes by 2.")
    assert "the rigid one was kept" in case["reason"]
    np.testing.assert_allclose(world[:3, :3] @ world[:3, :3].T, np.eye(3), atol=1e-9)


def test_fields_of_view_apart_are_noted_without_an_alignment_and_fine_with_one() -> None:
    fixed, moving = head(), head(affine=turned(0, origin=(950, -60, -44)), centre=(1000, 0, 0))
    plain = PairToGridd(24, "brain", "percentiles")(case_of(fixed, moving))
    assert plain["reason"] == "the fields of view lie 900 mm apart; an alignment beforehand (affine) may be needed"
    aligned = PairToGridd(24, "brain", "percentiles", "moments")(case_of(fixed, moving))
    assert aligned["reason"] == ""
    np.testing.assert_allclose(aligned["image"][0], aligned["image"][1], atol=0.05)


@pytest.fixture
def load(tmp_path):
    """Write volumes, and load them as a run does: ``load(fixed=Volume, ...)`` -> the case."""
    transform = LoadCase(registration_preprocessing(16, body_part="brain", intensity="percentiles"))

    def run(**volumes):
        paths = []
        for role in ("fixed", "moving", "moving_labels", "fixed_labels"):
            if role in volumes:
                write_nifti(tmp_path / f"{role}.nii", volumes[role].array, volumes[role].affine)
            paths.append(str(tmp_path / f"{role}.nii") if role in volumes else "")
        points = volumes.get("points", "")
        if points:
            (tmp_path / "points.csv").write_text(points)
        return transform(
            {
                "case": "a",
                "status": "pending",
                "reason": "",
                "image": [*paths, str(tmp_path / "points.csv") if points else ""],
            }
        )

    return run


def test_a_pair_is_loaded_with_all_that_goes_with_it(load) -> None:
    labels = Volume((head().array > 0).astype(np.uint8), head().affine)
    case = load(fixed=head(), moving=head(), moving_labels=labels, fixed_labels=labels, points="25,30,22\n")
    assert (case["status"], case["reason"]) == ("pending", "")
    np.testing.assert_allclose(case["points"], [[0, 0, 0]])
    assert len(case["input_sha256"]) == 64


def test_labels_on_another_grid_are_noted(load) -> None:
    labels = Volume(np.ones((10, 10, 10), np.uint8), np.diag([10.0, 10, 10, 1]))
    assert load(fixed=head(), moving=head(), moving_labels=labels)["reason"] == (
        "moving labels lie on another grid than their image and were taken by position"
    )


def test_what_cannot_be_used_fails_its_case_by_name(load) -> None:
    flat = Volume(np.zeros((9, 9, 9), np.int16), np.eye(4))
    assert load(fixed=head(), moving=flat)["reason"].startswith("moving image: holds the value 0 everywhere")
    series = Volume(np.zeros((9, 9, 9, 3), np.int16), np.eye(4))
    case = load(fixed=series, moving=head())
    assert (case["status"], case["reason"].split(";")[0]) == ("failed", "fixed image: holds 4 axes (9, 9, 9, 3)")
    fractions = Volume(np.full((9, 9, 9), 0.5, np.float32), np.eye(4))
    assert (
        "moving labels: labels hold fractions" in load(fixed=head(), moving=head(), moving_labels=fractions)["reason"]
    )
    assert "points: points 'points.csv', line 1" in load(fixed=head(), moving=head(), points="1,2\n")["reason"]


def test_a_negative_image_and_voxels_that_are_no_number_are_taken(load) -> None:
    volume = head()
    values = volume.array.astype(np.float32) - 5000
    values[:3] = np.nan
    case = load(fixed=Volume(values, volume.affine), moving=volume)
    assert case["status"] == "pending"
    assert "fixed image: some voxels are not finite numbers" in case["reason"]
    np.testing.assert_allclose(case["image"][0], case["image"][1], atol=1e-3)


@pytest.mark.parametrize(
    "wrong", [{"body_part": "leg"}, {"intensity": "z"}, {"affine": "similarity"}, {"points_on": "both"}]
)
def test_unknown_names_are_refused(wrong) -> None:
    arguments = {"body_part": "brain", "intensity": "percentiles", **wrong}
    with pytest.raises(ValueError, match="is none of"):
        registration_preprocessing(16, **arguments)
