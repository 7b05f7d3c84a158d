"""`medpipe evaluate` of a registration bundle: the pairs of a datalist, scored as `medpipe score registration` scores them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from medpipe.cli.main import invoke
from medpipe.data.registration_cases import listed_pair_cases, listed_pairs
from medpipe.data.registration_datalist import write_registration_datalist
from medpipe.errors import InputDataError
from medpipe.io.nifti import write_nifti

NAME = "brain_mri_registration_ldr"


@pytest.fixture
def data(tmp_path) -> Path:
    """Three subjects with one structure each, which the identity leaves where it is."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    grid = np.indices((20, 22, 18))
    tests = []
    for number, shift in enumerate((0, 1, 3)):
        labels = (np.abs(grid - np.array([9 + shift, 10, 9])[:, None, None, None]).max(0) < 5).astype(np.uint8)
        image = (100 + grid[0] * 5 + labels * np.int64(300)).astype(np.int16)
        case = f"s{number}"
        write_nifti(tmp_path / f"{case}.nii.gz", image, affine)
        write_nifti(tmp_path / f"{case}_seg.nii.gz", labels, affine)
        tests.append(
            {"case": case, "subject": case, "image": f"{case}.nii.gz", "label": f"{case}_seg.nii.gz", "modality": "MR"}
        )
    head = {"name": "cubes", "description": "cubes", "generated": True, "split": "by subject", "labels": {"1": "cube"}}
    datalist = {**head, "training": [], "validation": [], "test": tests, "pairs": {}}
    write_registration_datalist(datalist, tmp_path / "datalist.json")
    return tmp_path


def evaluate(data: Path, out: Path, *more: str) -> int:
    options = ["method=affine", "body_part=whole", "num_workers=0", "bootstrap=20", *more]
    return invoke(["evaluate", NAME, f"dataset_dir={data}", *options, "-o", str(out)])


def test_a_run_is_scored_as_its_fields_are(data, tmp_path) -> None:
    out = tmp_path / "out"
    assert evaluate(data, out) == 0
    rows = [
        {
            "pair": row["case"],
            **{
                key: row[key]
                for key in ("fixed", "moving", "fixed_labels", "moving_labels", "fixed_subject", "moving_subject")
            },
            "field": str(out / "cases" / row["case"] / "field_Warp.nii.gz"),
        }
        for row in listed_pairs(data / "datalist.json", data, "test")
    ]
    assert len(rows) == 6
    with (tmp_path / "table.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert (
        invoke(["score", "registration", str(tmp_path / "table.csv"), "--bootstrap", "20", "-o", str(tmp_path / "s")])
        == 0
    )
    mine, theirs = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("out", "s"))
    for ours, other in zip(mine["headline"], theirs["headline"], strict=True):
        assert ours["text"] == other["text"]
    assert mine["data"] == {"name": "cubes", "section": "test"}
    page = (out / "report" / "index.html").read_text()
    assert "Registration accuracy" in page
    assert "cube" in page


def test_names_that_a_run_changes_and_pairs_that_fail_are_followed(data, tmp_path) -> None:
    listed = json.loads((data / "datalist.json").read_text())
    for entry in listed["test"]:
        entry["case"] = f"Case {entry['case']} a"  # no name of a folder
    flat = np.zeros((20, 22, 18), np.int16)
    write_nifti(data / "s2.nii.gz", flat, np.diag([2.0, 2.0, 2.0, 1.0]))
    (data / "datalist.json").write_text(json.dumps(listed))
    out = tmp_path / "out"
    assert evaluate(data, out) == 3
    cohort = json.loads((out / "results.json").read_text())["cohort"]
    assert (cohort["listed"], cohort["analysed"]) == (6, 2)
    assert all(case["reason"].startswith("failed: ") for case in cohort["without_result"])


def test_the_same_list_under_another_root_is_another_run(data, tmp_path, capsys) -> None:
    out, other = tmp_path / "out", tmp_path.parent / f"{tmp_path.name}_other"
    listed = f"datalist={data / 'datalist.json'}"
    assert evaluate(data, out, listed) == 0
    shutil.copytree(data, other, ignore=lambda *_: ["out"])
    assert evaluate(other, out, listed) == 2
    assert "another run" in capsys.readouterr().err


@pytest.mark.parametrize("lacking", ["label", "points"])
def test_pairs_that_nothing_can_score_are_told_before_they_are_registered(data, tmp_path, capsys, lacking) -> None:
    listed = json.loads((data / "datalist.json").read_text())
    if lacking == "label":
        del listed["test"][1]["label"]
    else:
        (data / "s1_seg.nii.gz").unlink()
    (data / "datalist.json").write_text(json.dumps(listed))
    assert evaluate(data, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "give both or none" in error if lacking == "label" else "s1_seg.nii.gz' does not exist" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "message"), [("fields=disp", "leaves out 'warp'"), ("most_pairs=0", "most_pairs must be at least 1")]
)
def test_options_that_cannot_be_scored_are_refused(data, tmp_path, capsys, option, message) -> None:
    assert evaluate(data, tmp_path / "out", option) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_pairs_whose_names_would_be_one_stay_apart(data) -> None:
    listed = json.loads((data / "datalist.json").read_text())
    for entry, case in zip(listed["test"], ("a", "a-b", "b"), strict=True):
        entry["case"] = case
    for name in ("", "_seg"):
        shutil.copy(data / f"s0{name}.nii.gz", data / f"s3{name}.nii.gz")
    files = {"image": "s3.nii.gz", "label": "s3_seg.nii.gz"}
    listed["test"].append({**listed["test"][0], "case": "b-b", "subject": "s3", **files})
    (data / "datalist.json").write_text(json.dumps(listed))
    rows = listed_pairs(data / "datalist.json", data, "test")  # a-b <- b, and a <- b-b
    assert len({row["case"] for row in rows}) == len(rows) == 12
    cases = listed_pair_cases(data / "datalist.json", data, "test")
    assert {case["status"] for case in cases} <= {"pending"}


def test_some_pairs_are_drawn_by_the_seed(data) -> None:
    drawn = [listed_pairs(data / "datalist.json", data, "test", most=3, seed=seed) for seed in (0, 0, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len({tuple(row["case"] for row in rows) for rows in drawn}) > 1
    assert all(len({row["case"] for row in rows}) == 3 for rows in drawn)
    assert len(listed_pair_cases(data / "datalist.json", data, "test", most=3)) == 3


def test_a_root_without_the_files_is_told_before_anything_is_written(data, tmp_path, capsys) -> None:
    (data / "s1.nii.gz").unlink()
    with pytest.raises(InputDataError, match=r"4 of 6 pairs .*s0-s1: moving 's1.nii.gz' does not exist"):
        listed_pair_cases(data / "datalist.json", data, "test")
    assert evaluate(data, tmp_path / "out") == 2
    assert "does not exist" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_section_without_pairs_is_named(data, tmp_path, capsys) -> None:
    assert evaluate(data, tmp_path / "out", "section=validation") == 2
    assert "section 'validation' has no pair" in capsys.readouterr().err
