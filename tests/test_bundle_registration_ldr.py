"""The registration bundles end to end, with small random weights."""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch

from medpipe.bundle_check import metadata_schema
from medpipe.bundles import find_bundle
from medpipe.cli.main import invoke
from medpipe.io.nifti import read_nifti, write_nifti
from medpipe.networks.ldr import LDR

BRAIN, LIVER = "brain_mri_registration_ldr", "liver_ct_registration_ldr"
SMALL = ["image_size=16", "initial=none", "channels=2", "num_workers=0"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def head(shape, affine, centre, scale) -> np.ndarray:
    world = (affine[:3, :3] @ np.indices(shape).reshape(3, -1) + affine[:3, 3:]).T - centre
    radius = np.linalg.norm(world / (np.array([20, 24, 18]) * scale), axis=1)
    pattern = 500 + 100 * np.sin(world[:, 0] / 5) + 8 * world[:, 1] + 5 * world[:, 2]
    return np.where(radius < 1, pattern, 0).reshape(shape).astype(np.int16)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """An atlas, two subjects in other orientations with labels and points, weights, and files that cannot be used."""
    root = tmp_path_factory.mktemp("pairs")
    upright = np.array([[2.0, 0, 0, -28], [0, 2, 0, -30], [0, 0, 2, -24], [0, 0, 0, 1]])
    flipped = np.array([[-1.8, 0, 0, 30], [0, -2.1, 0, 31], [0, 0, 2.2, -26], [0, 0, 0, 1]])
    for name, shape, affine, centre, scale in (
        ("atlas", (28, 30, 24), upright, (0, 0, 0), 1.0),
        ("one", (32, 30, 24), flipped, (2, -1, 1), 1.05),
        ("two", (28, 30, 24), upright, (-1, 2, 0), 0.95),
    ):
        array = head(shape, affine, centre, scale)
        write_nifti(root / f"{name}.nii.gz", array, affine)
        write_nifti(root / f"{name}_labels.nii.gz", (array > 500).astype(np.uint8) + (array > 0), affine)
    write_nifti(root / "flat.nii.gz", np.zeros((9, 9, 9), np.int16), np.eye(4))
    write_nifti(root / "movie.nii.gz", np.zeros((9, 9, 9, 2), np.int16), np.eye(4))
    (root / "points.csv").write_text("x_mm,y_mm,z_mm\n2,-1,1\n5,5,5\n")
    torch.manual_seed(0)
    network = LDR(16, initial="none", channels=2)
    with torch.no_grad():
        network.dense[0].flow.weight.normal_(0, 0.1)
    torch.save(network.state_dict(), root / "model.pt")
    return root


def infer(data: Path, out: Path, *arguments: str, name: str = BRAIN) -> int:
    return invoke(["infer", name, "-o", str(out), f"weights={data / 'model.pt'}", *SMALL, *arguments])


def test_a_pair_comes_back_on_the_fixed_images_own_grid(data, tmp_path, capsys) -> None:
    arguments = ["--fixed", str(data / "atlas.nii.gz"), "--moving", str(data / "one.nii.gz")]
    arguments += [
        "--moving-labels",
        str(data / "one_labels.nii.gz"),
        "--fixed-labels",
        str(data / "atlas_labels.nii.gz"),
    ]
    assert infer(data, tmp_path / "out", *arguments, "--points", str(data / "points.csv"), "--affine", "affine") == 0
    assert "1 pair: 1 done" in capsys.readouterr().err
    folder = tmp_path / "out" / "cases" / "atlas-one"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("field_Warp.nii.gz", "field_disp.nii.gz", "labels.nii.gz", "marks.png", "points.csv", "transform.h5"),
        "warped.nii.gz",
    ]
    fixed, warped = (read_nifti(path) for path in (data / "atlas.nii.gz", folder / "warped.nii.gz"))
    assert warped.array.shape == fixed.array.shape
    np.testing.assert_allclose(warped.affine, fixed.affine)
    (row,) = rows(tmp_path / "out" / "pairs.csv")
    assert (row["case"], row["fixed"], row["moving"], row["status"]) == (
        "atlas-one",
        "atlas.nii.gz",
        "one.nii.gz",
        "done",
    )
    assert float(row["mean_mm"]) > 0
    assert float(row["dice_after"]) > 0.7
    assert float(row["align_seconds"]) > 0
    itk = sitk.Resample(
        sitk.ReadImage(str(data / "one.nii.gz")),
        sitk.ReadImage(str(data / "atlas.nii.gz")),
        sitk.ReadTransform(str(folder / "transform.h5")),
        sitk.sitkLinear,
        0.0,
        sitk.sitkFloat32,
    )
    assert np.abs(sitk.GetArrayFromImage(itk).T - warped.array).max() < 1e-3 * fixed.array.max()
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "atlas-one" in page


def table(data: Path, tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(["fixed,moving,case", *(line.replace("~", f"{data}/") for line in lines)]) + "\n")
    return path


def test_every_pair_of_a_table_ends_with_a_reason_and_the_totals_add_up(data, tmp_path) -> None:
    lines = [
        "~atlas.nii.gz,~one.nii.gz,good",
        "~atlas.nii.gz,~flat.nii.gz,flat",
        "~atlas.nii.gz,~movie.nii.gz,movie",
        "~atlas.nii.gz,~gone.nii.gz,gone",
        "~atlas.nii.gz,~one.nii.gz,twice",
    ]
    assert infer(data, tmp_path / "out", "--pairs", str(table(data, tmp_path, *lines))) == 3
    found = {row["case"]: (row["status"], row["reason"]) for row in rows(tmp_path / "out" / "pairs.csv")}
    assert found == {
        "good": ("done", ""),
        "flat": ("failed", "moving image: holds the value 0 everywhere; there is nothing to register"),
        "movie": ("failed", "moving image: holds 4 axes (9, 9, 9, 2); give one time point or channel of it"),
        "gone": ("failed", "line 5: moving 'gone.nii.gz' does not exist"),
        "twice": ("skipped", "line 6: the same pair as 'good'"),
    }
    assert json.loads((tmp_path / "out" / "run.json").read_text())["cases"] == {"done": 1, "failed": 3, "skipped": 1}
    assert [path.name for path in (tmp_path / "out" / "cases").iterdir()] == ["good"]


def test_a_run_in_two_parts_ends_as_one_in_a_single_part(data, tmp_path) -> None:
    arguments = ["--fixed", str(data / "atlas.nii.gz"), "--moving", str(data / "one.nii.gz"), str(data / "two.nii.gz")]
    assert infer(data, tmp_path / "whole", *arguments) == 0
    assert infer(data, tmp_path / "parts", *arguments, "--limit", "1") == 0
    assert [row["status"] for row in rows(tmp_path / "parts" / "cases.csv")] == ["done", "skipped"]
    assert infer(data, tmp_path / "parts", *arguments) == 0
    files = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole" / "cases").rglob("*.*"))
    assert len(files) == 10
    for file in [*files, Path("cases.csv")]:
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes(), file


def test_a_mended_file_is_done_again_and_the_rest_is_kept(data, tmp_path) -> None:
    work = tmp_path / "in"
    work.mkdir()
    for name in ("atlas", "one", "flat"):
        (work / f"{name}.nii.gz").write_bytes((data / f"{name}.nii.gz").read_bytes())
    arguments = ["--fixed", str(work / "atlas.nii.gz"), "--moving", str(work / "one.nii.gz"), str(work / "flat.nii.gz")]
    assert infer(data, tmp_path / "out", *arguments) == 3
    kept = (tmp_path / "out" / "cases" / "atlas-one" / "warped.nii.gz").stat().st_mtime_ns
    (work / "flat.nii.gz").write_bytes((data / "two.nii.gz").read_bytes())
    assert infer(data, tmp_path / "out", *arguments) == 0
    assert (tmp_path / "out" / "cases" / "atlas-one" / "warped.nii.gz").stat().st_mtime_ns == kept


def test_a_dry_run_writes_nothing(data, tmp_path, capsys) -> None:
    arguments = ["--fixed", str(data / "atlas.nii.gz"), "--moving", str(data / "one.nii.gz"), "--dry-run"]
    assert infer(data, tmp_path / "out", *arguments) == 0
    assert "1 found: 1 to do" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_the_printed_monai_command_with_workers_gives_the_same_files(data, tmp_path, capsys) -> None:
    arguments = ["--fixed", str(data / "atlas.nii.gz"), "--moving", str(data / "one.nii.gz")]
    assert infer(data, tmp_path / "ours", *arguments) == 0
    capsys.readouterr()
    small = [option for option in SMALL if not option.startswith("num_workers")]
    command = ["infer", BRAIN, "-o", str(tmp_path / "monai"), f"weights={data / 'model.pt'}", *small, *arguments]
    assert invoke([*command, "--workers", "1", "--time-limit", "60", "--memory-limit", "8", "--print-command"]) == 0
    words = shlex.split(capsys.readouterr().out)
    subprocess.run([sys.executable, *words[1:]], check=True, capture_output=True, cwd=tmp_path)
    for name in ("field_disp.nii.gz", "transform.h5", "warped.nii.gz", "marks.png"):
        one, two = (tmp_path / run / "cases" / "atlas-one" / name for run in ("ours", "monai"))
        assert one.read_bytes() == two.read_bytes(), name


@pytest.mark.parametrize("options", [["--method", "demons"], ["--method", "affine", "--refine", "3"]])
def test_classical_methods_need_no_weights(data, tmp_path, options) -> None:
    arguments = ["--fixed", str(data / "atlas.nii.gz"), "--moving", str(data / "one.nii.gz"), *options]
    assert (
        invoke(
            ["infer", BRAIN, "-o", str(tmp_path / "out"), "image_size=32", "initial=none", "num_workers=0", *arguments]
        )
        == 0
    )
    (row,) = rows(tmp_path / "out" / "pairs.csv")
    assert float(row["similarity_after"]) >= float(row["similarity_before"])
    assert bool(row["refine_seconds"]) == ("--refine" in options)


@pytest.fixture
def studies(tmp_path) -> tuple[str, str]:
    """Two CT series of a patient with a telling name, with a liver of 60 HU."""
    folders = []
    for number, shift in enumerate((0.0, 8.0)):
        folder = tmp_path / f"Zebrafinch^Ada_{number}"
        folder.mkdir()
        i, j = np.mgrid[:40, :40]
        for k in range(14):
            inside = ((i - 20) / 9) ** 2 + ((j - 20 - shift / 4) / 9) ** 2 + ((k - 7) / 5) ** 2 < 1
            pixels = np.where(inside, 60, np.where((i - 20) ** 2 + (j - 20) ** 2 < 300, -90, -1000)).astype(np.int16)
            dataset = pydicom.Dataset()
            dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
            dataset.SOPInstanceUID = f"1.2.840.55.{number + 1}.{k + 1}"
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.840.55", f"1.2.840.55.{number + 1}"
            dataset.FrameOfReferenceUID = f"1.2.840.55.9.{number}"
            dataset.PatientName, dataset.PatientID, dataset.Modality = "Zebrafinch^Ada", "8812", "CT"
            dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [-80, -80, 6.0 * k], [1, 0, 0, 0, 1, 0]
            dataset.PixelSpacing, dataset.RescaleSlope, dataset.RescaleIntercept = [4, 4], 1, 0
            dataset.Rows = dataset.Columns = 40
            dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
            dataset.PixelData = pixels.tobytes()
            dataset.file_meta = pydicom.dataset.FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
            dataset.save_as(folder / f"{k}.dcm", enforce_file_format=True)
        folders.append(str(folder))
    return folders[0], folders[1]


def test_dicom_series_give_a_registration_object_and_no_names(data, studies, tmp_path, capsys) -> None:
    arguments = ["--fixed", studies[0], "--moving", studies[1], "--dicom", "dsr"]
    assert infer(data, tmp_path / "out", *arguments, name=LIVER) == 0
    (row,) = rows(tmp_path / "out" / "pairs.csv")
    folder = tmp_path / "out" / "cases" / row["case"]
    dataset = pydicom.dcmread(folder / "dsr.dcm")
    assert dataset.DeformableRegistrationSequence[0].SourceFrameOfReferenceUID == "1.2.840.55.9.1"
    shown = capsys.readouterr()
    texts = [shown.out, shown.err, row["case"], *(p.read_text() for p in (tmp_path / "out").rglob("*.csv"))]
    texts += [(tmp_path / "out" / "run.json").read_text(), (tmp_path / "out" / "report" / "index.html").read_text()]
    assert "zebrafinch" not in "".join(texts).replace(str(tmp_path), "").lower()
    assert b"Zebrafinch" not in (tmp_path / "out" / "journal.sqlite").read_bytes()


def test_nifti_files_have_no_registration_object_and_say_why(data, tmp_path) -> None:
    arguments = ["--fixed", str(data / "atlas.nii.gz"), "--moving", str(data / "one.nii.gz"), "--dicom", "dsr"]
    assert infer(data, tmp_path / "out", *arguments) == 0
    assert rows(tmp_path / "out" / "pairs.csv")[0]["reason"] == "no DICOM object: one of its images is no DICOM"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no fixed image given; name --fixed FILE --moving FILE..., or --pairs TABLE"),
        (["--fixed", "~atlas.nii.gz"], "no moving image given"),
        (["--fixed", "~gone.nii", "--moving", "~one.nii.gz"], "gone.nii' does not exist"),
        (["--pairs", "~points.csv", "--fixed", "~atlas.nii.gz"], "--pairs takes the place of images"),
        (["--pairs", "~points.csv"], "lacks the column 'fixed'"),
        (
            ["--fixed", "~atlas.nii.gz", "--moving", "~one.nii.gz", "--method", "ants"],
            "--method 'ants' is none of network",
        ),
        (
            ["--fixed", "~atlas.nii.gz", "--moving", "~one.nii.gz", "--affine", "similarity"],
            "is none of none, moments, rigid, affine",
        ),
        (
            ["--fixed", "~atlas.nii.gz", "--moving", "~one.nii.gz", "--dicom", "sr"],
            "unknown to registration; there is dsr",
        ),
        (["--fixed", "~atlas.nii.gz", "--moving", "~one.nii.gz", "fields=fsl"], "field file 'fsl' is unknown"),
        (
            ["--fixed", "~atlas.nii.gz", "--moving", "~one.nii.gz", "--refine", "2", "refine=3"],
            "refine is given by --refine",
        ),
        (["--fixed", "~atlas.nii.gz", "--moving", "~one.nii.gz", "body_part=leg"], "is none of brain, liver, whole"),
    ],
)
def test_a_wrong_request_is_one_line_and_touches_nothing(data, tmp_path, capsys, arguments, message) -> None:
    assert infer(data, tmp_path / "out", *(a.replace("~", f"{data}/") for a in arguments)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_options_of_registration_are_refused_by_name_elsewhere(data, tmp_path, capsys) -> None:
    arguments = [
        "infer",
        "cxr_pneumothorax_acm",
        str(data),
        "-o",
        str(tmp_path / "out"),
        "--moving",
        str(data / "one.nii.gz"),
    ]
    assert invoke(arguments) == 2
    assert "--moving is for registration; 'cxr_pneumothorax_acm' registers nothing" in capsys.readouterr().err
    assert infer(data, tmp_path / "out", "--watch", str(data)) == 2
    assert "--watch cannot tell pairs" in capsys.readouterr().err


@pytest.mark.parametrize("name", [BRAIN, LIVER])
def test_metadata_follow_the_schema_and_say_that_no_weights_are_there(name) -> None:
    import jsonschema

    bundle = find_bundle(name)
    jsonschema.validate(bundle.metadata(), metadata_schema())
    if not bundle.weights.is_file():
        assert "No weights are shipped yet" in bundle.metadata()["description"]


def test_both_bundles_differ_in_what_they_crop_to_and_nothing_else() -> None:
    brain, liver = (find_bundle(name).config("infer") for name in (BRAIN, LIVER))
    same = json.loads(json.dumps(brain).replace(BRAIN, LIVER))
    differing = {key for key in same if same[key] != liver[key]}
    assert differing == {"body_part", "intensity"}


def test_a_worker_of_a_cluster_gives_the_same_files(data, tmp_path) -> None:
    from medpipe.batch.cluster_worker import ClusterWorker
    from medpipe.io.pairs import PairRequest, find_pairs

    pair = {"fixed": str(data / "atlas.nii.gz"), "moving": str(data / "one.nii.gz")}
    assert infer(data, tmp_path / "out", "--fixed", pair["fixed"], "--moving", pair["moving"]) == 0
    overrides = {
        "weights": str(data / "model.pt"),
        "image_size": 16,
        "initial": "none",
        "channels": 2,
        "num_workers": 0,
    }
    request = {"bundle": str(find_bundle(BRAIN).root), "mode": "infer", "overrides": {**overrides, **pair}}
    worker = ClusterWorker(json.dumps(request))
    assert worker.ready() == ""
    result, files = worker.infer(find_pairs(PairRequest(**pair))[0])
    worker.close()
    assert result.status == "done"
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "out" / "cases" / "atlas-one").iterdir()}


@pytest.mark.shared_data
def test_a_real_pair_is_improved_by_a_classical_method(shared_data, tmp_path) -> None:
    folder = shared_data / "brain_mri" / "msd_hippocampus"
    one, two = sorted((folder / "images").glob("*.nii.gz"))[:2]
    labels = [str(folder / "labels" / path.name) for path in (one, two)]
    arguments = ["--fixed", str(one), "--moving", str(two), "--fixed-labels", labels[0], "--moving-labels", labels[1]]
    options = ["image_size=32", "initial=none", "body_part=whole", "num_workers=0", "--method", "demons"]
    assert invoke(["infer", BRAIN, "-o", str(tmp_path / "out"), *options, *arguments]) == 0
    (row,) = rows(tmp_path / "out" / "pairs.csv")
    assert float(row["dice_after"]) > float(row["dice_before"]) + 0.02
    folder = tmp_path / "out" / "cases" / row["case"]
    fixed, moving = sitk.ReadImage(str(one)), sitk.ReadImage(str(two))
    array = sitk.GetArrayFromImage(moving)
    transform = sitk.ReadTransform(str(folder / "transform.h5"))
    itk = sitk.GetArrayFromImage(
        sitk.Resample(moving, fixed, transform, sitk.sitkLinear, float(array.min()), sitk.sitkFloat32)
    )
    differing = np.abs(itk.T - read_nifti(folder / "warped.nii.gz").array) > 1e-3 * np.ptp(array)
    assert differing.mean() < 1e-3  # voxels whose partner lies at the very face
