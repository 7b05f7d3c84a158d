from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pydicom
import pytest

from medpipe.errors import CaseFailedError, InterruptedRunError, RequestError
from medpipe.io.deidentify.files import Settings, deidentify_bytes
from medpipe.io.deidentify.run import deidentify_folder
from medpipe.io.deidentify.table import Profile, action_rows

KEY = bytes(range(32))
PROFILES = {
    "basic": (Profile(), ()),
    "uids": (Profile(retain_uids=True), ("retain_uids",)),
    "dates": (Profile(modified_dates=True), ("modified_dates",)),
    "all": (
        Profile(retain_uids=True, modified_dates=True, clean_descriptors=True),
        ("clean_descriptors", "modified_dates", "retain_uids"),
    ),
}


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", PROFILES)
def test_every_listed_attribute_is_treated_as_the_table_says_and_nothing_planted_gets_out(planted, name) -> None:
    profile, options = PROFILES[name]
    judge, settings = planted.Judge(action_rows(), options), Settings(Path("unused"), profile, KEY)
    for instance in range(40):
        dataset = planted.identified(instance, action_rows())
        content = planted.as_file(dataset, implicit=instance % 2 == 1)
        assert planted.canaries(content)
        output, written, _ = deidentify_bytes(content, settings)
        assert planted.canaries(written + output.encode(), uids=not profile.retain_uids) == []
        after = pydicom.dcmread(io.BytesIO(written))
        judge.compare(pydicom.dcmread(io.BytesIO(content)), after)
        assert after.PatientIdentityRemoved == "YES"
        assert after.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
        assert written[:128] == bytes(128)
    assert judge.wrong == {}
    assert len(judge.positions) > 1000
    assert {len(new) for new in judge.uids.values()} <= {1}
    assert {len(days) for days in judge.shifts.values()} <= {1}


def test_what_the_table_does_not_list_stays_as_it_is(planted) -> None:
    content = planted.as_file(planted.identified(3, action_rows()))
    before = pydicom.dcmread(io.BytesIO(content))
    after = pydicom.dcmread(io.BytesIO(deidentify_bytes(content, Settings(Path("x"), Profile(), KEY))[1]))
    kept = "Modality Manufacturer KVP SliceThickness ImagePositionPatient PixelSpacing Rows ImageType ScanningSequence"
    kept += " SequenceVariant BodyPartExamined"
    for name in kept.split():
        assert after.get(name) == before.get(name)
    assert after.PixelData == before.PixelData


def test_a_folder_becomes_files_under_pseudonyms_with_a_row_for_each(planted, tmp_path, caplog, capfd) -> None:
    planted.write_all(tmp_path / "in", 20, action_rows())
    (tmp_path / "in" / "Canarius_notes.txt").write_text("Vogelsang")
    ultrasound = planted.identified(99, action_rows())
    ultrasound.Modality, ultrasound.BurnedInAnnotation = "US", None
    (tmp_path / "in" / "Vogelsang_us.dcm").write_bytes(planted.as_file(ultrasound))
    (tmp_path / "in" / "Vogelsang_half.dcm").write_bytes(planted.as_file(planted.identified(98, action_rows()))[:-40])
    counts = deidentify_folder(
        [tmp_path / "in"], tmp_path / "out", profile=Profile(), key=KEY, linkage=tmp_path / "links.csv"
    )
    assert counts == {"done": 20, "held back": 1, "skipped": 1, "failed": 1}
    shown = capfd.readouterr()
    for path in (tmp_path / "out").rglob("*"):
        assert planted.canaries(str(path.relative_to(tmp_path)).encode()) == []
        assert not path.is_file() or planted.canaries(path.read_bytes()) == []
    assert planted.canaries((shown.out + shown.err + caplog.text).encode()) == []
    with (tmp_path / "out" / "deidentification.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 23
    assert [row["status"] for row in rows].count("done") == 20
    assert all((tmp_path / "out" / row["output"]).is_file() for row in rows if row["status"] == "done")
    assert "modality US without BurnedInAnnotation" in next(r["reason"] for r in rows if r["status"] == "held back")
    assert "cut short" in next(r["reason"] for r in rows if r["status"] == "failed")
    assert (tmp_path / "links.csv").stat().st_mode & 0o777 == 0o600
    assert "Vogelsang_us.dcm" in (tmp_path / "links.csv").read_text()


def test_a_stopped_run_is_finished_with_the_same_bytes_and_processes_change_nothing(planted, tmp_path) -> None:
    planted.write_all(tmp_path / "in", 8, action_rows())
    deidentify_folder([tmp_path / "in"], tmp_path / "a", profile=Profile(), key=KEY)
    deidentify_folder([tmp_path / "in"], tmp_path / "b", profile=Profile(), key=KEY, workers=2)
    whole = tree(tmp_path / "a")
    assert tree(tmp_path / "b") == whole
    for name in list(whole)[3:]:
        (tmp_path / "a" / name).unlink()  # as a run leaves it that was stopped before its table
    if not (tmp_path / "a" / "deidentification.json").exists():
        (tmp_path / "a" / "deidentification.json").write_bytes((tmp_path / "b" / "deidentification.json").read_bytes())
    deidentify_folder([tmp_path / "in"], tmp_path / "a", profile=Profile(), key=KEY)
    assert tree(tmp_path / "a") == whole


def test_after_a_kill_at_any_instant_the_same_call_gives_the_same_files(planted, tmp_path) -> None:
    planted.write_all(tmp_path / "in", 12, action_rows())
    (tmp_path / "key").write_text(KEY.hex() + "\n")
    (tmp_path / "key").chmod(0o600)

    def command(output: str) -> list[str]:
        options = ["--key", str(tmp_path / "key"), "--workers", "2"]
        return [sys.executable, "-m", "medpipe.cli.main", "deidentify", str(tmp_path / "in"), "-o", output, *options]

    deidentify_folder([tmp_path / "in"], tmp_path / "whole", profile=Profile(), key=KEY)
    running = subprocess.Popen(command(str(tmp_path / "out")), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out/*/*/*/*.dcm")) and time.monotonic() < deadline:
        time.sleep(0.005)
    running.kill()
    running.wait()
    (tmp_path / "out" / ".x.dcm.abc.part").write_bytes(b"half")
    subprocess.run(command(str(tmp_path / "out")), check=True, capture_output=True)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_a_full_disk_stops_the_run_and_fails_no_file(planted, tmp_path, monkeypatch) -> None:
    planted.write_all(tmp_path / "in", 3, action_rows())

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("medpipe.io.deidentify.files.write_bytes", full)
    with pytest.raises(InterruptedRunError, match=r"\(No space left on device\); when that is mended") as caught:
        deidentify_folder([tmp_path / "in"], tmp_path / "out", profile=Profile(), key=KEY)
    assert not planted.canaries(str(caught.value).encode())
    monkeypatch.undo()
    assert deidentify_folder([tmp_path / "in"], tmp_path / "out", profile=Profile(), key=KEY)["done"] == 3


def test_of_two_files_with_one_instance_uid_the_first_stays_and_an_equal_one_is_done(planted, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    for name, pixel in (("a", 0), ("b", 1), ("c", 0)):
        dataset = planted.identified(5, action_rows())
        dataset.PixelData = bytes([pixel]) * 128
        (tmp_path / "in" / name).write_bytes(planted.as_file(dataset))
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        counts = deidentify_folder([tmp_path / "in"], out, profile=Profile(), key=KEY, workers=workers)
        assert counts == {"done": 2, "held back": 0, "skipped": 0, "failed": 1}
        (file,) = out.rglob("*.dcm")
        assert pydicom.dcmread(file).PixelData == bytes(128)


def test_the_key_links_runs_and_without_it_nothing_agrees(planted, tmp_path) -> None:
    planted.write_all(tmp_path / "in", 2, action_rows())
    for name, key in (("a", KEY), ("b", KEY), ("c", bytes(32))):
        deidentify_folder([tmp_path / "in"], tmp_path / name, profile=Profile(), key=key)
    names = {name: {p.name for p in (tmp_path / name).rglob("*.dcm")} for name in "abc"}
    assert names["a"] == names["b"]
    assert not names["a"] & names["c"]


@pytest.mark.parametrize("output", ["in", "in/out", "."])
def test_the_output_must_not_lie_in_the_input_nor_around_it(planted, tmp_path, output) -> None:
    planted.write_all(tmp_path / "in", 1, action_rows())
    before = tree(tmp_path)
    with pytest.raises(RequestError, match="lie in one another"):
        deidentify_folder([tmp_path / "in"], tmp_path / output, profile=Profile(), key=KEY)
    assert tree(tmp_path) == before


def test_a_folder_of_another_run_or_of_anything_else_is_refused(planted, tmp_path) -> None:
    planted.write_all(tmp_path / "in", 1, action_rows())
    deidentify_folder([tmp_path / "in"], tmp_path / "out", profile=Profile(), key=KEY)
    with pytest.raises(RequestError, match="another key_fingerprint"):
        deidentify_folder([tmp_path / "in"], tmp_path / "out", profile=Profile(), key=bytes(32))
    with pytest.raises(RequestError, match="another retain_uids"):
        deidentify_folder([tmp_path / "in"], tmp_path / "out", profile=Profile(retain_uids=True), key=KEY)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(RequestError, match="not empty"):
        deidentify_folder([tmp_path / "in"], tmp_path / "full", profile=Profile(), key=KEY)
    assert json.loads((tmp_path / "out" / "deidentification.json").read_text())["edition"] == "2026c"


@pytest.mark.shared_data
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_real_files_of_many_makers_end_with_a_reason_or_without_a_name(shared_data, tmp_path) -> None:
    root = shared_data / "dicom_misc"
    counts = deidentify_folder(
        [root], tmp_path / "out", profile=Profile(), key=KEY, accept_burned_in=True, linkage=tmp_path / "links.csv"
    )
    assert sum(counts.values()) == sum(path.is_file() for path in root.rglob("*"))
    assert counts["done"] > 100
    with (tmp_path / "links.csv").open() as stream:
        pairs = [(row["input"], tmp_path / "out" / row["output"]) for row in csv.DictReader(stream) if row["output"]]
    for source, target in pairs:
        before, after = pydicom.dcmread(source, force=True), pydicom.dcmread(target)
        name = before.get_item("PatientName")
        patient = bytes(name.value or b"").strip() if name is not None else b""
        assert before.get("PatientID") != after.PatientID
        assert before.SOPInstanceUID != after.SOPInstanceUID
        assert len(patient) < 6 or patient not in target.read_bytes()
        assert not [element for element in after.iterall() if element.tag.is_private]
        if before.get("PixelData") and not before.file_meta.get("TransferSyntaxUID", "").startswith(
            "1.2.840.10008.1.2.4"
        ):
            size = len(before.PixelData) - 1  # the last byte may be padding, of any value
            assert len(after.PixelData) > size
            assert after.PixelData[:size] == before.PixelData[:size]


def test_a_deflated_bomb_is_refused_within_its_bound(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("medpipe.io.dicom_file.MAX_INFLATED_BYTES", 1 << 16)
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    dataset.PixelData = bytes(1 << 20)
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    with pytest.raises(CaseFailedError, match="inflates"):
        deidentify_bytes(stream.getvalue(), Settings(tmp_path, Profile(), KEY))


def test_the_linkage_table_is_for_its_owner_alone_and_its_folder_must_be_there(tmp_path) -> None:
    source, links = tmp_path / "in", tmp_path / "links.csv"
    source.mkdir()
    (source / "a.txt").write_text("x")
    links.touch(mode=0o644)
    options = {"profile": Profile(), "key": KEY}
    deidentify_folder([source], tmp_path / "out", linkage=links, **options)
    assert links.stat().st_mode & 0o777 == 0o600
    with pytest.raises(RequestError, match="linkage"):
        deidentify_folder([source], tmp_path / "other", linkage=tmp_path / "none" / "links.csv", **options)
    assert not (tmp_path / "other").exists()
