"""The bundle end to end on a generated data set: synth, check, prepare, train, evaluate, infer, export, MONAI's own checks."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from medpipe.bundles import find_bundle
from medpipe.cli.main import invoke
from medpipe.data.nih_chestxray14 import FINDINGS
from medpipe.networks.label_orders import TORCHXRAYVISION

NAME = "cxr14_acm"
SMALL = ["image_size=64", "output_stride=8", "backbone=resnet11_quarter"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("nih") / "look_alike"
    assert invoke(["data", "synth", "nih_chestxray14", str(root), "--cases", "60", "--seed", "3", "--size", "64"]) == 0
    prepare = ["data", "prepare", "nih_chestxray14", str(root), "-o", str(root / "datalist.json"), "--label", "all"]
    assert invoke([*prepare, "--split", "official"]) == 0
    return root


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "out"
    assert invoke(["train", NAME, f"dataset_dir={data}", "max_epochs=2", *SMALL, "-o", str(out)]) == 0
    return out


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_training_writes_weights_and_the_mean_auc_of_each_epoch(trained) -> None:
    found = rows(trained / "epochs.csv")
    assert [row["epoch"] for row in found] == ["1", "2"]
    assert 0 < float(found[0]["val_mean_auc"]) < 1
    assert (trained / "model.pt").is_file()


def test_training_with_one_seed_gives_the_same_weights(data, trained, tmp_path) -> None:
    out = tmp_path / "out"
    assert invoke(["train", NAME, f"dataset_dir={data}", "max_epochs=2", *SMALL, "-o", str(out)]) == 0
    first, second = (torch.load(folder / "checkpoint.pt", weights_only=True)["objects"] for folder in (trained, out))
    assert all(torch.equal(first["network"][name], second["network"][name]) for name in first["network"])


def test_evaluation_scores_every_class_of_the_test_section(data, trained, tmp_path) -> None:
    out = tmp_path / "out"
    weights = f"weights={trained / 'model.pt'}"
    assert invoke(["evaluate", NAME, f"dataset_dir={data}", weights, "bootstrap=50", *SMALL, "-o", str(out)]) == 0
    listed = json.loads((data / "datalist.json").read_text())["test"]
    results = json.loads((out / "results.json").read_text())
    assert results["task"] == "multilabel"
    assert results["cohort"]["analysed"] == len(listed)
    assert results["data"]["generated"] is True
    assert [entry["name"] for entry in results["multilabel"]["classes"]] == list(FINDINGS)
    assert list(rows(out / "scores.csv")[0]) == ["case", *FINDINGS]
    page = (out / "report" / "index.html").read_text()
    assert "The images are generated" in page
    assert "maps.jpg" in page


def test_the_scores_of_a_run_can_be_scored_as_any_other_table(data, trained, tmp_path) -> None:
    out = tmp_path / "out"
    weights = f"weights={trained / 'model.pt'}"
    assert invoke(["evaluate", NAME, f"dataset_dir={data}", weights, "bootstrap=50", *SMALL, "-o", str(out)]) == 0
    truth = tmp_path / "truth.csv"
    entries = json.loads((data / "datalist.json").read_text())["test"]
    lines = [",".join(["case", "patient", *FINDINGS])]
    lines += [",".join([entry["case"], entry["patient"], *map(str, entry["label"])]) for entry in entries]
    truth.write_text("\n".join(lines) + "\n")
    score = ["score", "multilabel", str(out / "scores.csv"), str(truth), "--bootstrap", "50", "-o", str(tmp_path / "s")]
    assert invoke(score) == 0
    ours, theirs = (json.loads((folder / "results.json").read_text()) for folder in (out, tmp_path / "s"))
    assert ours["headline"][0]["value"] == theirs["headline"][0]["value"]


def test_inference_shows_where_scores_come_from(data, trained, tmp_path) -> None:
    out = tmp_path / "out"
    options = [f"weights={trained / 'model.pt'}", "explain=attention", "min_rating=0", *SMALL]
    assert invoke(["infer", NAME, str(data / "images_001"), *options, "--limit", "3", "-o", str(out)]) == 0
    done = [row["case"] for row in rows(out / "cases.csv") if row["status"] == "done"]
    assert len(done) == 3
    for case in done:
        assert {"maps.jpg", "marks.png", "attention.npz"} == {path.name for path in (out / "cases" / case).iterdir()}
        with np.load(out / "cases" / case / "attention.npz", allow_pickle=False) as maps:
            assert maps["key"].shape == maps["query"].shape == (4, 8, 8)
            assert np.allclose(maps["key"].sum((1, 2)), 1, atol=1e-5)
    assert len(rows(out / "marks.csv")) == 3 * 14


def test_the_report_of_an_inference_shows_the_highest_scores_first(data, trained, tmp_path) -> None:
    out = tmp_path / "out"
    options = [f"weights={trained / 'model.pt'}", *SMALL]
    assert invoke(["infer", NAME, str(data / "images_001"), *options, "--limit", "5", "-o", str(out)]) == 0
    page = (out / "report" / "index.html").read_text()
    assert "Highest scores" in page
    highest = {row["case"]: max(float(row[name]) for name in FINDINGS) for row in rows(out / "scores.csv")}
    places = [page.index(f"../cases/{case}/") for case in sorted(highest, key=lambda case: -highest[case])]
    assert places == sorted(places)


def test_a_validation_every_second_epoch_leaves_the_schedule_alone_in_between(data, tmp_path) -> None:
    out = tmp_path / "out"
    options = ["max_epochs=3", "val_interval=2", *SMALL]
    assert invoke(["train", NAME, f"dataset_dir={data}", *options, "-o", str(out)]) == 0
    found = rows(out / "epochs.csv")
    assert [bool(row["val_mean_auc"]) for row in found] == [False, True, True]
    assert found[1]["val_mean_auc"] == found[2]["val_mean_auc"]
    schedule = torch.load(out / "checkpoint.pt", weights_only=True)["objects"]["lr_scheduler"]
    assert schedule["last_epoch"] == 1  # validations


@pytest.mark.parametrize(
    ("option", "message"), [("context=none", "needs context=acm"), ("explain=all", "explain must")]
)
def test_explanations_that_cannot_be_made_are_refused_before_anything_is_written(
    data, tmp_path, capsys, option, message
) -> None:
    train = ["train", NAME, f"dataset_dir={data}", "max_epochs=1", *SMALL, "context=none", "-o", str(tmp_path / "t")]
    assert invoke(train) == 0
    explain = [] if option.startswith("explain") else ["explain=attention"]
    options = [f"weights={tmp_path / 't' / 'model.pt'}", option, *explain, *SMALL]
    options += ["context=none"] if explain == [] else []
    assert invoke(["infer", NAME, str(data / "images_001"), *options, "-o", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options",
    [
        ["flip_views=true", "small_view=48", "flip_consistency=1", "scale_consistency=1"],
        ["balanced_loss=true", "balanced_sampling=true", "pooling=lse"],
        ["context=se"],
    ],
)
def test_options_of_the_training_change_it(data, trained, tmp_path, options) -> None:
    out = tmp_path / "out"
    assert invoke(["train", NAME, f"dataset_dir={data}", "max_epochs=1", *SMALL, *options, "-o", str(out)]) == 0
    found, base = rows(out / "epochs.csv")[0], rows(trained / "epochs.csv")[0]
    assert (found["loss"], found.get("val_mean_auc")) != (base["loss"], base["val_mean_auc"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("flip_consistency=1", "there are no mirror images"),
        ("scale_consistency=1", "there is one size"),
        ("small_view=64", "smaller than the image"),
        ("pooling=mean", "unknown pooling"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_is_written(
    data, tmp_path, capsys, option, message
) -> None:
    assert invoke(["train", NAME, f"dataset_dir={data}", *SMALL, option, "-o", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["pooling=avg", "output_stride=16", "image_size=96"])
def test_weights_are_not_run_otherwise_than_they_were_trained(data, trained, tmp_path, capsys, option) -> None:
    options = [f"weights={trained / 'model.pt'}", *SMALL, option]
    assert invoke(["infer", NAME, str(data / "images_001"), *options, "-o", str(tmp_path / "out")]) == 2
    assert f"were trained with {option.split('=')[0]}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_datalist_of_one_label_is_refused_with_the_remedy(data, trained, tmp_path, capsys) -> None:
    datalist = tmp_path / "one.json"
    assert invoke(["data", "prepare", "nih_chestxray14", str(data), "-o", str(datalist), "--label", "Mass"]) == 0
    arguments = [NAME, f"dataset_dir={data}", f"datalist={datalist}", *SMALL, "-o", str(tmp_path / "out")]
    for command, more in (("train", []), ("evaluate", [f"weights={trained / 'model.pt'}"])):
        assert invoke([command, *arguments, *more]) == 2
        assert "prepare it with --label all" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_an_exported_network_gives_the_classes_in_the_order_of_torchxrayvision(data, trained, tmp_path, capsys) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is an extra")
    weights, exported = f"weights={trained / 'model.pt'}", tmp_path / "net.onnx"
    order = "label_order=torchxrayvision"
    assert invoke(["export", NAME, weights, order, *SMALL, "-o", str(exported)]) == 0
    common = ["infer", NAME, str(data / "images_001"), weights, *SMALL, "--limit", "4", "explain=none"]
    assert invoke([*common, "-o", str(tmp_path / "torch")]) == 0
    onnx = ["runtime=onnx", f"exported={exported}"]
    capsys.readouterr()
    assert invoke([*common, *onnx, "-o", str(tmp_path / "wrong")]) == 2
    assert "was exported with classes Atelectasis,Consolidation" in capsys.readouterr().err
    assert invoke([*common, *onnx, order, "-o", str(tmp_path / "onnx")]) == 0
    first, second = rows(tmp_path / "torch" / "scores.csv"), rows(tmp_path / "onnx" / "scores.csv")
    assert list(second[0]) == ["case", *TORCHXRAYVISION]
    for ours, theirs in zip(first, second, strict=True):
        assert all(float(ours[name]) == pytest.approx(float(theirs[name]), abs=1e-5) for name in FINDINGS)


def test_the_paper_size_is_built_from_options() -> None:
    from medpipe.networks.acm import ContextLocalizer

    for backbone in ("resnet50", "densenet121"):
        network = ContextLocalizer(backbone, "acm", context_args={"groups": 32}, num_classes=14, output_stride=32)
        with torch.no_grad():
            assert network.eval()(torch.zeros(1, 1, 448, 448)).shape == (1, 14, 14, 14)


@pytest.mark.parametrize(
    ("kind", "files"),
    [("train", ["train.yaml"]), ("infer", ["inference.yaml"]), ("eval", ["inference.yaml", "evaluate.yaml"])],
)
def test_monais_property_check_passes(data, trained, tmp_path, kind, files) -> None:
    from monai.bundle import ConfigWorkflow

    root = find_bundle(NAME).root
    more = {} if kind == "train" else {"weights": str(trained / "model.pt")}
    workflow = ConfigWorkflow(
        [str(root / "configs" / name) for name in files],
        workflow_type=kind,
        logging_file=False,
        bundle_root=str(root),
        dataset_dir=str(data),
        output_dir=str(tmp_path / "out"),
        image_size=64,
        output_stride=8,
        backbone="resnet11_quarter",
        **more,
    )
    workflow.initialize()
    assert workflow.check_properties() == []


def test_medpipe_check_finds_the_bundle_sound(capsys) -> None:
    assert invoke(["check", NAME]) == 0
    assert f"{NAME}: sound" in capsys.readouterr().out
