from __future__ import annotations

import copy
import csv
import json

import pytest
import torch

from medpipe.bundles import find_bundle
from medpipe.cli.main import invoke
from medpipe.networks.deployment import formats, packages
from medpipe.networks.deployment.capture import capture
from medpipe.networks.ldr import LDR
from medpipe.predictions.fingerprints import sha256_of_file

NAME = "cxr_pneumothorax_acm"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "acm.onnx"
    assert invoke(["export", NAME, "--format", "onnx", "-o", str(path)]) == 0
    return path


def test_the_file_names_bundle_weights_and_figures(exported) -> None:
    import onnx

    told = {item.key: item.value for item in onnx.load(exported).metadata_props}
    bundle = find_bundle(NAME)
    assert told["bundle"] == NAME
    assert told["bundle_version"] == bundle.metadata()["version"]
    assert told["weights_sha256"] == sha256_of_file(bundle.weights)
    assert "Not a medical device" in told["notice"]
    checked = json.loads(told["differences"])
    assert checked[-1]["case"] == "drawn"
    assert all(item["largest"] <= 1e-4 * max(1, item["scale"]) for item in checked)


def test_a_run_with_onnx_runtime_gives_the_scores_of_torch_and_says_so(exported, tmp_path) -> None:
    assert (
        invoke(["data", "synth", "siim_acr", str(tmp_path / "in"), "--cases", "4", "--seed", "5", "--size", "128"]) == 0
    )
    for name, more in {"torch": [], "onnx": ["runtime=onnx", f"exported={exported}"]}.items():
        options = ["num_workers=0", "pictures=false", *more, "-o", str(tmp_path / name)]
        assert invoke(["infer", NAME, str(tmp_path / "in"), *options]) == 0
    tables = {}
    for name in ("torch", "onnx"):
        with (tmp_path / name / "cases.csv").open(newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if row["status"] == "done"]
        tables[name] = {row["case"]: float(row["score"]) for row in rows}
    assert len(tables["torch"]) >= 4
    assert tables["onnx"] == pytest.approx(tables["torch"], abs=1e-4)
    runs = {name: json.loads((tmp_path / name / "run.json").read_text())["identity"]["options"] for name in tables}
    assert runs["torch"]["runtime"] == {"name": "torch"}
    assert runs["onnx"]["runtime"]["exported_sha256"] == sha256_of_file(exported)


def test_an_exported_file_for_another_size_is_refused_before_anything_is_written(exported, tmp_path, capsys) -> None:
    options = ["runtime=onnx", f"exported={exported}", "image_size=64", "-o", str(tmp_path / "out")]
    assert invoke(["infer", NAME, str(exported.parent), *options]) == 2
    assert "takes images of 128 x 128, and this run has 64 x 64" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def student(tmp_path_factory) -> list[str]:
    """The command that exports a small student of registration, but for the file."""
    weights = tmp_path_factory.mktemp("student") / "model.pt"
    torch.save(LDR(16, initial="none", channels=4).state_dict(), weights)
    options = ["initial=none", "channels=4", "image_size=16", "n_cascades=1"]
    return ["export", "brain_mri_registration_ldr", f"weights={weights}", *options, "--format", "torch-export"]


def test_a_registration_is_checked_on_drawn_volumes_too(student, tmp_path, capsys) -> None:
    assert invoke([*student, "-o", str(tmp_path / "ldr.pt2"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["differences"]
    assert {(item["case"], item["output"]) for item in found} >= {("drawn", "warped"), ("drawn", "field")}
    assert [path.name for path in tmp_path.iterdir()] == ["ldr.pt2"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["-o", "model.txt"], "must end in .onnx"),
        (["-o", "none/model.onnx"], "folder 'none' does not exist"),
        (["-o", "model.onnx", "--format", "tflite"], "none of onnx, torch-export, openvino"),
        (["-o", "model.onnx", "weights=none.pt"], "weight file 'none.pt' does not exist"),
        (["-o", "model.onnx", "context=se"], "does not fit the network"),
        (["-o", "model.onnx", "groups=3"], "cannot be built"),
        (["-o", "model.onnx", "backbon=x"], "did you mean backbone"),
    ],
)
def test_a_wrong_request_is_said_and_nothing_is_written(more, message, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke(["export", NAME, *more]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("there", ["model.xml", "model.bin"])
def test_a_file_is_never_overwritten(there, tmp_path, capsys) -> None:
    (tmp_path / there).write_text("mine")
    assert invoke(["export", NAME, "--format", "openvino", "-o", str(tmp_path / "model.xml")]) == 2
    assert f"{there}' exists" in capsys.readouterr().err
    assert (tmp_path / there).read_text() == "mine"


def test_no_file_is_left_when_the_outputs_differ(student, tmp_path, monkeypatch, capsys) -> None:
    def perturbed(network, signature):
        other = copy.deepcopy(network)
        other.dense[0].flow.weight.data += 0.1
        return capture(other, signature)

    monkeypatch.setattr(formats, "capture", perturbed)
    assert invoke([*student, "-o", str(tmp_path / "ldr.pt2")]) == 2
    assert "the exported network is another: it differs in warped on random 1" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_named(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    assert invoke(["export", NAME, "-o", str(tmp_path / "model.onnx")]) == 2
    assert "pip install 'medpipe[onnx]'" in capsys.readouterr().err
