"""Pairs from requests: every pair asked for is one case with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medpipe.errors import InputDataError, RequestError
from medpipe.io.nifti import write_nifti
from medpipe.io.pairs import PairRequest, find_pairs
from medpipe.io.privacy import PatientWords
from medpipe.predictions.fingerprints import case_key


@pytest.fixture
def volume(tmp_path):
    def write(name: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_nifti(path, np.arange(64, dtype=np.uint8).reshape(4, 4, 4), np.eye(4))
        return str(path)

    return write


@pytest.fixture
def series(write_dicom, tmp_path):
    """Writes a folder with CT slices: ``series(folder, number, uid)``."""

    def write(folder: str, number: int = 5, uid: str = "1.2.3", **elements: object) -> str:
        for k in range(number):
            write_dicom(
                f"{folder}/{uid}_{k}.dcm",
                np.full((8, 8), k, np.int16),
                SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
                SOPInstanceUID=f"{uid}.{k + 1}",
                SeriesInstanceUID=uid,
                StudyInstanceUID="1.2.9",
                Modality="CT",
                ImagePositionPatient=[0, 0, 2.0 * k],
                ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
                PixelSpacing=[1, 1],
                RescaleSlope=1,
                RescaleIntercept=0,
                **{"PatientName": "Canary^Bird", **elements},
            )
        return str(tmp_path / folder)

    return write


def states(cases) -> list[tuple[str, str]]:
    return [(case["case"], case["status"]) for case in cases]


def test_one_fixed_image_meets_all_moving_ones(volume) -> None:
    fixed, moving = volume("atlas.nii.gz"), [volume("a.nii"), volume("b.nii.gz")]
    cases = find_pairs(PairRequest(fixed=fixed, moving=moving))
    assert states(cases) == [("atlas-a", "pending"), ("atlas-b", "pending")]
    assert cases[1]["image"] == [fixed, moving[1], "", "", ""]
    assert cases[1]["file"] == "atlas.nii.gz <- b.nii.gz"
    assert [case["patient"] for case in cases] == ["P00001", "P00002"]


def test_as_many_fixed_as_moving_images_go_in_order(volume) -> None:
    cases = find_pairs(
        PairRequest(fixed=[volume("f1.nii"), volume("f2.nii")], moving=[volume("m1.nii"), volume("m2.nii")])
    )
    assert [case["case"] for case in cases] == ["f1-m1", "f2-m2"]


def test_labels_and_points_go_with_their_images(volume, tmp_path) -> None:
    points = [str(tmp_path / f"p{k}.csv") for k in range(2)]
    for path in points:
        Path(path).write_text("1,2,3\n")
    labels = [volume("la.nii"), volume("lb.nii")]
    request = PairRequest(
        fixed=volume("f.nii"),
        moving=[volume("a.nii"), volume("b.nii")],
        moving_labels=labels,
        fixed_labels=volume("lf.nii"),
        points=points,
    )
    cases = find_pairs(request)
    assert cases[1]["image"][2:] == [labels[1], str(tmp_path / "lf.nii"), points[1]]
    assert cases[0]["image"][3] == cases[1]["image"][3]
    assert len(request.paths) == 8


def test_a_folder_of_volume_files_stands_for_all_of_them(volume, tmp_path) -> None:
    for name in ("in/b.nii.gz", "in/a.nii", "in/notes.txt"):
        volume(name) if name.endswith("i") or name.endswith("z") else (tmp_path / name).write_text("x")
    cases = find_pairs(PairRequest(fixed=volume("f.nii"), moving=str(tmp_path / "in")))
    assert states(cases) == [("f-a", "pending"), ("f-b", "pending")]


def test_a_folder_of_one_dicom_series_is_one_image(volume, series) -> None:
    cases = find_pairs(PairRequest(fixed=series("ct"), moving=series("later", uid="1.2.4")))
    assert states(cases) == [("ct-later", "pending")]


def test_a_folder_of_several_series_fails_and_says_so(volume, series) -> None:
    series("ct", uid="1.2.4")
    (case,) = find_pairs(PairRequest(fixed=volume("f.nii"), moving=series("ct")))
    assert (case["status"], case["reason"]) == (
        "failed",
        "moving 'ct' holds 2 DICOM series; name the folder of one",
    )


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ({"fixed": 2, "moving": 3}, "2 fixed images for 3 moving ones; give one for all, or as many of both"),
        ({"fixed": 1, "moving": 2, "moving_labels": 1}, "1 moving labels for 2 images; give one for each"),
        ({"fixed": 1, "moving": 1, "points": 2}, "2 points for 1 images"),
        ({"moving": 1}, "no fixed image given"),
        ({"fixed": 1}, "no moving image given"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(volume, number, message) -> None:
    given = {role: [volume(f"{role}{k}.nii") for k in range(count)] for role, count in number.items()}
    with pytest.raises(RequestError, match=message):
        find_pairs(PairRequest(**given))


def test_a_path_that_does_not_exist_is_refused_before_anything(volume, tmp_path) -> None:
    with pytest.raises(RequestError, match=r"moving '.*gone.nii' does not exist"):
        find_pairs(PairRequest(fixed=volume("f.nii"), moving=str(tmp_path / "gone.nii")))


def table(tmp_path, text: str) -> PairRequest:
    (tmp_path / "pairs.csv").write_text(text)
    return PairRequest(pairs=tmp_path / "pairs.csv")


def test_a_table_is_relative_to_its_folder_and_may_name_its_pairs(volume, tmp_path) -> None:
    fixed, moving = volume("data/f.nii"), volume("m.nii")
    cases = find_pairs(table(tmp_path, f"case,fixed,moving,points\nfirst,data/f.nii,m.nii,\n,data/f.nii,{fixed},\n"))
    assert states(cases) == [("first", "pending"), ("f-f", "pending")]
    assert cases[0]["image"] == [fixed, moving, "", "", ""]


def test_a_table_for_scoring_is_taken_as_it_is(volume, tmp_path) -> None:
    fixed, moving = volume("f.nii"), volume("m.nii")
    (tmp_path / "p.csv").write_text("1,2,3\n")
    columns = "pair,fixed,moving,moving_points,fixed_points,fixed_subject,moving_subject,field,seconds,memory_mb"
    cases = find_pairs(table(tmp_path, f"{columns}\nfirst,f.nii,m.nii,p.csv,,a,b,,,\n"))
    assert states(cases) == [("first", "pending")]
    assert cases[0]["image"] == [fixed, moving, "", "", str(tmp_path / "p.csv")]


def test_each_row_that_cannot_be_done_fails_alone_and_all_add_up(volume, tmp_path) -> None:
    volume("f.nii"), volume("m.nii"), volume("n.nii")
    (tmp_path / "empty.nii").touch()
    (tmp_path / "text.txt").write_text("x")
    rows = [
        "f.nii,m.nii,,first",
        "f.nii,gone.nii,,second",
        "f.nii,,,third",
        "f.nii,m.nii,gone_labels.nii,fourth",
        "f.nii,empty.nii,,fifth",
        "f.nii,text.txt,,sixth",
        "f.nii,n.nii,,first",
        "f.nii,m.nii,,again",
        "f.nii,m.nii,text.txt,seventh",
    ]
    cases = find_pairs(table(tmp_path, "fixed,moving,moving_labels,case\n" + "\n".join(rows) + "\n"))
    assert (
        len(cases) == len(rows) == len({case["case"] for case in cases}) == len({case_key(case) for case in cases}) + 1
    )
    assert [(case["status"], case["reason"]) for case in cases] == [
        ("pending", ""),
        ("failed", "line 3: moving 'gone.nii' does not exist"),
        ("failed", "line 4: column 'moving' is empty"),
        ("failed", "line 5: moving labels 'gone_labels.nii' does not exist"),
        ("failed", "line 6: moving 'empty.nii' is empty"),
        ("failed", "line 7: moving 'text.txt' holds no volume; expected DICOM, NIfTI, MetaImage or NRRD"),
        ("failed", "line 8: the case name 'first' is taken by pair 1; give another"),
        ("skipped", "line 9: the same pair as 'first'"),
        ("failed", "line 10: moving labels 'text.txt' is none of .nii, .nii.gz, .mha, .mhd, .nrrd, .nhdr"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fixed\nf.nii\n", "lacks the column 'moving'; it has fixed"),
        ("fixed,moving,mask\nf,m,x\n", "column 'mask'; expected each once of fixed, moving"),
        ("fixed,moving,moving\nf,m,x\n", "column 'moving'; expected each once"),
        ("fixed,moving\nf.nii\n", "line 2: expected 2 fields"),
        ("fixed,moving\nf,m,x\n", "line 2: expected 2 fields"),
        ("", "lacks the column 'fixed'; it has none"),
    ],
)
def test_a_table_of_another_layout_is_refused(tmp_path, text, message) -> None:
    with pytest.raises(InputDataError, match=message):
        find_pairs(table(tmp_path, text))


def test_a_table_beside_images_or_of_no_rows_is_refused(volume, tmp_path) -> None:
    with pytest.raises(RequestError, match="no pair in what was given"):
        find_pairs(table(tmp_path, "fixed,moving\n"))
    with pytest.raises(RequestError, match="takes the place of fixed"):
        PairRequest(pairs=tmp_path / "pairs.csv", fixed=volume("f.nii"))
    with pytest.raises(RequestError, match="does not exist"):
        PairRequest(pairs=tmp_path / "gone.csv")


def test_files_of_one_name_keep_cases_apart(volume) -> None:
    cases = find_pairs(PairRequest(fixed=volume("f.nii"), moving=[volume("a/scan.nii"), volume("b/scan.nii")]))
    assert [case["case"] for case in cases] == ["f-scan", "f-scan_2"]


def test_what_names_a_patient_is_hidden_in_names_and_reasons(volume, series) -> None:
    words = PatientWords()
    series("Canary", uid="1.2.4", PatientName="Canary^Name")
    cases = find_pairs(PairRequest(fixed=volume("canary.nii"), moving=series("Canary")), words)
    text = json.dumps([{name: value for name, value in case.items() if name != "image"} for case in cases])
    assert "anary" not in text
    assert cases[0]["case"].startswith("pair-")
