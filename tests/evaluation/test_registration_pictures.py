"""Pictures of pairs: which are shown, which way up, and what each shows."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from medpipe.evaluation.formats.registration_pairs import read_registration_pairs
from medpipe.evaluation.registration_pictures import draw_pictures, shown_pairs
from medpipe.io.displacements import write_disp


def case(name: str, **after: float | None) -> dict:
    return {"case": name, "after": after}


def drawn(study, row):
    pairs = read_registration_pairs(study.table([row]))
    entries, files = draw_pictures(pairs, {"cases": [case(row["pair"], dice=0.5)]}, "medpipe")
    pictures = {name: np.asarray(Image.open(io.BytesIO(content))).astype(float) for name, content in files.items()}
    return entries, pictures


def test_the_worst_the_median_and_the_best_pair_are_shown() -> None:
    cases = [case(name, dice=value) for name, value in (("a", 0.5), ("b", 0.9), ("c", 0.7), ("d", 0.8), ("e", 0.1))]
    assert shown_pairs(cases) == [("worst by Dice", "e"), ("median by Dice", "c"), ("best by Dice", "b")]
    assert shown_pairs(cases[:2]) == [("worst and median by Dice", "a"), ("best by Dice", "b")]
    assert shown_pairs(cases[:1]) == [("only", "a")]


def test_the_worst_landmark_error_is_the_largest() -> None:
    cases = [case("a", dice=None, tre=3.0), case("b", dice=0.9, tre=1.0), case("c", dice=0.9, tre=2.0)]
    assert [name for _, name in shown_pairs(cases)] == ["a", "c", "b"]


@pytest.mark.parametrize("kind", ["plain", "flipped", "permuted", "oblique"])
def test_right_is_at_the_left_and_anterior_and_superior_at_the_top(study, kind) -> None:
    """The image is bright towards one end of the patient in turn."""
    row = study.row("a", 0, kind=kind)
    affine = study.affine(kind)
    world = np.einsum("ij,jxyz->ixyz", affine[:3, :3], np.indices(study.shape).astype(float))
    del row["fixed_points"], row["moving_points"]
    sides = {"left": lambda p: p[:, : p.shape[1] // 3], "top": lambda p: p[: p.shape[0] // 3]}
    opposite = {"left": lambda p: p[:, -p.shape[1] // 3 :], "top": lambda p: p[-p.shape[0] // 3 :]}
    for direction, expected in (
        (0, {"axial": "left", "coronal": "left"}),
        (1, {"axial": "top", "sagittal": "left"}),
        (2, {"coronal": "top", "sagittal": "top"}),
    ):
        study.save(row["fixed"], world[direction].astype(np.float32), affine)
        _, pictures = drawn(study, row)
        for plane, side in expected.items():
            picture = pictures[f"pictures/1_{plane}_fixed.jpg"]
            assert sides[side](picture).mean() > opposite[side](picture).mean() + 50


def test_a_perfect_field_makes_the_moving_image_look_like_the_fixed_one(study) -> None:
    _, pictures = drawn(study, study.row("a", 3))
    fixed, before, after = (
        pictures[f"pictures/1_axial_{kind}.jpg"][40:-40, 40:-40] for kind in ("fixed", "before", "after")
    )
    assert np.abs(after - fixed).mean() < 4
    assert np.abs(before - fixed).mean() > 10


def test_volume_growth_is_blue_shrinkage_orange_and_folds_are_black(study) -> None:
    row = study.row("a", 0)
    for factor, colour in ((1.0, (0, 114, 178)), (-0.5, (213, 94, 0)), (-2.0, (0, 0, 0))):
        field = np.zeros((3, *study.shape), np.float32)
        field[0] = factor * np.arange(study.shape[0])[:, None, None]
        write_disp(study.folder / row["field"], field, study.affine())
        _, pictures = drawn(study, row)
        assert np.abs(pictures["pictures/1_axial_jacobian.jpg"].mean(axis=(0, 1)) - colour).max() < 8


def test_all_planes_have_all_kinds_and_pixels_are_square_in_millimetres(study) -> None:
    entries, pictures = drawn(study, study.row("a"))
    assert [plane["plane"] for plane in entries[0]["planes"]] == ["axial", "coronal", "sagittal"]
    kinds = {"fixed", "before", "after", "checkerboard", "outlines", "jacobian", "grid"}
    assert all(set(plane["files"]) == kinds for plane in entries[0]["planes"])
    height, width, _ = pictures["pictures/1_coronal_fixed.jpg"].shape
    assert width / height == pytest.approx((24 * 1.5) / (20 * 2.0), abs=0.02)


def test_pairs_of_labels_alone_are_drawn_from_their_labels(study) -> None:
    row = study.row("a")
    for key in ("fixed", "moving", "fixed_points", "moving_points"):
        del row[key]
    _, pictures = drawn(study, row)
    assert np.ptp(pictures["pictures/1_axial_fixed.jpg"]) > 200
