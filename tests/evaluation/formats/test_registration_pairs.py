"""Tables of pairs, folders of fields, Learn2Reg's layout: what is read, and what is refused by name."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from medpipe.errors import InputDataError
from medpipe.evaluation.formats.registration_pairs import read_label_names, read_registration_pairs

HEADER = "pair,fixed,moving,fixed_labels,moving_labels"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "a_seg", "b_seg", "ab_disp", "ba_disp"):
        (tmp_path / f"{name}.nii.gz").touch()
    return tmp_path


def table(folder: Path, text: str, name: str = "pairs.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_one_table_holds_everything_with_paths_beside_it(folder) -> None:
    text = f"{HEADER},field,seconds,memory_mb,fixed_subject,moving_subject\nab,a.nii.gz,b.nii.gz,a_seg.nii.gz,b_seg.nii.gz,ab_disp.nii.gz,1.5,,A,B\n"
    (pair,) = read_registration_pairs(table(folder, text))
    assert pair.files["field"] == folder / "ab_disp.nii.gz"
    assert pair.subjects == ("A", "B")
    assert pair.seconds == 1.5
    assert math.isnan(pair.memory_mb)


def test_fields_and_truth_are_joined_by_pair(folder) -> None:
    truth = table(folder, f"{HEADER}\nab,,,a_seg.nii.gz,b_seg.nii.gz\nba,,,b_seg.nii.gz,a_seg.nii.gz\n", "truth.csv")
    fields = table(folder, "pair,field,seconds\nba,ba_disp.nii.gz,2\n")
    first, second = read_registration_pairs(fields, truth)
    assert "field" not in first.files  # listed, without a result
    assert (second.files["field"].name, second.seconds) == ("ba_disp.nii.gz", 2)


def test_a_folder_of_fields_is_matched_by_the_names_of_the_pairs(folder) -> None:
    truth = table(folder, f"{HEADER}\nab,,,a_seg.nii.gz,b_seg.nii.gz\n")
    (pair,) = read_registration_pairs(folder, truth)
    assert pair.files["field"].name == "ab_disp.nii.gz"
    (folder / "ab_Warp.nii.gz").touch()
    with pytest.raises(InputDataError, match="'ab_disp.nii.gz' and 'ab_Warp.nii.gz'; expected one field"):
        read_registration_pairs(folder, truth)


def test_images_of_nobody_named_are_of_a_subject_each_and_one_subject_may_have_both(folder) -> None:
    text = f"{HEADER},field,subject\nab,,,a_seg.nii.gz,b_seg.nii.gz,ab_disp.nii.gz,S\nba,,,a_seg.nii.gz,b_seg.nii.gz,ba_disp.nii.gz,\n"
    first, second = read_registration_pairs(table(folder, text))
    assert first.subjects == ("S", "S")
    assert second.subjects == ("pair ba", "pair ba")


def learn2reg(folder: Path, **content: object) -> Path:
    root = folder / "data"
    for side in ("images", "labels", "keypoints"):
        (root / f"{side}Tr").mkdir(parents=True)
    for number in ("0001", "0002"):
        for side, end in (("images", ".nii.gz"), ("labels", ".nii.gz"), ("keypoints", ".csv")):
            (root / f"{side}Tr" / f"Lung_{number}_0000{end}").touch()
    pairs = [{"fixed": "./imagesTr/Lung_0001_0000.nii.gz", "moving": "./imagesTr/Lung_0002_0000.nii.gz"}]
    (root / "dataset.json").write_text(json.dumps({"registration_val": pairs, **content}))
    return root / "dataset.json"


@pytest.mark.parametrize("end", [".nii.gz", ".npz"])
def test_learn2reg_datasets_name_their_pairs_and_all_else_lies_beside(folder, end) -> None:
    dataset = learn2reg(folder)
    (folder / f"disp_0001_0002{end}").touch()
    (pair,) = read_registration_pairs(folder, dataset)
    assert (pair.name, pair.subjects) == ("0001_0002", ("0001", "0002"))
    names = {key: path.name for key, path in pair.files.items()}
    assert names == {
        "fixed": "Lung_0001_0000.nii.gz",
        "moving": "Lung_0002_0000.nii.gz",
        "fixed_labels": "Lung_0001_0000.nii.gz",
        "moving_labels": "Lung_0002_0000.nii.gz",
        "fixed_points": "Lung_0001_0000.csv",
        "moving_points": "Lung_0002_0000.csv",
        "field": f"disp_0001_0002{end}",
    }
    assert pair.files["fixed_labels"].parent.name == "labelsTr"


def test_a_learn2reg_field_that_is_missing_is_named(folder) -> None:
    with pytest.raises(
        InputDataError, match=r"entry 1: folder '.*' has no disp_0001_0002.nii.gz or disp_0001_0002.npz"
    ):
        read_registration_pairs(folder, learn2reg(folder))
    with pytest.raises(InputDataError, match="lists no pairs"):
        (folder / "data" / "dataset.json").write_text("{}")
        read_registration_pairs(folder, folder / "data" / "dataset.json")


FULL = f"{HEADER},fixed_points,moving_points,field,seconds\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"{FULL}ab,,,a_seg.nii.gz,c_seg.nii.gz,,,ab_disp.nii.gz,\n",
            "line 2, pair 'ab', column 'moving_labels': .*does not exist",
        ),
        (
            f"{FULL}ab,,,a_seg.nii.gz,b_seg.nii.gz,,,cd_disp.nii.gz,\n",
            "line 2, pair 'ab', column 'field': .*does not exist",
        ),
        (f"{FULL}ab,,,a_seg.nii.gz,,,,ab_disp.nii.gz,\n", "column 'moving_labels': empty, but 'fixed_labels' is given"),
        (f"{FULL}ab,a.nii.gz,b.nii.gz,,,,,ab_disp.nii.gz,\n", "neither labels nor landmarks"),
        (f"{FULL}ab,,,,,a.nii.gz,b.nii.gz,ab_disp.nii.gz,\n", "landmarks need the images"),
        (
            f"{FULL}ab,,,a_seg.nii.gz,b_seg.nii.gz,,,ab_disp.nii.gz,fast\n",
            "column 'seconds': expected a number of at least 0, found 'fast'",
        ),
        (f"{FULL}ab,,,a_seg.nii.gz,b_seg.nii.gz,,,,-1\n", "found '-1'"),
        (
            f"{HEADER}\nab,,,a_seg.nii.gz,b_seg.nii.gz\nab,,,a_seg.nii.gz,b_seg.nii.gz\n",
            "line 3: pair 'ab' stands twice",
        ),
        ("pair,fixed_label,moving_labels\nab,a,b\n", "a column 'fixed_label'; did you mean 'fixed_labels'"),
        (f"{HEADER}\n", "lists no pair"),
        ("fixed,moving\na,b\n", "lacks the column 'pair'"),
    ],
)
def test_a_wrong_table_is_refused_with_the_place(folder, text, message) -> None:
    with pytest.raises(InputDataError, match=message):
        read_registration_pairs(table(folder, text))


def test_tables_that_do_not_fit_together_are_refused(folder) -> None:
    truth = table(folder, f"{HEADER}\nab,,,a_seg.nii.gz,b_seg.nii.gz\n", "truth.csv")
    for text, message in (
        ("pair,field\nxy,ab_disp.nii.gz\n", "pair 'xy' is not in 'truth.csv'"),
        ("pair\nab\n", "names no field"),
        ("pair,field,fixed_labels\nab,ab_disp.nii.gz,b_seg.nii.gz\n", "column 'fixed_labels': 'truth.csv' describes"),
    ):
        with pytest.raises(InputDataError, match=message):
            read_registration_pairs(table(folder, text), truth)
    with pytest.raises(InputDataError, match="is a folder of fields; give the table"):
        read_registration_pairs(folder)


def test_labels_are_named_in_a_list_or_in_a_table(tmp_path) -> None:
    assert read_label_names("1=anterior, 2=posterior") == {1: "anterior", 2: "posterior"}
    assert read_label_names("3") == {3: "3"}
    (tmp_path / "names.csv").write_text("label,name\n21,left hippocampus\n22,\n")
    assert read_label_names(str(tmp_path / "names.csv")) == {21: "left hippocampus", 22: "22"}


@pytest.mark.parametrize("text", ["0=background", "1=a,1=b", "1=a,2=a", "one", "1,,2", "70000", "names.csv"])
def test_what_names_no_labels_is_refused(text) -> None:
    with pytest.raises(InputDataError, match="--labels"):
        read_label_names(text)
