from __future__ import annotations

import json

import pydicom
import pytest

from medpipe.cli.main import invoke


def test_a_folder_is_deidentified_with_a_new_key_beside_the_output(write_dicom, ramp, tmp_path, capsys) -> None:
    write_dicom("in/Canary_Name.dcm", ramp)
    assert invoke(["deidentify", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    assert "1 files: 1 done, 0 held back, 0 skipped, 0 failed" in shown.err
    assert "Canary" not in shown.out + shown.err
    (file,) = (tmp_path / "out").rglob("*.dcm")
    assert pydicom.dcmread(file).PatientIdentityRemoved == "YES"
    assert (tmp_path / "out.key").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "out" / "out.key").exists()


def test_options_reach_the_files(write_dicom, ramp, tmp_path, capsys) -> None:
    path = write_dicom("in/a.dcm", ramp, StudyDate="20240501", SeriesDescription="Chest PA Dr. Canary")
    options = ["--retain-uids", "--shift-dates", "--clean-descriptors", "--key", str(tmp_path / "k"), "--json"]
    options += ["--linkage", str(tmp_path / "links.csv")]
    assert invoke(["deidentify", str(path), "-o", str(tmp_path / "out"), *options]) == 0
    assert json.loads(capsys.readouterr().out)["files"]["done"] == 1
    (file,) = (tmp_path / "out").rglob("*.dcm")
    after = pydicom.dcmread(file)
    assert after.SOPInstanceUID == pydicom.dcmread(path).SOPInstanceUID
    assert after.StudyDate < "20240501"
    assert after.SeriesDescription == "Chest PA"
    assert str(path) in (tmp_path / "links.csv").read_text()


def test_held_back_files_give_the_code_of_unfinished_ones(write_dicom, ramp, tmp_path) -> None:
    write_dicom("in/a.dcm", ramp)
    write_dicom("in/us.dcm", ramp, Modality="US")
    arguments = ["deidentify", str(tmp_path / "in"), "--key", str(tmp_path / "k"), "-o"]
    assert invoke([*arguments, str(tmp_path / "out")]) == 3
    assert invoke([*arguments, str(tmp_path / "all"), "--accept-burned-in"]) == 0
    assert (
        invoke(
            ["deidentify", str(tmp_path / "in" / "us.dcm"), "--key", str(tmp_path / "k"), "-o", str(tmp_path / "no")]
        )
        == 4
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/in", "-o", "{tmp}/in/out"], "lie in one another"),
        (["{tmp}/Canary", "-o", "{tmp}/out"], "input 1 does not exist"),
        (["{tmp}/in", "-o", "{tmp}/out", "--profile", "full"], "there is basic"),
        (["{tmp}/in", "-o", "{tmp}/out", "--key", "{tmp}/out/key"], "must not lie in the output folder"),
        (["{tmp}/in", "-o", "{tmp}/out", "--keep-private", "0018:X:01"], "GROUP:CREATOR:ELEMENT"),
        (["{tmp}/in", "-o", "{tmp}/out", "--linkage", "{tmp}/out/links.csv"], "keep it outside"),
    ],
)
def test_wrong_requests_touch_no_output(write_dicom, ramp, tmp_path, capsys, arguments, message) -> None:
    write_dicom("in/a.dcm", ramp)
    assert invoke(["deidentify", *(text.format(tmp=tmp_path) for text in arguments)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_has_an_example(capsys) -> None:
    assert invoke(["deidentify", "--help"]) == 0
    assert "medpipe deidentify export/" in capsys.readouterr().out
