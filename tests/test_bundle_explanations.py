"""The option explain of the bundles that localise: what it writes, and what it refuses before anything is written."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medpipe.cli.main import invoke
from medpipe.networks.acm import ContextLocalizer

BUNDLES = ["cxr_pneumothorax_acm", "cxr_nodule_acm"]
SMALL = ["image_size=64", "num_workers=0", "picture_size=128"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Function that writes weights of a small network with a context block, from one seed: -> their path."""
    folder = tmp_path_factory.mktemp("weights")

    def write(context: str) -> Path:
        torch.manual_seed(0)
        args = {"groups": 4} if context == "acm" else None
        net = ContextLocalizer("resnet11_quarter", context, context_args=args, output_stride=8, zero_init_last=False)
        torch.save(net.state_dict(), folder / f"{context}.pt")
        return folder / f"{context}.pt"

    return write


@pytest.fixture
def radiographs(write_dicom, tmp_path) -> Path:
    ramp = np.round(np.add.outer(np.arange(96) * 3.0, np.arange(80.0)) * 10).astype(np.uint16)
    study = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4"}
    write_dicom("in/a.dcm", ramp, **study)
    write_dicom("in/b.dcm", ramp[::-1].copy(), **study)
    return tmp_path / "in"


def cases(out: Path) -> list[Path]:
    with (out / "cases.csv").open(newline="") as stream:
        return [out / "cases" / row["case"] for row in csv.DictReader(stream) if row["status"] == "done"]


@pytest.mark.parametrize("name", BUNDLES)
def test_attention_is_written_as_a_picture_and_as_it_is(radiographs, weights, tmp_path, name) -> None:
    options = [f"weights={weights('acm')}", "explain=attention", *SMALL]
    out = tmp_path / "out"
    assert invoke(["infer", name, str(radiographs), *options, "-o", str(out)]) == 0
    folders = cases(out)
    assert len(folders) == 2
    for folder in folders:
        assert {path.name for path in folder.iterdir()} == {"marks.png", "maps.jpg", "attention.npz"}
        with np.load(folder / "attention.npz", allow_pickle=False) as maps:
            assert maps["key"].shape == maps["query"].shape == (4, 8, 8)
            assert np.allclose(maps["key"].sum((1, 2)), 1, atol=1e-5)
        with Image.open(folder / "maps.jpg") as picture:
            # Two by two: the image of 96 x 80 as 128 x 107 with its marks, the map of the class, and two of attention.
            assert picture.size == (2 * 107, 2 * (128 + 16))


@pytest.mark.parametrize("name", BUNDLES)
def test_by_default_there_are_no_maps_and_the_option_belongs_to_the_run(
    radiographs, weights, tmp_path, capsys, name
) -> None:
    options = [f"weights={weights('acm')}", *SMALL, "-o", str(tmp_path / "out")]
    assert invoke(["infer", name, str(radiographs), *options]) == 0
    assert {path.name for folder in cases(tmp_path / "out") for path in folder.iterdir()} == {"marks.png"}
    assert json.loads((tmp_path / "out" / "run.json").read_text())["identity"]["options"]["explain"] == "none"
    assert invoke(["infer", name, str(radiographs), "explain=maps", *options]) == 2
    assert "holds another run (other options)" in capsys.readouterr().err


@pytest.mark.parametrize("name", BUNDLES)
def test_the_option_belongs_to_an_evaluation_too(name) -> None:
    from medpipe.bundles import find_bundle

    options = find_bundle(name).config("evaluate")["run_folder"]["options"]
    assert options["explain"] == "@explain"


@pytest.mark.parametrize("name", BUNDLES)
@pytest.mark.parametrize(("context", "message"), [("none", "needs context=acm"), ("se", "needs context=acm")])
def test_attention_of_a_network_without_it_is_refused_before_anything_is_written(
    radiographs, weights, tmp_path, capsys, name, context, message
) -> None:
    options = [f"weights={weights(context)}", f"context={context}", "explain=attention", *SMALL]
    assert invoke(["infer", name, str(radiographs), *options, "-o", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", BUNDLES)
def test_attention_with_onnx_runtime_is_refused_before_anything_is_written(
    radiographs, weights, tmp_path, capsys, name
) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is an extra")
    common = [f"weights={weights('acm')}", "image_size=64"]
    assert invoke(["export", name, *common, "-o", str(tmp_path / "net.onnx")]) == 0
    capsys.readouterr()
    onnx = ["runtime=onnx", f"exported={tmp_path / 'net.onnx'}", "explain=attention"]
    assert invoke(["infer", name, str(radiographs), *common, *onnx, "-o", str(tmp_path / "out")]) == 2
    assert "needs context=acm, runtime=torch" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", BUNDLES)
def test_an_unknown_kind_of_explanation_is_refused(radiographs, weights, tmp_path, capsys, name) -> None:
    options = [f"weights={weights('acm')}", "explain=all", *SMALL]
    assert invoke(["infer", name, str(radiographs), *options, "-o", str(tmp_path / "out")]) == 2
    assert "explain must be one of none, maps, attention" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", BUNDLES)
def test_maps_stand_in_the_secondary_capture(radiographs, weights, tmp_path, name) -> None:
    from pydicom import dcmread

    sizes = {}
    for explain in ("none", "maps"):
        out = tmp_path / explain
        options = [f"weights={weights('acm')}", f"explain={explain}", "dicom=sc", *SMALL]
        assert invoke(["infer", name, str(radiographs), *options, "-o", str(out)]) == 0
        (capture,) = [path for path in cases(out)[0].iterdir() if path.suffix == ".dcm"]
        sizes[explain] = dcmread(capture).Columns
    assert sizes["maps"] > sizes["none"]
