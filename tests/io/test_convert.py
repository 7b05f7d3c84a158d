from __future__ import annotations

import csv
import errno
import json
import os
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import RLELossless

from medpipe.cli.main import invoke
from medpipe.errors import RequestError
from medpipe.io import convert as converting
from medpipe.io.convert import convert
from medpipe.io.folder_lock import locked
from medpipe.io.inventory import take_inventory
from medpipe.io.privacy import hashed_uid, name_hider


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open(encoding="utf-8")))


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def export(phantom, tmp_path) -> Path:
    """Two patients, three series, a duplicate, junk: what a hospital sends."""
    folder = tmp_path / "Canary^Name" / "export"
    phantom().save(folder / "CANARY-77" / "ct")
    p = phantom(modality="MR", uid="1.2.826.0.1.3680043.8.498.5", seed=1)
    p.set(StudyInstanceUID="1.2.826.0.1.3680043.8.498.1.2")
    p.extra["copy.dcm"] = p.datasets[0]
    p.save(folder / "CANARY-77" / "mr")
    other = phantom(uid="1.2.826.0.1.3680043.8.498.6")
    other.set(PatientID="OTHER-88", PatientName="Second^Person")
    other.drop(3)
    other.extra = {"readme.txt": b"hello", "empty.dcm": b""}
    other.save(folder / "Second Person")
    return folder


def test_every_file_ends_once_and_the_counts_add_up(export, tmp_path) -> None:
    result = convert([export], tmp_path / "out")
    rows = table(tmp_path / "out/files.csv")
    assert len(rows) == len([p for p in export.rglob("*") if p.is_file()]) == sum(result.files.values())
    assert result.files == {"converted": 16, "skipped": 2, "failed": 8}
    assert {row["code"] for row in rows if row["status"] != "converted"} == {
        "duplicate_file",
        "foreign_file",
        "unreadable_file",
        "missing_slices",
    }
    assert [(r["volume"], r["status"]) for r in table(tmp_path / "out/volumes.csv")] == [
        ("P0001_study01_series001_CT", "converted"),
        ("P0001_study01_series002_MR", "converted"),
        ("P0002_study01_series001_CT", "refused"),
    ]
    assert result.counts == {"done": 2, "failed": 1}


def test_no_patient_is_named_in_any_output_unless_identified(export, tmp_path, capsys) -> None:
    canaries = (b"CANARY", b"Canary", b"Second", b"Person", b"OTHER-88", b"19010203", b"1.2.826.0.1.3680043")
    assert invoke(["convert", str(export), "-o", str(tmp_path / "out")]) == 3
    log = capsys.readouterr().err.replace(str(tmp_path / "out"), "").encode()
    for name, data in [*content(tmp_path / "out").items(), ("log", log)]:
        assert not [c for c in canaries if c in data or c in name.encode()], name
    assert invoke(["convert", str(export), "-o", str(tmp_path / "named"), "--identified"]) == 3
    sidecar = json.loads((tmp_path / "named/volumes/P0001_study01_series001_CT.json").read_text())
    assert sidecar["identity"]["patient_id"] == "CANARY-77"
    assert b"Second Person" in (tmp_path / "named/files.csv").read_bytes()


def test_inspection_names_no_patient_and_says_what_is_wrong(export, capsys) -> None:
    assert invoke(["inspect", str(export), "--json"]) == 0
    text = capsys.readouterr().out
    assert not [c for c in ("CANARY", "Canary", "Second", "Person", "OTHER-88") if c in text]
    found = json.loads(text)
    assert found["files"] == {"found": 26, "images": 23, "niftis": 0, "segmentations": 0, "skipped": 2, "failed": 1}
    volumes = [v for p in found["patients"] for s in p["studies"] for e in s["series"] for v in e["volumes"]]
    assert [v["converted_by"] for v in volumes] == [["strict", "warn", "repair"]] * 2 + [["warn", "repair"]]
    assert invoke(["inspect", str(export)]) == 0
    assert "error missing_slices" in capsys.readouterr().out


def test_inspection_says_which_bundles_fit(write_dicom, ramp, tmp_path, capsys) -> None:
    write_dicom("in/a.dcm", ramp, PixelSpacing=[0.2, 0.2])
    assert invoke(["inspect", str(tmp_path / "in"), "--json"]) == 0
    (patient,) = json.loads(capsys.readouterr().out)["patients"]
    assert patient["studies"][0]["series"][0]["bundles"] == [
        "cxr14_acm",
        "cxr_nodule_acm",
        "cxr_pneumothorax_acm",
        "radiology_vqa_mevf",
        "radiology_vqa_mmq",
    ]


def test_the_sidecar_says_where_the_voxels_lie_and_what_they_are(phantom, tmp_path) -> None:
    p = phantom()
    p.set(KVP="120", ConvolutionKernel="B30f", PatientComments="CANARY")
    convert([p.save(tmp_path / "in")], tmp_path / "out")
    sidecar = json.loads((tmp_path / "out/volumes/P0001_study01_series001_CT.json").read_text())
    assert sidecar["geometry"]["shape"] == [34, 32, 8]
    assert sidecar["geometry"]["voxel_mm"] == [0.8, 0.7, 2.0]
    assert sidecar["geometry"]["axes"] == "LPS"
    assert sidecar["intensity"] == {
        "type": "int16",
        "slope": 1.0,
        "intercept": -1024.0,
        "photometric_interpretation": "MONOCHROME2",
        "colour": False,
    }
    assert sidecar["acquisition"]["kvp"] == 120
    assert sidecar["source"]["sop_uid_hashes"][0] == hashed_uid(p.datasets[0].SOPInstanceUID)


def test_a_conversion_that_was_stopped_goes_on_to_the_same_bytes(export, tmp_path, monkeypatch) -> None:
    convert([export], tmp_path / "whole")
    written = []

    def stop_at_the_second(path, *args, **kwargs):
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(path)
        return whole_write(path, *args, **kwargs)

    whole_write = converting.write_nifti
    monkeypatch.setattr(converting, "write_nifti", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        convert([export], tmp_path / "broken")
    assert not (tmp_path / "broken/files.csv").exists()
    decoded = []
    monkeypatch.setattr(
        converting, "write_nifti", lambda path, *a, **k: (decoded.append(path), whole_write(path, *a, **k))
    )
    convert([export], tmp_path / "broken")
    assert len(decoded) == 1  # the first volume was taken as it is
    assert content(tmp_path / "broken") == content(tmp_path / "whole")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_interrupts_a_conversion_that_then_goes_on(
    export, tmp_path, monkeypatch, capsys, number
) -> None:
    real, calls = os.replace, []

    def failing(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) > 3:
            raise OSError(number, os.strerror(number))
        real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", failing)
        assert invoke(["convert", str(export), "-o", str(tmp_path / "out")]) == 130
    assert "run the same command again" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.part"))
    code = invoke(["convert", str(export), "-o", str(tmp_path / "whole")])
    assert invoke(["convert", str(export), "-o", str(tmp_path / "out")]) == code
    found, expected = content(tmp_path / "out"), content(tmp_path / "whole")
    assert found == expected


def test_a_second_conversion_into_the_folder_says_that_it_is_in_use(export, tmp_path, capsys) -> None:
    assert invoke(["convert", str(export), "-o", str(tmp_path / "out")]) in (0, 3)
    with locked(tmp_path / "out"):
        assert invoke(["convert", str(export), "-o", str(tmp_path / "out")]) == 2
    assert "in use by another run" in capsys.readouterr().err


def test_a_volume_that_was_changed_since_is_made_again(phantom, tmp_path) -> None:
    folder = phantom().save(tmp_path / "in")
    convert([folder], tmp_path / "out")
    before = content(tmp_path / "out")
    target = next((tmp_path / "out/volumes").glob("*.nii.gz"))
    target.write_bytes(target.read_bytes()[:-10])
    convert([folder], tmp_path / "out")
    assert content(tmp_path / "out") == before


def test_another_request_or_a_full_folder_is_refused(phantom, tmp_path) -> None:
    folder = phantom().save(tmp_path / "in")
    convert([folder], tmp_path / "out")
    with pytest.raises(RequestError, match="holds another conversion"):
        convert([folder], tmp_path / "out", policy="warn")
    with pytest.raises(RequestError, match="not empty"):
        convert([folder], tmp_path / "in")
    with pytest.raises(RequestError, match="does not exist"):
        convert([tmp_path / "nowhere"], tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("spoil", "code"), [("nothing", 0), ("one series", 3), ("all", 4)])
def test_exit_codes_tell_how_it_ended(phantom, tmp_path, spoil, code) -> None:
    first, second = phantom(), phantom(uid="1.2.826.0.1.3680043.8.498.9")
    if spoil in ("one series", "all"):
        first.drop(3)
    if spoil == "all":
        second.drop(3)
    first.save(tmp_path / "in/a")
    second.save(tmp_path / "in/b")
    assert invoke(["convert", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == code
    assert invoke(["convert", str(tmp_path / "in"), "-o", str(tmp_path / "x"), "--policy", "lenient"]) == 2
    assert not (tmp_path / "x").exists()


def test_a_zip_archive_is_converted_in_place(phantom, tmp_path) -> None:
    p = phantom()
    folder = p.save(tmp_path / "in")
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"study/{path.name}")
    result = convert([tmp_path / "export.zip"], tmp_path / "out")
    image = nib.load(tmp_path / "out/volumes" / f"{result.volumes[0].volume}.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), p.voxels.T)


def test_an_undecodable_slice_refuses_under_strict_and_is_left_out_under_warn(phantom, to_file, tmp_path) -> None:
    from pydicom.uid import JPEGLSLossless

    p = phantom()
    p.syntax = JPEGLSLossless
    p.extra["bad.dcm"] = to_file(p.datasets[7], JPEGLSLossless)[:-300]
    p.drop(7)
    folder = p.save(tmp_path / "in")
    strict = convert([folder], tmp_path / "strict")
    assert [row.status for row in strict.volumes] == ["refused"]
    assert list((tmp_path / "strict/volumes").iterdir()) == []
    lenient = convert([folder], tmp_path / "warn", policy="warn")
    assert [(row.status, row.shape) for row in lenient.volumes] == [("converted", "34 x 32 x 7")]
    assert "unreadable_slice" in lenient.volumes[0].findings
    assert lenient.files == {"converted": 7, "failed": 1}


def test_names_are_hidden_as_whole_words_in_any_case() -> None:
    hide = name_hider(["CANARY-77", "Doe", "John Paul", "X", ""])
    assert hide("exports/DOE_john paul/CT-canary-77/IM1.dcm") == "exports/***_***/CT-***/IM1.dcm"
    assert hide("doebler/Johnson/X/john") == "doebler/Johnson/X/***"


def test_an_inventory_of_a_missing_path_is_a_wrong_request(tmp_path) -> None:
    with pytest.raises(RequestError, match="does not exist"):
        take_inventory(tmp_path / "nowhere")


@pytest.mark.shared_data
def test_segmentations_are_converted_onto_their_series(shared_data: Path, tmp_path) -> None:
    folder = shared_data / "dicom_misc/dcmqi_ct_liver_seg/data/segmentations"
    result = convert([folder], tmp_path / "out")
    assert {row.volume: row.shape for row in result.volumes} == {
        "P0001_study01_series001_CT": "512 x 512 x 3",
        "P0001_study01_series001_CT_segmentation1": "512 x 512 x 3",
        "P0001_study01_series001_CT_segmentation2": "512 x 512 x 3 x 5",
    }
    mask = nib.load(tmp_path / "out/volumes/P0001_study01_series001_CT_segmentation1.nii.gz")
    image = nib.load(tmp_path / "out/volumes/P0001_study01_series001_CT.nii.gz")
    np.testing.assert_array_equal(mask.affine, image.affine)
    assert int(np.asarray(mask.dataobj).sum()) == 107_098


def test_changed_input_leaves_no_volume_of_before(phantom, tmp_path) -> None:
    folder = phantom().save(tmp_path / "in")
    convert([folder], tmp_path / "out")
    for path in list(folder.iterdir())[2:4]:
        path.unlink()
    assert [row.status for row in convert([folder], tmp_path / "out").volumes] == ["refused"]
    assert list((tmp_path / "out/volumes").iterdir()) == []


def test_a_fault_that_no_reader_foresaw_stays_with_its_volume(phantom, tmp_path, monkeypatch) -> None:
    phantom().save(tmp_path / "in/a")
    phantom(uid="1.2.826.0.1.3680043.8.498.9").save(tmp_path / "in/b")
    read, calls = converting.read_volume, []

    def fail_once(stack, policy):
        calls.append(stack)
        if len(calls) == 1:
            raise ZeroDivisionError
        return read(stack, policy)

    monkeypatch.setattr(converting, "read_volume", fail_once)
    result = convert([tmp_path / "in"], tmp_path / "out")
    assert [(row.status, row.reason) for row in result.volumes] == [
        ("refused", "cannot be converted (ZeroDivisionError)"),
        ("converted", ""),
    ]


def test_numbers_that_json_cannot_say_become_null(phantom, tmp_path) -> None:
    p = phantom(modality="MR")
    p.set(EchoTime="10")
    for dataset in p.datasets:
        dataset["EchoTime"]._value = "nan"
        dataset["EchoTime"].VR = "LO"
    convert([p.save(tmp_path / "in")], tmp_path / "out")
    text = next((tmp_path / "out/volumes").glob("*.json")).read_text()
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name))["acquisition"]["echo_time_ms"] is None


@pytest.mark.parametrize("command", ["convert", "inspect"])
def test_the_commands_have_help_with_an_example(command, capsys) -> None:
    assert invoke([command, "--help"]) == 0
    assert f"medpipe {command} export/" in capsys.readouterr().out


def test_a_file_that_fails_late_leaves_no_word_of_the_volumes_made_before(phantom, to_file, tmp_path) -> None:
    axial = phantom(slices=5)
    coronal = phantom(slices=3, orientation=(1, 0, 0, 0, 0, -1), uid="1.2.826.0.1.3680043.8.498.9")
    first = axial.datasets[0]
    for number, dataset in enumerate(coronal.datasets):
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = first.StudyInstanceUID, first.SeriesInstanceUID
        dataset.FrameOfReferenceUID, dataset.InstanceNumber = first.FrameOfReferenceUID, 10 + number
    axial.syntax = coronal.syntax = RLELossless
    coronal.names = [f"c{name}" for name in coronal.names]
    axial.save(tmp_path / "in")
    folder = coronal.save(tmp_path / "in")
    dataset = dcmread(folder / coronal.names[1])
    dataset.PixelData = encapsulate([next(generate_frames(dataset.PixelData, number_of_frames=1))[:-60]])
    dataset.save_as(folder / coronal.names[1])
    result = convert([folder], tmp_path / "strict")
    assert result.files == {"failed": 8}
    assert not [row for row in table(tmp_path / "strict" / "files.csv") if row["volumes"]]
    result = convert([folder], tmp_path / "warn", policy="warn")
    assert result.files == {"converted": 7, "failed": 1}
    written = {path.name.split(".")[0] for path in (tmp_path / "warn" / "volumes").iterdir()}
    assert {row["volumes"] for row in table(tmp_path / "warn" / "files.csv")} == {*written, ""}


def test_an_output_folder_inside_the_input_is_no_input(phantom, tmp_path) -> None:
    folder = phantom().save(tmp_path / "in")
    first = convert([folder], folder / "out").files
    assert first == {"converted": 8}
    assert convert([folder], folder / "out").files == first


def test_colour_beyond_eight_bits_is_refused(phantom, tmp_path) -> None:
    p = phantom(modality="MR", slope=None, intercept=None)
    for dataset in p.datasets:
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
        dataset.PixelRepresentation, dataset.PixelData = 0, dataset.PixelData * 3
    result = convert([p.save(tmp_path / "in")], tmp_path / "out")
    assert result.files == {"failed": 8}
    assert "8 bits" in result.volumes[0].reason
