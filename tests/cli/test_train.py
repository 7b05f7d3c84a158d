"""medpipe train as a command: taken up again, finished, by two processes."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from medpipe.cli.main import invoke

NAME = "cxr_pneumothorax_acm"
OPTIONS = ["max_epochs=2", "batch_size=4", "image_size=64"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("siim") / "look_alike"
    assert invoke(["data", "synth", "siim_acr", str(root), "--cases", "24", "--seed", "3", "--size", "128"]) == 0
    assert invoke(["data", "prepare", "siim_acr", str(root), "-o", str(root / "datalist.json")]) == 0
    return root


def train(data: Path, out: Path, *more: str) -> int:
    return invoke(["train", NAME, f"dataset_dir={data}", *OPTIONS, *more, "-o", str(out)])


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "out"
    assert train(data, out) == 0
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_finished_training_is_not_done_again(data, trained, capsys) -> None:
    before = files(trained)
    assert train(data, trained) == 0
    assert "is finished, since" in capsys.readouterr().err
    assert files(trained) == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("max_epochs=3", "max_epochs was 2 and is 3"),
        ("optimizer.weight_decay=0.5", "overrides was None and is {'optimizer::weight_decay': 0.5}"),
    ],
)
def test_another_training_in_the_same_folder_is_refused(data, trained, capsys, override, message) -> None:
    before = files(trained)
    assert train(data, trained, override) == 2
    assert message in capsys.readouterr().err
    assert files(trained) == before


def test_two_processes_train_by_the_same_command(data, trained, tmp_path) -> None:
    command = ["train", NAME, f"dataset_dir={data}", *OPTIONS, "-o", str(tmp_path / "out")]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "medpipe"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run([*launcher, *command], env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("Weights: ") == 1
    assert files(tmp_path / "out").keys() - {".lock"} == files(trained).keys() - {".lock"}
    with (tmp_path / "out" / "epochs.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(0 <= float(row["val_auc"]) <= 1 and float(row["loss"]) > 0 for row in rows)
    weights, alone = (torch.load(out / "model.pt", weights_only=True) for out in (tmp_path / "out", trained))
    assert {name: value.shape for name, value in weights.items()} == {name: v.shape for name, v in alone.items()}
