"""Registration scored from files: known shifts, every orientation, the three protocols, and what is refused."""

from __future__ import annotations

import math

import nibabel as nib
import numpy as np
import pytest

from medpipe.errors import InputDataError
from medpipe.evaluation.comparison import compare_results
from medpipe.evaluation.formats.registration_pairs import read_registration_pairs
from medpipe.evaluation.registration import evaluate_registration, measured_pairs
from medpipe.evaluation.registration_measures import PROTOCOLS
from medpipe.io.displacements import write_disp, write_warp
from medpipe.metrics.intervals import Bootstrap

FEW = Bootstrap(50)


def measured(study, rows, protocol="medpipe", labels=None):
    return list(measured_pairs(read_registration_pairs(study.table(rows)), protocol, labels))


def scored(study, rows, protocol="medpipe", names=None):
    pairs = read_registration_pairs(study.table(rows))
    return evaluate_registration(
        list(measured_pairs(pairs, protocol, sorted(names or {}) or None)), pairs, protocol, FEW, names
    )


@pytest.mark.parametrize("layout", ["disp", "Warp"])
@pytest.mark.parametrize("kind", ["plain", "flipped", "permuted", "oblique"])
def test_a_field_that_knows_the_shift_is_perfect_in_every_orientation_and_layout(study, kind, layout) -> None:
    (one,) = measured(study, [study.row("a", kind=kind, layout=layout)])
    assert one.after["dice"] == one.after["jaccard"] == 1
    assert one.after["hd95"] == one.after["assd"] == one.after["fold_pct"] == one.after["fold_pct_foreground"] == 0
    assert one.after["tre"] == pytest.approx(0, abs=1e-4)
    assert one.before["tre"] == pytest.approx(3.0)  # two voxels of 1.5 mm
    assert one.after["mean_displacement"] == pytest.approx(3.0, abs=1e-4)
    assert one.after["max_displacement"] == pytest.approx(3.0, abs=1e-4)
    assert one.after["sdlogj"] < 1e-4
    assert one.before["dice"] < 0.9
    assert one.before["hd95"] == pytest.approx(3.0)


def test_a_field_in_the_wrong_direction_is_worse_than_none(study) -> None:
    row = study.row("a")
    field = np.zeros((3, *study.shape), np.float32)
    field[0] = -2
    write_disp(study.folder / row["field"], field, study.affine())
    (one,) = measured(study, [row])
    assert one.after["dice"] < one.before["dice"]
    assert one.after["tre"] == pytest.approx(6.0)


def test_images_on_different_grids_are_compared_in_world_coordinates(study) -> None:
    """The moving image is the fixed one with its axes turned and cropped: identity in millimetres is perfect."""
    row = study.row("a", 0)
    affine = study.affine()
    turned = np.eye(4)[[2, 0, 1, 3]]
    crop = np.eye(4)
    crop[:3, 3] = (1, 2, 0)
    moving_affine = affine @ turned.T @ crop

    def moved(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array.transpose(2, 0, 1)[1:, 2:])

    study.save(row["moving"], moved(study.image), moving_affine)
    study.save(row["moving_labels"], moved(study.labels), moving_affine)
    write_warp(study.folder / row["field"], _identity(study, moving_affine), affine, moving_affine)
    del row["fixed_points"], row["moving_points"]
    (one,) = measured(study, [row])
    assert one.before["dice"] == one.after["dice"] == 1
    assert one.after["max_displacement"] < 1e-4
    assert one.after["fold_pct"] == 0
    assert one.after["sdlogj"] < 1e-4
    with pytest.raises(InputDataError, match="needs images of one size"):
        measured(study, [row], "l2r")


def _identity(study, moving_affine) -> np.ndarray:
    voxels = np.indices(study.shape).reshape(3, -1)
    there = np.linalg.inv(moving_affine) @ study.affine() @ np.vstack([voxels, np.ones(voxels.shape[1])])
    return (there[:3] - voxels).reshape(3, *study.shape).astype(np.float32)


def test_a_mirrored_storage_of_the_moving_image_is_no_folding(study) -> None:
    row = study.row("a", 0)
    affine = study.affine()
    mirror = np.diag([-1.0, 1, 1, 1])
    mirror[0, 3] = study.shape[0] - 1
    for key, array in (("moving", study.image), ("moving_labels", study.labels)):
        study.save(row[key], np.ascontiguousarray(array[::-1]), affine @ mirror)
    write_warp(study.folder / row["field"], _identity(study, affine @ mirror), affine, affine @ mirror)
    del row["fixed_points"], row["moving_points"]
    (one,) = measured(study, [row])
    assert (one.after["fold_pct"], one.after["dice"]) == (0, 1)


def test_protocols_have_their_own_measures(study) -> None:
    rows = [study.row("a")]
    found = {name: measured(study, rows, name)[0].after for name in PROTOCOLS}
    assert {"hd95", "assd", "tre", "max_displacement"} <= found["medpipe"].keys()
    assert {"tre_voxel", "jacobian_sd", "max_displacement_voxel"} <= found["rcn"].keys()
    assert {"hd95_voxel", "sdlogj_l2r", "tre"} <= found["l2r"].keys()
    assert not {"hd95", "assd"} & (found["rcn"].keys() | found["l2r"].keys())
    assert found["rcn"]["max_displacement_voxel"] == found["l2r"]["max_displacement_voxel"] == 2
    assert measured(study, rows, "rcn")[0].before["tre_voxel"] == pytest.approx(2)
    assert measured(study, rows, "l2r")[0].before["hd95_voxel"] == pytest.approx(2)
    assert found["l2r"]["sdlogj_l2r"] == 0
    for values in found.values():
        assert values["dice"] == pytest.approx(1)


def test_a_label_of_one_image_counts_zero_or_not_at_all_by_protocol(study) -> None:
    row = study.row("a")
    study.save(row["moving_labels"], np.where(study.labels == 1, 1, 0).astype(np.uint8))
    (ours,) = measured(study, [row])
    assert ours.structures_after[2]["dice"] == 0
    diagonal = np.linalg.norm((np.array(study.shape) - 1) * [1.5, 1.5, 2.0])
    assert ours.structures_after[2]["hd95"] == ours.structures_after[2]["assd"] == pytest.approx(diagonal)
    assert any("label 2 is in one image only" in remark for remark in ours.remarks)
    (theirs,) = measured(study, [row], "l2r")
    assert math.isnan(theirs.structures_after[2]["dice"])
    assert math.isnan(theirs.structures_after[2]["hd95_voxel"])
    assert theirs.after["dice"] == theirs.structures_after[1]["dice"]


def test_only_the_labels_asked_for_count(study) -> None:
    (one,) = measured(study, [study.row("a")], labels=[2, 9])
    assert list(one.structures_after) == [2, 9]
    assert math.isnan(one.structures_after[9]["dice"])
    assert one.after["dice"] == one.structures_after[2]["dice"] == 1


def test_points_that_are_missing_in_one_image_are_left_out(study) -> None:
    row = study.row("a")
    (study.folder / row["moving_points"]).write_text("11,10,10\n-1,-1,-1\n14,8,7\n")
    (one,) = measured(study, [row])
    assert one.landmarks == 2
    assert one.after["tre"] == pytest.approx(0, abs=1e-4)


def test_pairs_are_read_one_at_a_time(study) -> None:
    rows = [study.row("a"), study.row("b")]
    stream = measured_pairs(read_registration_pairs(study.table(rows)), "medpipe")
    next(stream)
    (study.folder / rows[1]["field"]).unlink()
    with pytest.raises(InputDataError, match="pair 'b'"):
        next(stream)


def test_headers_of_all_pairs_are_looked_at_before_the_first_is_measured(study) -> None:
    rows = [study.row("a"), study.row("b")]
    _other_shape(study, rows[1])
    with pytest.raises(InputDataError, match="pair 'b', column 'fixed_labels'"):
        next(measured_pairs(read_registration_pairs(study.table(rows)), "medpipe"))


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_results_follow_the_schema_and_hold_means_before_and_after(study, valid, protocol) -> None:
    rows = [
        study.row(name, shift, fixed_subject=f"f{name}", moving_subject=f"m{name}", seconds="0.5")
        for name, shift in zip("abc", (1, 2, 3), strict=True)
    ]
    rows.append({**study.row("d"), "field": "", "fixed_subject": "fd", "moving_subject": "md"})
    results = valid(scored(study, rows, protocol, {1: "anterior", 2: "posterior"}))
    assert (results["cohort"]["listed"], results["cohort"]["analysed"], results["cohort"]["patients"]) == (4, 3, 6)
    assert results["cohort"]["without_result"] == [{"case": "d", "reason": "no field"}]
    found = {entry["key"]: entry for entry in results["registration"]["measures"]}
    dices = [case["before"]["dice"] for case in results["cases"]]
    assert found["dice"]["before"]["value"] == pytest.approx(np.mean(dices))
    assert found["dice"]["after"]["value"] == pytest.approx(1)
    assert found["dice"]["change"]["value"] == pytest.approx(1 - np.mean(dices))
    assert found["seconds"]["before"] is None
    assert found["seconds"]["after"]["value"] == 0.5
    assert found["dice"]["sd"] == pytest.approx(0)
    assert [part["name"] for part in results["registration"]["structures"]] == ["anterior", "posterior"]
    assert results["statement"].startswith("Registration improves the alignment: Dice")
    assert "fa" not in str(results["cases"])  # subjects are numbers


def test_a_single_pair_has_figures_without_intervals(study, valid) -> None:
    results = valid(scored(study, [study.row("a")]))
    assert results["headline"][0]["value"] == 1
    assert results["headline"][0]["low"] is None
    assert "cannot be said" in results["statement"]


def test_no_field_at_all_is_an_error(study) -> None:
    with pytest.raises(InputDataError, match="no pair has a field"):
        scored(study, [{**study.row("a"), "field": ""}])


def _worse(study, rows):
    others = []
    for row in rows:
        field = np.zeros((3, *study.shape), np.float32)
        field[0], field[1] = 2, 1
        write_disp(study.folder / f"{row['pair']}_other_disp.nii.gz", field, study.affine())
        others.append({**row, "field": f"{row['pair']}_other_disp.nii.gz"})
    return others


def test_two_methods_are_compared_pair_by_pair(study, valid) -> None:
    rows = [study.row(name, fixed_subject="f" + name, moving_subject="m" + name) for name in "abcd"]
    names = {1: "anterior", 2: "posterior"}
    first, second = scored(study, rows, names=names), scored(study, _worse(study, rows[:3]), names=names)
    first["comparison"] = compare_results(first, second, ("ours", "theirs"), FEW)
    found = valid(first)["comparison"]
    assert found["n"] == 3
    assert found["left_out"] == [{"case": "d", "reason": "not in theirs"}]
    by_name = {row["name"]: row for row in found["figures"]}
    assert by_name["Dice"]["difference"]["value"] > 0
    assert by_name["Landmark error, mm"]["difference"]["value"] == pytest.approx(-1.5)
    assert {"Dice, anterior", "Dice, posterior"} <= by_name.keys()


def test_the_better_method_has_the_smaller_error_where_only_landmarks_are_known(study) -> None:
    rows = [study.row(name, fixed_subject="f" + name, moving_subject="m" + name) for name in "abcd"]
    for number, row in enumerate(rows):
        del row["fixed_labels"], row["moving_labels"]
        (study.folder / row["fixed_points"]).write_text("9,10,10\n")
        (study.folder / row["moving_points"]).write_text(f"11,10,{10 + number * 0.1}\n")  # pairs that differ a little
    first, second = scored(study, rows), scored(study, _worse(study, rows))
    assert (
        "On these cases ours is better: Landmark error"
        in compare_results(first, second, ("ours", "theirs"), FEW)["statement"]
    )


def test_methods_scored_on_other_truth_or_by_another_protocol_are_not_compared(study) -> None:
    rows = [study.row("a"), study.row("b")]
    first = scored(study, rows)
    with pytest.raises(InputDataError, match="by the protocol 'medpipe', 'theirs' by 'l2r'"):
        compare_results(first, scored(study, rows, "l2r"), ("ours", "theirs"), FEW)
    study.save(rows[0]["fixed_labels"], np.roll(study.labels, 1, axis=1))
    with pytest.raises(InputDataError, match="pair 'a': before registration 'ours' has"):
        compare_results(first, scored(study, rows), ("ours", "theirs"), FEW)


def _four_dimensional(study, row):
    study.save(row["fixed"], np.zeros((*study.shape, 2), np.float32))


def _other_shape(study, row):
    study.save(row["fixed_labels"], study.labels[1:])


def _other_place(study, row):
    affine = study.affine()
    affine[0, 3] += 5
    study.save(row["moving_labels"], study.labels, affine)


def _no_label(study, row):
    study.save(row["fixed_labels"], np.zeros(study.shape, np.uint8))


def _fractions(study, row):
    study.save(row["moving_labels"], study.labels * 0.5)


def _negative(study, row):
    study.save(row["moving_labels"], -study.labels.astype(np.int16))


def _image_nan(study, row):
    study.save(row["moving"], np.where(study.labels > 0, np.nan, study.image).astype(np.float32))


def _field_nan(study, row):
    field = np.zeros((3, *study.shape), np.float32)
    field[0, 3] = np.nan
    write_disp(study.folder / row["field"], field, study.affine())


def _field_other_grid(study, row):
    write_disp(study.folder / row["field"], np.zeros((3, 24, 22, 19), np.float32), study.affine())


def _field_three_dimensional(study, row):
    study.save(row["field"], study.image)


def _damaged(study, row):
    (study.folder / row["fixed"]).write_bytes(b"no nifti")


def _points_outside(study, row):
    (study.folder / row["fixed_points"]).write_text("9,10,10\n15,11,9\n112,8,7\n")


def _fewer_points(study, row):
    (study.folder / row["moving_points"]).write_text("9,10,10\n")


def _points_no_numbers(study, row):
    (study.folder / row["fixed_points"]).write_text("9,10,10\n15;11;9\n1,2,3\n")


@pytest.mark.parametrize(
    ("damage", "column", "message"),
    [
        (_four_dimensional, "fixed", r"has the shape \(24, 22, 20, 2\); expected one volume"),
        (_other_shape, "fixed_labels", r"has the shape \(23, 22, 20\), not \(24, 22, 20\)"),
        (_other_place, "moving_labels", "lies elsewhere in space"),
        (_no_label, "fixed_labels", "has no label: all voxels are 0"),
        (_fractions, "moving_labels", "holds fractions"),
        (_negative, "moving_labels", "holds values from -2 to 0"),
        (_image_nan, "moving", "not finite"),
        (_field_nan, "field", "not finite"),
        (_field_other_grid, "field", r"must have the size of the fixed image.*found \(24, 22, 19, 3\)"),
        (_field_three_dimensional, "field", r"found \(24, 22, 20\)"),
        (_damaged, "fixed", "NIfTI"),
        (_points_outside, "fixed_points", "1 of 3 landmarks lie outside the fixed image"),
        (_fewer_points, "moving_points", "has 1 landmarks, but there are 3 in the fixed image"),
        (_points_no_numbers, "fixed_points", "line 2: expected three numbers, found '15;11;9'"),
    ],
)
def test_a_wrong_file_is_named_with_its_row_column_and_remedy(study, damage, column, message) -> None:
    rows = [study.row("a"), study.row("b")]
    damage(study, rows[1])
    with pytest.raises(InputDataError, match=message) as error:
        measured(study, rows)
    assert f"pairs.csv', line 3, pair 'b', column '{column}'" in str(error.value)
    assert rows[1][column] in str(error.value)


def test_a_sheared_grid_has_no_surface_distance(study) -> None:
    row = study.row("a")
    affine = study.affine()
    affine[0, 1] = 0.5
    for side in ("fixed", "moving"):
        for key, array in ((side, study.image), (f"{side}_labels", study.labels)):
            study.save(row[key], array, affine)
    with pytest.raises(InputDataError, match="sheared"):
        measured(study, [row])


@pytest.mark.shared_data
def test_real_lung_landmarks_in_lps_millimetres_are_read_through_grids_of_two_sizes(study, shared_data) -> None:
    import SimpleITK as sitk

    folder = shared_data / "ct" / "elastix_lung" / "examples" / "data"
    names = {side: folder / f"CT_3D_lung_{side}_point_set_corrected.txt" for side in ("fixed", "moving")}
    points = {side: np.loadtxt(path, skiprows=2) for side, path in names.items()}
    apart = points["moving"] - points["fixed"]
    shift = apart.mean(axis=0)
    sitk.WriteTransform(sitk.TranslationTransform(3, shift.tolist()), str(study.folder / "shift.tfm"))
    row = {"pair": "lung", "field": "shift.tfm"}
    for side in ("fixed", "moving"):
        row |= {side: str(folder / f"CT_3D_lung_{side}_mask.mha"), f"{side}_points": str(names[side])}
    (one,) = measured(study, [row])
    assert one.landmarks == 51
    assert one.before["tre"] == pytest.approx(np.linalg.norm(apart, axis=1).mean(), rel=1e-4)
    assert one.after["tre"] == pytest.approx(np.linalg.norm(apart - shift, axis=1).mean(), rel=1e-4)
    assert one.after["max_displacement"] == pytest.approx(np.linalg.norm(shift), rel=1e-4)


@pytest.mark.shared_data
def test_real_hippocampi_are_perfect_through_their_own_known_field(study, shared_data) -> None:
    folder = shared_data / "brain_mri" / "msd_hippocampus"
    image = nib.load(folder / "images" / "hippocampus_003.nii.gz")
    labels = np.asarray(nib.load(folder / "labels" / "hippocampus_003.nii.gz").dataobj).astype(np.uint8)
    field = np.zeros((3, *image.shape), np.float32)
    field[1], field[2] = 3, -2
    study.save("moving.nii.gz", np.roll(labels, (3, -2), axis=(1, 2)), image.affine)
    study.save("fixed.nii.gz", labels, image.affine)
    write_disp(study.folder / "f_disp.nii.gz", field, image.affine)
    row = {"pair": "h", "field": "f_disp.nii.gz", "fixed_labels": "fixed.nii.gz", "moving_labels": "moving.nii.gz"}
    (one,) = measured(study, [row])
    assert set(one.structures_after) == {1, 2}
    assert one.after["dice"] == 1
    assert one.before["dice"] < 0.8
