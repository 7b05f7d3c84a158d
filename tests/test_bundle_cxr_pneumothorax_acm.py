"""The bundle end to end on a generated data set: synth, check, prepare, train, evaluate, infer, and MONAI's own checks."""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from medpipe.bundles import find_bundle
from medpipe.cli.main import invoke

NAME = "cxr_pneumothorax_acm"
SMALL = ["image_size=64", "output_stride=8"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("siim") / "look_alike"
    assert invoke(["data", "synth", "siim_acr", str(root), "--cases", "24", "--seed", "3", "--size", "128"]) == 0
    assert invoke(["data", "check", "siim_acr", str(root)]) == 0
    prepare = ["data", "prepare", "siim_acr", str(root), "-o", str(root / "datalist.json"), "--split", "0.5,0.25,0.25"]
    assert invoke(prepare) == 0
    return root


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "out"
    arguments = ["train", NAME, f"dataset_dir={data}", "max_epochs=2", "batch_size=4", *SMALL, "-o", str(out)]
    assert invoke(arguments) == 0
    return out


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_training_writes_weights_and_one_row_per_epoch(trained) -> None:
    assert [row["epoch"] for row in rows(trained / "epochs.csv")] == ["1", "2"]
    assert (trained / "model.pt").is_file()


def test_training_with_one_seed_gives_the_same_losses(data, trained, tmp_path) -> None:
    arguments = [
        "train",
        NAME,
        f"dataset_dir={data}",
        "max_epochs=2",
        "batch_size=4",
        *SMALL,
        "-o",
        str(tmp_path / "again"),
    ]
    assert invoke(arguments) == 0
    first, second = rows(trained / "epochs.csv"), rows(tmp_path / "again" / "epochs.csv")
    assert [row["loss"] for row in first] == [row["loss"] for row in second]


def test_a_training_folder_is_never_overwritten(data, trained, capsys) -> None:
    assert invoke(["train", NAME, f"dataset_dir={data}", *SMALL, "-o", str(trained)]) == 2
    assert "holds another training: max_epochs was 2 and is 18" in capsys.readouterr().err


def test_evaluation_scores_the_test_section(data, trained, tmp_path, capsys) -> None:
    weights = f"weights={trained / 'model.pt'}"
    out = tmp_path / "out"
    arguments = ["evaluate", NAME, f"dataset_dir={data}", weights, "bootstrap=50", *SMALL, "-o", str(out), "--json"]
    assert invoke(arguments) == 0
    listed = json.loads((data / "datalist.json").read_text())["test"]
    results = json.loads((out / "results.json").read_text())
    assert results["cohort"]["analysed"] == len(listed) == json.loads(capsys.readouterr().out)["cases"]["done"]
    assert results["data"]["generated"] is True
    assert {"AUC", "AFROC", "wAFROC"} <= {figure["name"] for figure in results["headline"]}
    assert "The images are generated" in (out / "report" / "index.html").read_text()


def test_the_printed_monai_command_gives_the_same_marks(data, trained, tmp_path, capsys) -> None:
    inputs = str(data / "dicom-images-test")
    options = [f"weights={trained / 'model.pt'}", "num_workers=0", *SMALL]
    assert invoke(["infer", NAME, inputs, *options, "-o", str(tmp_path / "ours")]) == 0
    capsys.readouterr()
    assert invoke(["infer", NAME, inputs, *options, "-o", str(tmp_path / "monai"), "--print-command"]) == 0
    words = shlex.split(capsys.readouterr().out)
    assert words[:4] == ["python", "-m", "monai.bundle", "run"]
    subprocess.run([sys.executable, *words[1:]], check=True, capture_output=True, cwd=tmp_path)
    for name in ("marks.csv", "cases.csv"):
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "monai" / name).read_bytes()


def test_weights_of_another_network_are_refused_before_anything_is_written(data, trained, tmp_path, capsys) -> None:
    arguments = ["infer", NAME, str(data), f"weights={trained / 'model.pt'}", "context=none", *SMALL]
    assert invoke([*arguments, "-o", str(tmp_path / "out")]) == 2
    assert "does not fit the network" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_weight_file_that_would_run_code_is_refused(data, tmp_path, capsys) -> None:
    import pickle

    class Canary:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"head.weight": Canary()}))
    arguments = ["infer", NAME, str(data), f"weights={tmp_path / 'evil.pt'}", *SMALL, "-o", str(tmp_path / "out")]
    assert invoke(arguments) == 2
    assert not (tmp_path / "canary").exists()
    assert "evil.pt" in capsys.readouterr().err


def test_nothing_but_unusable_files_ends_with_code_four(data, trained, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("x")
    arguments = ["infer", NAME, str(tmp_path / "in"), f"weights={trained / 'model.pt'}", *SMALL]
    assert invoke([*arguments, "-o", str(tmp_path / "out")]) == 4
    assert rows(tmp_path / "out" / "cases.csv")[0]["status"] == "skipped"


def test_a_finished_run_started_again_changes_nothing_and_another_input_is_refused(
    data, trained, tmp_path, capsys
) -> None:
    base = ["infer", NAME]
    options = [f"weights={trained / 'model.pt'}", "num_workers=0", *SMALL, "-o", str(tmp_path / "out")]
    inputs = str(data / "dicom-images-test")
    assert invoke([*base, inputs, *options]) == 0
    before = (tmp_path / "out" / "marks.csv").read_bytes()
    assert invoke([*base, inputs, *options]) == 0
    assert (tmp_path / "out" / "marks.csv").read_bytes() == before
    assert invoke([*base, str(data), *options]) == 2
    assert "holds another run (other inputs)" in capsys.readouterr().err


@pytest.mark.parametrize("context", ["none", "se", "srm", "cbam", "nl", "gc", "cc"])
def test_every_rival_trains_by_one_option(data, tmp_path, context) -> None:
    arguments = ["train", NAME, f"dataset_dir={data}", f"context={context}", "max_epochs=1", "batch_size=4", *SMALL]
    assert invoke([*arguments, "-o", str(tmp_path / "out")]) == 0
    assert float(rows(tmp_path / "out" / "epochs.csv")[0]["loss"]) > 0


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
        **more,
    )
    workflow.initialize()
    assert workflow.check_properties() == []


def test_medpipe_check_finds_the_bundle_sound(capsys) -> None:
    assert invoke(["check", NAME]) == 0
    assert f"{NAME}: sound" in capsys.readouterr().out
