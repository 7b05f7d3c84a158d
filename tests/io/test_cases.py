from __future__ import annotations

import inspect
import os
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medpipe.errors import RequestError
from medpipe.io.cases import RadiographRules, find_radiographs
from medpipe.io.privacy import PatientWords
from medpipe.io.search import search
from medpipe.io.sources import Source, zip_members


def by_file(paths, rules=None) -> dict[str, dict]:
    return {case["file"]: case for case in find_radiographs(paths, rules)}


def test_every_file_of_a_folder_becomes_one_case(write_dicom, ramp, tmp_path) -> None:
    write_dicom("export/p1/a.dcm", ramp)
    write_dicom("export/p2/no_suffix", ramp)
    (tmp_path / "export/notes.txt").write_text("hello")
    (tmp_path / "export/empty.dcm").write_bytes(b"")
    cases = by_file(tmp_path / "export")
    assert {name: case["status"] for name, case in cases.items()} == {
        "p1/a.dcm": "pending",
        "p2/no_suffix": "pending",
        "notes.txt": "skipped",
        "empty.dcm": "failed",
    }
    assert "0 bytes" in cases["empty.dcm"]["reason"]
    assert "file type '.txt'" in cases["notes.txt"]["reason"]


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Modality": "CT"}, "modality CT; this bundle reads CR, DX, RG"),
        ({"Modality": None}, "modality not given"),
        ({"ViewPosition": "LL"}, "view LL; this bundle reads frontal views"),
        ({"ViewPosition": "LATERAL"}, "view LATERAL"),
        ({"ViewPosition": None, "PatientOrientation": ["A", "F"]}, "view LATERAL"),
        ({"BodyPartExamined": "KNEE"}, "body part KNEE"),
        ({"PixelData": None}, "no pixel data"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "colour"),
        ({"NumberOfFrames": 4}, "4 frames"),
        ({"Rows": 20}, "20 x 80 pixels"),
    ],
)
def test_what_is_no_image_for_the_bundle_is_skipped_with_the_reason(write_dicom, ramp, elements, reason) -> None:
    (case,) = find_radiographs(write_dicom("a.dcm", ramp, **elements))
    assert case["status"] == "skipped"
    assert reason in case["reason"]


@pytest.mark.parametrize("view", ["PA", "AP", "", "LLD"])
def test_frontal_unnamed_and_decubitus_views_are_read(write_dicom, ramp, view) -> None:
    (case,) = find_radiographs(write_dicom("a.dcm", ramp, ViewPosition=view))
    assert case["status"] == "pending"


def test_frames_can_be_split_into_cases_of_their_own(write_dicom, ramp) -> None:
    path = write_dicom("cine.dcm", np.stack([ramp, ramp[::-1]]))
    cases = find_radiographs(path, RadiographRules(split_frames=True))
    assert [case["image"] for case in cases] == [f"{path}#frame=0", f"{path}#frame=1"]
    assert [case["case"][-10:] for case in cases] == ["_frame0000", "_frame0001"]


def test_a_second_copy_is_skipped_and_another_image_of_the_same_uid_is_kept(write_dicom, ramp, tmp_path) -> None:
    first = write_dicom("in/a.dcm", ramp, SOPInstanceUID="1.2.3")
    (tmp_path / "in/b.dcm").write_bytes(first.read_bytes())
    write_dicom("in/c.dcm", ramp[::-1].copy(), SOPInstanceUID="1.2.3")
    cases = by_file(tmp_path / "in")
    assert cases["b.dcm"]["status"] == "skipped"
    assert "the same file as 'a.dcm'" in cases["b.dcm"]["reason"]
    assert cases["c.dcm"]["status"] == "pending"
    assert "same SOPInstanceUID as 'a.dcm'" in cases["c.dcm"]["reason"]
    assert len({case["case"] for case in cases.values()}) == 3


def test_patients_are_numbered_and_neither_name_nor_id_leaves_the_file(write_dicom, ramp, tmp_path) -> None:
    for name, patient in (("a", "secret-1"), ("b", "secret-1"), ("c", "secret-2"), ("d", "")):
        write_dicom(f"in/{name}.dcm", ramp, PatientID=patient)
    cases = by_file(tmp_path / "in")
    assert [cases[f"{name}.dcm"]["patient"] for name in "abcd"] == ["P00001", "P00001", "P00002", "P00003"]
    assert "secret" not in repr(cases)
    assert "Canary" not in repr(cases)


def test_pictures_of_one_name_in_two_folders_keep_two_case_names(tmp_path, ramp) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        Image.fromarray((ramp >> 4).astype(np.uint8)).save(tmp_path / folder / "IM1.png")
    assert [case["case"] for case in find_radiographs([tmp_path / "x", tmp_path / "y"])] == ["IM1", "IM1_2"]


def test_files_inside_a_zip_archive_are_cases_and_nothing_is_unpacked(write_dicom, ramp, tmp_path) -> None:
    path = write_dicom("a.dcm", ramp)
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.write(path, "study/a.dcm")
        archive.writestr("study/readme.txt", "hello")
    before = sorted(tmp_path.rglob("*"))
    cases = by_file(tmp_path / "export.zip")
    assert cases["export.zip!/study/a.dcm"]["status"] == "pending"
    assert cases["export.zip!/study/readme.txt"]["status"] == "skipped"
    assert sorted(tmp_path.rglob("*")) == before
    from medpipe.io.radiograph import read_radiograph

    inside = read_radiograph(cases["export.zip!/study/a.dcm"]["image"])
    np.testing.assert_array_equal(inside.pixels, read_radiograph(str(path)).pixels)


@pytest.mark.parametrize("name", ["../evil.dcm", "/evil.dcm", "a/../../evil.dcm", "C:\\evil.dcm", "a\\..\\..\\evil"])
def test_an_archive_with_a_path_outside_itself_is_refused_whole(tmp_path, name) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("fine.dcm", "x")
        archive.writestr(name, "x")
    (case,) = find_radiographs(tmp_path / "bad.zip")
    assert case["status"] == "failed"
    assert "points outside the archive" in case["reason"]


def test_a_link_and_a_bomb_in_an_archive_are_refused(tmp_path) -> None:
    from medpipe.errors import CaseFailedError

    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(CaseFailedError, match="symbolic link"):
        zip_members(tmp_path / "link.zip")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big", bytes(30_000_000))
    with pytest.raises(CaseFailedError, match="declares 30,000,000 bytes"):
        zip_members(tmp_path / "bomb.zip")


def test_a_file_that_only_claims_to_be_a_zip_is_one_failed_case(tmp_path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 nothing")
    (case,) = find_radiographs(tmp_path / "x.zip")
    assert case["status"] == "failed"
    assert "not a readable zip archive" in case["reason"]


def test_a_dicomdir_leads_to_its_files_and_reports_the_missing_and_the_outside_ones(
    write_dicom, ramp, tmp_path
) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    write_dicom("disc/IMAGES/A", ramp)
    index = Dataset()
    records = []
    for parts in (["IMAGES", "A"], ["IMAGES", "GONE"], ["..", "..", "etc"]):
        record = Dataset()
        record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", parts
        records.append(record)
    index.DirectoryRecordSequence = records
    index.file_meta = FileMetaDataset()
    index.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    index.file_meta.MediaStorageSOPClassUID, index.file_meta.MediaStorageSOPInstanceUID = "1.2.840.10008.1.3.10", "1.2"
    index.save_as(tmp_path / "disc/DICOMDIR", enforce_file_format=True)
    for given in (tmp_path / "disc", tmp_path / "disc" / "DICOMDIR"):
        statuses = [(case["status"], case["reason"]) for case in find_radiographs(given)]
        assert [status for status, _ in statuses].count("pending") == 1
        assert any("missing on disk" in reason for _, reason in statuses)
        assert any("outside its folder" in reason for _, reason in statuses)
        assert any("an index of 3 files" in reason for _, reason in statuses)


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        ("ViewCodeSequence", "LO", "PA"),
        ("PatientOrientation", "US", [1, 2]),
        ("Rows", "LO", "many"),
        ("PatientAge", "US", 3),
    ],
)
def test_an_element_of_a_wrong_kind_concerns_its_file_alone(write_dicom, ramp, tmp_path, tag, vr, value) -> None:
    import pydicom

    dataset = pydicom.dcmread(write_dicom("in/bad.dcm", ramp, ViewPosition=None))
    if tag in dataset:
        del dataset[tag]
    dataset.add_new(tag, vr, value)
    dataset.save_as(tmp_path / "in/bad.dcm")
    write_dicom("in/good.dcm", ramp)
    cases = by_file(tmp_path / "in")
    assert cases["good.dcm"]["status"] == "pending"
    assert set(cases) == {"bad.dcm", "good.dcm"}
    assert cases["bad.dcm"]["status"] == "pending" or cases["bad.dcm"]["reason"]


def test_a_damaged_member_of_an_archive_fails_alone(tmp_path, ramp, write_dicom) -> None:
    noise = np.random.default_rng(0).integers(0, 4096, (96, 80)).astype(np.uint16)
    path = write_dicom("a.dcm", noise)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "a.dcm")
        archive.write(path, "b.dcm")
    content = bytearray((tmp_path / "x.zip").read_bytes())
    content[2000:2400] = b"\xff" * 400
    (tmp_path / "x.zip").write_bytes(content)
    statuses = [case["status"] for case in find_radiographs(tmp_path / "x.zip")]
    assert statuses == ["failed", "pending"]


def test_an_archive_with_a_name_twice_is_refused(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.dcm", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.dcm", "2")
    (case,) = find_radiographs(tmp_path / "x.zip")
    assert "holds 'a.dcm' twice" in case["reason"]


def test_links_are_followed_once_and_broken_ones_fail(write_dicom, ramp, tmp_path) -> None:
    write_dicom("elsewhere/a.dcm", ramp)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    (tmp_path / "in/gone.dcm").symlink_to(tmp_path / "nothing.dcm")
    cases = by_file(tmp_path / "in")
    assert {name: case["status"] for name, case in cases.items()} == {"linked/a.dcm": "pending", "gone.dcm": "failed"}


def test_results_inside_the_input_are_no_input(write_dicom, ramp, tmp_path) -> None:
    write_dicom("in/a.dcm", ramp)
    (tmp_path / "in/out/cases").mkdir(parents=True)
    for name in ("run.json", "journal.sqlite", "cases/marks.png"):
        (tmp_path / "in/out" / name).write_text("x")
    assert list(by_file(tmp_path / "in")) == ["a.dcm"]


def test_folders_of_one_name_keep_their_labels_apart(write_dicom, ramp, tmp_path) -> None:
    first, second = write_dicom("A/study/x.dcm", ramp), write_dicom("B/study/x.dcm", ramp, SOPInstanceUID="1.9")
    assert set(by_file([first.parent, second.parent])) == {"A/study/x.dcm", "B/study/x.dcm"}


@pytest.mark.parametrize("name", ["正面.png", "___.png"])
def test_a_name_without_plain_letters_gets_an_id_all_the_same(tmp_path, ramp, name) -> None:
    Image.fromarray((ramp >> 4).astype(np.uint8)).save(tmp_path / name)
    (case,) = find_radiographs(tmp_path)
    assert case["case"].startswith("file-")
    assert case["file"] == name


def test_a_name_in_another_encoding_is_shown_with_its_bytes(tmp_path, ramp) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"M\xfcller.png")
    with open(path, "wb") as stream:
        Image.fromarray((ramp >> 4).astype(np.uint8)).save(stream, "PNG")
    (case,) = find_radiographs(tmp_path)
    assert case["file"] == "M\\xfcller.png"
    assert case["status"] == "pending"
    case["file"].encode("utf-8")


def test_a_header_cannot_declare_a_million_frames(write_dicom, ramp) -> None:
    path = write_dicom("a.dcm", ramp, NumberOfFrames=3_000_000)
    (case,) = find_radiographs(path, RadiographRules(split_frames=True))
    assert "declares 3000000 frames" in case["reason"]


def test_a_missing_or_empty_input_is_a_wrong_request(tmp_path) -> None:
    with pytest.raises(RequestError, match="does not exist"):
        find_radiographs(tmp_path / "nowhere")
    with pytest.raises(RequestError, match="no files under"):
        find_radiographs(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file_is_a_failed_case(write_dicom, ramp) -> None:
    path = write_dicom("a.dcm", ramp)
    path.chmod(0)
    (case,) = find_radiographs(path)
    assert case["status"] == "failed"


@pytest.mark.parametrize("text", ["/x/a.dcm", "/x/e.zip!/s/a.dcm", "/x/a.dcm#frame=3", "/x/e.zip!/s/a.dcm#frame=3"])
def test_a_source_reads_back_what_it_writes(text) -> None:
    assert str(Source.parse(text)) == text


def test_a_file_with_an_odd_name_is_taken_by_its_name(tmp_path) -> None:
    path = tmp_path / "a#frame=3"
    path.write_bytes(b"x")
    assert Source.parse(path) == Source(path)


@pytest.mark.shared_data
def test_every_real_file_is_pending_or_has_a_reason(shared_data: Path) -> None:
    roots = [shared_data / "cxr", shared_data / "dicom_misc/fo_dicom", shared_data / "dicom_misc/nema_wg04"]
    cases = find_radiographs(roots)
    assert len(cases) == sum(path.is_file() for root in roots for path in root.rglob("*"))
    assert all(case["reason"] for case in cases if case["status"] != "pending")
    assert len({case["case"] for case in cases}) == len(cases)


def test_what_stands_in_the_place_of_a_uid_does_not_name_the_case(write_dicom, ramp, tmp_path) -> None:
    path = write_dicom("in/a.dcm", ramp)
    content = path.read_bytes()
    uid = dicom_uid(path)
    (tmp_path / "in/a.dcm").write_bytes(content.replace(uid.encode(), b"Doe.Jane".ljust(len(uid), b"\0")))
    (case,) = find_radiographs(tmp_path / "in")
    assert re.fullmatch("instance-[0-9a-f]{16}", case["case"])
    assert find_radiographs(tmp_path / "in")[0]["case"] == case["case"]


def dicom_uid(path: Path) -> str:
    import pydicom

    return str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)


def test_a_file_named_for_the_patient_of_another_is_a_case_named_by_a_hash(write_dicom, ramp, tmp_path) -> None:
    write_dicom("in/z.dcm", ramp)
    for name in ("canary.png", "77.png", "other.png"):
        Image.fromarray((ramp >> 4).astype(np.uint8)).save(tmp_path / "in" / name)
    cases = {case["case"]: case["file"] for case in find_radiographs(tmp_path / "in") if "png" in case["image"]}
    assert sorted(cases.values()) == ["***.png", "***.png", "other.png"]
    assert [name for name, file in cases.items() if file == "other.png"] == ["other"]
    assert sum(bool(re.fullmatch("file-[0-9a-f]{8}", name)) for name in cases) == 2
    identified = find_radiographs(tmp_path / "in", privacy=PatientWords(identified=True))
    assert {"canary", "77", "other"} <= {case["case"] for case in identified}


@pytest.mark.parametrize(
    ("element", "value", "reason"),
    [
        ("Modality", "Jane Doe born 1970", "modality (no defined term); this bundle reads CR, DX, RG"),
        ("BodyPartExamined", "of Jane Doe, 1970", "body part (no defined term); this bundle reads CHEST, THORAX, LUNG"),
        ("ViewPosition", "LL of Doe, Jane", "view (no defined term); this bundle reads frontal views"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # pydicom's, of the values that are meant
def test_a_reason_quotes_terms_alone(write_dicom, ramp, element, value, reason) -> None:
    (case,) = find_radiographs(write_dicom("a.dcm", ramp, **{element: value}))
    assert case["reason"] == reason


@pytest.mark.filterwarnings("ignore")
def test_sex_and_age_are_terms_of_the_standard_or_left_out(write_dicom, ramp) -> None:
    wrong = {"PatientSex": "Jane", "PatientAge": "19700131"}
    (case,) = find_radiographs(write_dicom("a.dcm", ramp, **wrong))
    assert (case["sex"], case["age"]) == ("", "")
    (case,) = find_radiographs(write_dicom("b.dcm", ramp, PatientSex="f", PatientAge="007M"))
    assert (case["sex"], case["age"]) == ("F", "007M")


@pytest.mark.parametrize("name", ["DICOMDIR", "a.zip", "a.dcm"])
def test_a_pipe_is_skipped_whatever_its_name(tmp_path, name) -> None:
    os.mkfifo(tmp_path / name)
    (found,) = search([tmp_path])
    assert str(found.error) == "is no regular file"


def test_folders_deeper_than_any_recursion_are_searched(tmp_path) -> None:
    folder = tmp_path.joinpath(*["d"] * 200)
    folder.mkdir(parents=True)
    (folder / "a.dcm").write_bytes(b"x")
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        assert [found.source.name for found in search([tmp_path])] == ["a.dcm"]
    finally:
        sys.setrecursionlimit(before)
