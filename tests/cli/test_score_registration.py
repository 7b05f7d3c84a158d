"""medpipe score registration, from files to files."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medpipe.cli.main import invoke
from medpipe.io.displacements import field_to_learn2reg_npz, write_disp
from medpipe.predictions.tables import read_table

SHAPE = (16, 14, 12)
FEW = ["--bootstrap", "20"]


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([1.0, 1.0, 2.0, 1.0])), path)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Learn2Reg's layout: three scans, each shifted by one voxel more, and the pairs of the first with the others."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:8, 4:9, 3:8] = 1
    labels[8:11, 4:9, 3:8] = 2
    root = tmp_path / "data"
    for number in (1, 2, 3):
        moved = np.roll(labels, number - 1, axis=0)
        save(root / "labelsTr" / f"T_000{number}_0000.nii.gz", moved)
        save(root / "imagesTr" / f"T_000{number}_0000.nii.gz", moved * 50.0 + np.arange(12.0))
        points = root / "keypointsTr" / f"T_000{number}_0000.csv"
        points.parent.mkdir(exist_ok=True)
        points.write_text(f"{4 + number},6,5\n{6 + number},7,4\n")
    pairs = [{"fixed": "imagesTr/T_0001_0000.nii.gz", "moving": f"imagesTr/T_000{k}_0000.nii.gz"} for k in (2, 3)]
    (root / "T_dataset.json").write_text(json.dumps({"registration_val": pairs}))
    for name, factor in (("good", 1.0), ("none", 0.0)):
        (tmp_path / name).mkdir()
        for k in (2, 3):
            field = np.zeros((3, *SHAPE), np.float32)
            field[0] = factor * (k - 1)
            write_disp(tmp_path / name / f"disp_0001_000{k}.nii.gz", field, np.eye(4))
            (tmp_path / f"{name}_old").mkdir(exist_ok=True)
            np.savez(tmp_path / f"{name}_old" / f"disp_0001_000{k}.npz", field_to_learn2reg_npz(field))
    return root / "T_dataset.json"


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def after(folder: Path) -> dict:
    return {row["key"]: row["after"]["value"] for row in results(folder)["registration"]["measures"]}


@pytest.mark.parametrize("fields", ["good", "good_old"])
@pytest.mark.parametrize("protocol", ["medpipe", "rcn", "l2r"])
def test_a_learn2reg_submission_is_scored_by_every_protocol(dataset, tmp_path, fields, protocol) -> None:
    arguments = [
        "score",
        "registration",
        str(tmp_path / fields),
        str(dataset),
        "-o",
        str(tmp_path / "out"),
        "--protocol",
        protocol,
    ]
    assert invoke([*arguments, *FEW]) == 0
    found = after(tmp_path / "out")
    assert found["dice"] == pytest.approx(1)
    assert found["tre"] == pytest.approx(0, abs=2e-3)
    assert found["fold_pct"] == 0
    assert 'id="registration-pairs"' in (tmp_path / "out" / "report" / "index.html").read_text()


def test_a_baseline_is_compared_on_the_same_pairs(dataset, tmp_path, capsys) -> None:
    arguments = ["score", "registration", str(tmp_path / "good"), str(dataset), "--baseline", str(tmp_path / "none")]
    assert invoke([*arguments, "--labels", "1=anterior,2=posterior", "-o", str(tmp_path / "out"), *FEW]) == 0
    found = results(tmp_path / "out")["comparison"]
    assert (found["first"], found["second"], found["n"]) == ("good", "none", 2)
    assert found["figures"][0]["difference"]["value"] > 0.1
    assert "Dice: 1.000" in capsys.readouterr().err


def test_every_value_of_every_pair_and_structure_stands_in_a_table(dataset, tmp_path) -> None:
    arguments = [
        str(tmp_path / "good"),
        str(dataset),
        "--labels",
        "1=anterior,2=posterior",
        "-o",
        str(tmp_path / "out"),
    ]
    assert invoke(["score", "registration", *arguments, *FEW]) == 0
    rows = read_table(tmp_path / "out" / "pair_values.csv", ["pair", "structure", "measure", "before", "after"])
    values = {(row["pair"], row["structure"], row["measure"]): row for row in rows}
    row = values["0001_0003", "posterior", "dice"]
    stored = results(tmp_path / "out")["cases"][1]["structures"]["2"]
    assert (float(row["before"]), float(row["after"])) == (stored["before"]["dice"], stored["after"]["dice"])
    assert values["0001_0002", "", "fold_pct"]["before"] == ""
    assert len(values) == len(rows)


def test_the_report_is_made_again_with_its_pictures_from_the_folder(dataset, tmp_path) -> None:
    assert (
        invoke(["score", "registration", str(tmp_path / "good"), str(dataset), "-o", str(tmp_path / "out"), *FEW]) == 0
    )
    page = tmp_path / "out" / "report" / "index.html"
    first = page.read_bytes()
    page.unlink()
    assert invoke(["report", str(tmp_path / "out")]) == 0
    assert page.read_bytes() == first
    assert b"data:image/jpeg" in first


def test_two_results_of_registration_are_compared_from_their_files(dataset, tmp_path, capsys) -> None:
    for name in ("good", "none"):
        arguments = [str(tmp_path / name), str(dataset), "-o", str(tmp_path / f"out_{name}"), "--no-pictures"]
        assert invoke(["score", "registration", *arguments, *FEW]) == 0
    assert not (tmp_path / "out_good" / "pictures").exists()
    assert invoke(["report", str(tmp_path / "out_good"), "--compare", str(tmp_path / "out_none" / "results.json")]) == 0
    assert 'id="comparison"' in (tmp_path / "out_good" / "report" / "index.html").read_text()


def test_a_faulty_field_ends_with_a_request_error_and_nothing_written(dataset, tmp_path, capsys) -> None:
    write_disp(tmp_path / "good" / "disp_0001_0003.nii.gz", np.full((3, *SHAPE), np.nan, np.float32), np.eye(4))
    code = invoke(["score", "registration", str(tmp_path / "good"), str(dataset), "-o", str(tmp_path / "out"), *FEW])
    assert code == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "entry 2" in said
    assert "disp_0001_0003.nii.gz" in said
    assert "not finite" in said
    assert not (tmp_path / "out").exists()
