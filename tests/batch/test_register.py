"""A run takes up a folder in which files came, went and changed."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from medpipe.batch.register import recognise, register
from medpipe.io.cases import find_radiographs
from medpipe.predictions.fingerprints import digest_of, without_place
from medpipe.predictions.journal import CaseResult
from medpipe.predictions.run_folder import RunFolder


@pytest.fixture
def inputs(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def folder(tmp_path, inputs):
    run = RunFolder(tmp_path / "out", bundle="b", inputs=inputs)
    run.start()
    yield run
    run.close()


def picture(path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (70, 70), np.uint8)).save(path)


def names(cases) -> dict[str, str]:
    return {case["file"]: case["case"] for case in cases}


def do(folder: RunFolder, case: dict, status: str = "done") -> None:
    with (folder.case_folder(case["case"]) / "marks.png").open("wb") as stream:
        stream.write(b"picture of " + case["case"].encode())
    digest = digest_of(case["image"]) if status == "done" else ""
    folder.record(CaseResult(case["case"], status, facts={"patient": case["patient"]}, input_sha256=digest))


def test_a_first_search_is_taken_as_it_is(inputs, folder) -> None:
    for number, name in enumerate(("b.png", "a/b.png", "notes.txt")):
        picture(inputs / name, number) if name.endswith("png") else (inputs / name).write_text("x")
    found = find_radiographs(inputs)
    assert register(folder, found) == found
    assert folder.journal.names() == set()
    assert [item.case for item in folder.journal.found()] == [without_place(case) for case in found]


def test_cases_with_a_result_are_not_done_again(inputs, folder) -> None:
    for number in range(3):
        picture(inputs / f"{number}.png", number)
    found = find_radiographs(inputs)
    register(folder, found)
    do(folder, found[1])
    assert names(register(folder, find_radiographs(inputs))) == {"0.png": "0", "2.png": "2"}


def test_new_files_are_added_and_known_ones_keep_their_names_and_patients(inputs, folder) -> None:
    picture(inputs / "m/a.png", 0)
    picture(inputs / "n/a.png", 1)
    before = register(folder, find_radiographs(inputs))
    assert names(before) == {"m/a.png": "a", "n/a.png": "a_2"}
    for case in before:
        do(folder, case)
    picture(inputs / "b/a.png", 2)  # first in the order of the search
    new = register(folder, find_radiographs(inputs))
    assert names(new) == {"b/a.png": "a_3"}
    assert [case["patient"] for case in before] == ["P00001", "P00002"]
    assert new[0]["patient"] == "P00003"
    folder.record(CaseResult(new[0]["case"], "done"))
    assert folder.finish() == {"done": 3, "skipped": 0, "failed": 0}


def test_a_new_image_of_a_known_patient_has_that_patients_number(write_dicom, ramp, inputs, folder) -> None:
    write_dicom("in/x.dcm", ramp, PatientID="X")
    write_dicom("in/y.dcm", ramp, PatientID="Y", SOPInstanceUID="1.2.3")
    first = {case["file"]: case["patient"] for case in register(folder, find_radiographs(inputs))}
    assert first == {"x.dcm": "P00001", "y.dcm": "P00002"}
    write_dicom("in/a.dcm", ramp, PatientID="Y", SOPInstanceUID="1.2.4")
    write_dicom("in/b.dcm", ramp, PatientID="Z", SOPInstanceUID="1.2.5")
    second = {case["file"]: case["patient"] for case in register(folder, find_radiographs(inputs))}
    assert second == {"a.dcm": "P00002", "b.dcm": "P00003", "x.dcm": "P00001", "y.dcm": "P00002"}


def test_a_copy_that_sorts_before_its_original_does_not_take_its_place(write_dicom, ramp, inputs, folder) -> None:
    original = write_dicom("in/m.dcm", ramp)
    (case,) = register(folder, find_radiographs(inputs))
    do(folder, case)
    (inputs / "a.dcm").write_bytes(original.read_bytes())
    (copy,) = register(folder, find_radiographs(inputs))
    assert (copy["file"], copy["status"]) == ("a.dcm", "skipped")
    assert copy["reason"] == "the same file as 'm.dcm' (same bytes)"
    assert case["case"] in folder.journal.names()


def test_a_file_with_other_content_is_done_again_and_its_old_result_goes(inputs, folder) -> None:
    picture(inputs / "a.png", 0)
    (case,) = register(folder, find_radiographs(inputs))
    do(folder, case)
    picture(inputs / "a.png", 1)
    assert names(register(folder, find_radiographs(inputs))) == {"a.png": "a"}
    assert folder.journal.names() == set()
    assert not (folder.path / "cases" / "a").exists()


def test_a_file_that_was_only_touched_is_not_done_again(inputs, folder) -> None:
    picture(inputs / "a.png", 0)
    (case,) = register(folder, find_radiographs(inputs))
    do(folder, case)
    os.utime(inputs / "a.png", (1, 1))
    assert register(folder, find_radiographs(inputs)) == []
    assert register(folder, find_radiographs(inputs)) == []


def test_a_file_that_is_gone_keeps_its_result_or_fails(inputs, folder) -> None:
    for number in range(3):
        picture(inputs / f"{number}.png", number)
    found = register(folder, find_radiographs(inputs))
    do(folder, found[0])
    (inputs / "0.png").unlink()
    (inputs / "1.png").unlink()
    to_do = {case["file"]: (case["status"], case["reason"]) for case in register(folder, find_radiographs(inputs))}
    assert to_do == {"2.png": ("pending", ""), "1.png": ("failed", "was gone before it was read")}
    assert folder.journal.names() == {"0"}


def test_failed_cases_are_done_again_when_asked_for(inputs, folder) -> None:
    for number in range(3):
        picture(inputs / f"{number}.png", number)
    for case, status in zip(register(folder, find_radiographs(inputs)), ("done", "failed", "skipped"), strict=True):
        do(folder, case, status)
    assert register(folder, find_radiographs(inputs)) == []
    assert names(register(folder, find_radiographs(inputs), retry_failed=True)) == {"1.png": "1"}
    folder.record(CaseResult("1", "done"))
    assert {result.case: result.attempts for result in folder.journal.results()} == {"0": 1, "1": 2, "2": 1}


def test_a_search_without_patients_is_left_without() -> None:
    known = [{"case": "a", "file": "a"}]
    assert recognise([{"case": "a", "file": "b"}], known) == [{"case": "a_2", "file": "b"}]
