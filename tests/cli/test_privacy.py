"""No name, id or birth date of a patient leaves a command, wherever in the input it stands: headers, folders, file names."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from medpipe.cli.main import invoke

NAME = "cxr_pneumothorax_acm"
SMALL = ["image_size=64", "picture_size=96"]
CANARIES = [
    *("zqfamily", "zqgiven", "zqid77889", "zqother55", "zqbirthname", "zqsecond", "zq-second-42", "zqdirectory"),
    *("19440229", "1944-02-29", "29.02.1944", "29021944", "290244", "19510703"),
]
FIRST = {
    "PatientName": "Zqfamily^Zqgiven^M",
    "PatientID": "ZQID77889",
    "PatientBirthDate": "19440229",
    "OtherPatientIDs": "ZQOTHER55",
    "PatientBirthName": "Zqbirthname",
}
SECOND = {"PatientName": "Zqsecond", "PatientID": "ZQ-SECOND-42", "PatientBirthDate": "19510703"}


def write(path: Path, seed: int, /, **elements: object) -> Path:
    """A small radiograph of the first patient."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", generate_uid(entropy_srcs=[str(seed)])
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (generate_uid(entropy_srcs=[f"{seed} {n}"]) for n in "ab")
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "CR", "CHEST", "PA"
    dataset.PatientSex, dataset.PatientAge, dataset.Manufacturer = "F", "079Y", "Maker"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 96, 80, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = np.random.default_rng(seed).integers(0, 255, (96, 80), np.uint8).tobytes()
    for name, value in {**FIRST, **elements}.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # values that are none of their kind are meant
            setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("in") / "ZQFAMILY_export"
    patient = root / "Zqfamily^Zqgiven" / "ZQID77889"
    good = write(patient / "19440229_chest.dcm", 1)
    shutil.copy(good, patient / "ZQOTHER55_copy.dcm")
    write(patient / "other_content.dcm", 99, SOPInstanceUID=pydicom.dcmread(good).SOPInstanceUID)
    write(root / "born 1944-02-29" / "29.02.1944.dcm", 2, Modality="MR")
    write(root / "zqgiven.zqfamily.dcm", 3, SOPInstanceUID="Zqfamily.Zqgiven", StudyInstanceUID="1.2.3")
    write(root / "ZQID77889.dcm", 4, SOPInstanceUID="")
    terms = {"Modality": "ZQFAMILY", "BodyPartExamined": "ZQGIVEN", "ViewPosition": "ZQID77889"}
    write(root / "terms.dcm", 5, **terms)
    write(root / "view.dcm", 6, ViewPosition="ZQGIVEN LATERAL", Manufacturer="Zqfamily & Sons")
    write(root / "body.dcm", 7, BodyPartExamined="ZQFAMILY", PatientSex="ZQGIVEN", PatientAge="19440229")
    write(root / "facts.dcm", 8, PatientSex="ZQGIVEN", PatientAge="ZQF", Manufacturer="zqfamily")
    whole = write(root / "whole.dcm", 9, **SECOND, PhotometricInterpretation="ZQSECOND")
    content = whole.read_bytes()
    (root / "Zqsecond_cut.dcm").write_bytes(content[:-3000])
    (root / "ZQ-SECOND-42 header.dcm").write_bytes(content[: content.index(b"19510703") + 40])
    syntax = content.replace(b"1.2.840.10008.1.2.1\0", b"ZQSECOND.ZQSECOND.1\0")
    (root / "syntax.dcm").write_bytes(syntax)
    (root / "number.dcm").write_bytes(content.replace(b"US\x02\x00\x60\x00", b"LO\x02\x00ZQ"))
    picture = np.random.default_rng(0).integers(0, 255, (96, 80), np.uint8)
    Image.fromarray(picture).save(root / "ZQID77889.png")
    (root / "zqgiven damaged.png").write_bytes((root / "ZQID77889.png").read_bytes()[:2000])
    (root / "Zqsecond.nii.gz").write_bytes(gzip.compress(b"ZQSECOND" * 100))
    (root / "notes.zqfamily").write_text("Zqfamily")
    (root / "zqgiven_gone.dcm").symlink_to(root / "Zqfamily" / "nowhere.dcm")
    with zipfile.ZipFile(root / "ZQOTHER55.zip", "w") as archive:
        archive.write(write(root.parent / "member.dcm", 10), "ZQFAMILY/ZQID77889/IM1.dcm")
        archive.writestr("29021944.txt", "text")
    with zipfile.ZipFile(root / "refused.zip", "w") as archive:
        archive.writestr("../zqbirthname.dcm", "x")
    _write_index(root / "disc" / "DICOMDIR")
    return root


def _write_index(path: Path) -> None:
    path.parent.mkdir()
    index = Dataset()
    index.DirectoryRecordSequence = [Dataset(), Dataset()]
    patient, image = index.DirectoryRecordSequence
    patient.DirectoryRecordType, patient.PatientName = "PATIENT", "Zqdirectory"
    image.DirectoryRecordType, image.ReferencedFileID = "IMAGE", ["ZQDIRECTORY", "IM1"]
    index.file_meta = FileMetaDataset()
    index.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    index.file_meta.MediaStorageSOPClassUID, index.file_meta.MediaStorageSOPInstanceUID = "1.2.840.10008.1.3.10", "1.2"
    index.save_as(path, enforce_file_format=True)


def canaries_in(folder: Path) -> list[str]:
    """Every canary in the names and bytes of a folder's files, but for what identifies on purpose."""
    hits = []
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        text = path.name.encode().lower() + b"\0" + content.lower()
        hits += [f"{path.relative_to(folder)}: {canary}" for canary in CANARIES if canary.encode() in text]
    return hits


def said(capfd) -> list[str]:
    out, err = capfd.readouterr()
    return [line for line in (out + err).splitlines() if any(canary in line.lower() for canary in CANARIES)]


def infer(study: Path, out: Path, *more: str) -> int:
    return invoke(["infer", NAME, str(study), *SMALL, "-o", str(out), *more])


@pytest.fixture(scope="module")
def whole(study, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["medpipe", "infer", NAME, str(study), "-o", str(out)])
        assert infer(study, out, "--workers", "1") == 3
    return out


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "cases.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_search_finds_canaries_where_there_are_some(study) -> None:
    assert {hit.rsplit(": ", 1)[1] for hit in canaries_in(study.parent)} >= set(CANARIES) - {"290244"}


def test_a_run_and_its_report_name_no_patient(study, whole, capfd) -> None:
    assert invoke(["report", str(whole)]) == 0
    assert canaries_in(whole) == []
    assert said(capfd) == []
    assert sum(row["status"] == "done" for row in rows(whole)) >= 6
    run = json.loads((whole / "run.json").read_text())
    assert run["inputs"][0].endswith("/***_export")
    assert run["command"][-3].endswith("/***_export")


def test_every_file_keeps_a_row_of_its_own(study, whole) -> None:
    found = [row["case"] for row in rows(whole)]
    assert len(found) == len(set(found)) == len(list(study.rglob("*.*"))) + len(["DICOMDIR", "member", "IM1"])
    assert {row["file"] for row in rows(whole)} >= {"***/***/***_chest.dcm", "***.zip!/***/***/IM1.dcm"}


def test_a_run_says_nothing_of_patients_while_it_runs(study, tmp_path, capfd) -> None:
    assert infer(study, tmp_path / "out", "--workers", "0", "--limit", "3") in (0, 3)
    assert infer(study, tmp_path / "out", "--dry-run") == 0
    assert said(capfd) == []
    assert canaries_in(tmp_path) == []


def test_a_run_that_is_taken_up_again_ends_with_the_same_files(study, whole, tmp_path) -> None:
    for _ in range(2):
        infer(study, tmp_path / "out", "--workers", "0", "--limit", "4")
    assert infer(study, tmp_path / "out", "--workers", "0") == 3
    for name in ("cases.csv", "marks.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (whole / name).read_bytes()
    names = sorted(path.relative_to(whole) for path in (whole / "cases").rglob("*"))
    assert names == sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out" / "cases").rglob("*"))


def test_a_name_that_comes_later_is_hidden_in_what_was_written_before(study, tmp_path) -> None:
    folder = tmp_path / "in"
    (folder / "zqsecond").mkdir(parents=True)
    shutil.copy(study / "ZQID77889.png", folder / "zqsecond" / "a.png")
    (folder / "zqsecond" / "b.txt").write_text("x")
    assert infer(folder, tmp_path / "out", "--workers", "0") == 0
    assert canaries_in(tmp_path / "out") != []
    shutil.copy(study / "whole.dcm", folder)
    assert infer(folder, tmp_path / "out", "--workers", "0") in (0, 3)
    assert canaries_in(tmp_path / "out") == []


def test_a_watched_folder_names_no_patient(study, tmp_path, capfd) -> None:
    folder = tmp_path / "Zqfamily" / "in"
    shutil.copytree(study / "Zqfamily^Zqgiven", folder / "Zqfamily^Zqgiven")
    watching = ["--watch", str(folder), "--watch-idle", "0.5", "watch_settle=0.1", "--workers", "0"]
    assert invoke(["infer", NAME, *SMALL, *watching, "-o", str(tmp_path / "out")]) == 0
    assert said(capfd) == []
    assert canaries_in(tmp_path / "out") == []
    assert {row["status"] for row in rows(tmp_path / "out")} == {"done", "skipped"}


def test_identified_leaves_paths_as_they_are(study, tmp_path, capfd) -> None:
    assert infer(study, tmp_path / "out", "--workers", "0", "--identified", "--limit", "1") in (0, 3, 4)
    assert "Zqfamily^Zqgiven/ZQID77889/19440229_chest.dcm" in {row["file"] for row in rows(tmp_path / "out")}
    capfd.readouterr()
    assert infer(study, tmp_path / "out", "--workers", "0") == 2
    assert "other identified" in capfd.readouterr().err
    assert invoke(["inspect", str(study), "--identified", "--json"]) == 0
    assert "ZQID77889" in capfd.readouterr().out


@pytest.mark.parametrize("arguments", [["inspect"], ["inspect", "--json"]])
def test_an_inventory_names_no_patient(study, capfd, arguments) -> None:
    assert invoke([arguments[0], str(study), *arguments[1:]]) == 0
    assert said(capfd) == []


@pytest.mark.parametrize("policy", ["strict", "warn"])
def test_a_conversion_names_no_patient(study, tmp_path, capfd, policy) -> None:
    assert invoke(["convert", str(study), "-o", str(tmp_path / "out"), "--policy", policy]) in (3, 4)
    assert said(capfd) == []
    assert canaries_in(tmp_path) == []


def test_an_evaluation_names_no_patient(study, tmp_path, capfd) -> None:
    root, entries = tmp_path / "of Zqgiven", []
    for number in range(6):
        path = write(root / "ZQFAMILY" / f"19440229_{number}.dcm", number + 20)
        entry = {"image": str(path.relative_to(root)), "case": f"c{number}", "patient": f"ZQID77889-{number}"}
        truth = {"label": 1, "boxes": [[10, 10, 20, 20]]} if number % 2 else {"label": 0, "rle": []}
        entries.append({**entry, **truth, "localized": True, "rows": 96, "columns": 80})
    head = {"name": "toy", "description": "six images", "generated": True, "split": "by hand"}
    parts = {"training": [], "validation": [], "test": entries}
    listed = {**head, "labels": {"0": "none", "1": "pneumothorax"}, "tensorImageSize": "2D", **parts}
    (root / "list.json").write_text(json.dumps(listed))
    given = [f"dataset_dir={root}", f"datalist={root / 'list.json'}", "bootstrap=50", *SMALL]
    assert invoke(["evaluate", NAME, *given, "-o", str(tmp_path / "out"), "--workers", "0"]) == 0
    assert said(capfd) == []
    assert canaries_in(tmp_path / "out") == []
