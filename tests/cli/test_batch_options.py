"""The options of infer that concern the batch, on small pictures, through the command line."""

from __future__ import annotations

import csv
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medpipe.cli.main import invoke

NAME = "cxr_pneumothorax_acm"
SMALL = ["image_size=64", "picture_size=96"]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    random_numbers = np.random.default_rng(3)
    for number in range(6):
        Image.fromarray(random_numbers.integers(0, 255, (96, 80), np.uint8)).save(folder / f"{number}.png")
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:3000])
    (folder / "note.txt").write_text("x")
    return folder


def infer(inputs: Path, out: Path, *more: str) -> int:
    return invoke(["infer", NAME, str(inputs), *SMALL, "-o", str(out), "--workers", "0", *more])


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "cases.csv").open(newline="") as stream:
        return {row["file"]: row for row in csv.DictReader(stream)}


def test_a_dry_run_says_what_would_be_done_and_touches_nothing(study, tmp_path, capsys) -> None:
    assert infer(study, tmp_path / "out", "--dry-run", "--limit", "3") == 0
    plan = capsys.readouterr().out
    for part in ("8 found: 7 to do, 1 skipped, 0 failed; at most 3 now", "device: cpu", "new", "GiB", NAME):
        assert part in plan
    assert "1 skipped: not DICOM, PNG, JPEG, NIfTI or MetaImage (file type '.txt')" in plan
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_finds_what_is_wrong(study, tmp_path, capsys) -> None:
    assert infer(study, tmp_path / "out", "--dry-run", "context=none") == 2
    assert "does not fit the network" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert infer(tmp_path / "empty", tmp_path / "out", "--dry-run") == 2
    assert "no files under" in capsys.readouterr().err


def test_a_limited_run_says_what_it_did_not_reach_and_is_completed_by_the_next(study, tmp_path, capsys) -> None:
    assert infer(study, tmp_path / "whole") == 3
    assert infer(study, tmp_path / "out", "--limit", "2") == 0
    assert "8 files: 2 done, 6 skipped, 0 failed (6 of them not reached" in capsys.readouterr().err
    assert sum(row["reason"].startswith("not reached") for row in rows(tmp_path / "out").values()) == 6
    assert json.loads((tmp_path / "out/run.json").read_text())["finished"] is None
    assert infer(study, tmp_path / "out") == 3
    for name in ("cases.csv", "marks.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_failed_cases_are_done_again_when_asked_for(study, tmp_path) -> None:
    inputs = shutil.copytree(study, tmp_path / "in")
    assert infer(inputs, tmp_path / "out") == 3
    before = rows(tmp_path / "out")
    assert before["cut.png"]["status"] == "failed"
    assert infer(inputs, tmp_path / "out") == 3
    assert infer(inputs, tmp_path / "out", "--retry-failed") == 3
    assert rows(tmp_path / "out") == before
    (inputs / "cut.png").write_bytes((inputs / "1.png").read_bytes())  # other content is done again by itself
    assert infer(inputs, tmp_path / "out") == 0
    assert rows(tmp_path / "out")["cut.png"]["status"] == "done"


def test_files_that_came_are_done_and_those_that_went_stay_in_the_tables(study, tmp_path) -> None:
    inputs = shutil.copytree(study, tmp_path / "in")
    assert infer(inputs, tmp_path / "out") == 3
    before = rows(tmp_path / "out")
    (inputs / "1.png").rename(inputs / "0a.png")
    assert infer(inputs, tmp_path / "out") == 3
    after = rows(tmp_path / "out")
    new = after.pop("0a.png")
    assert after == before
    assert new["status"] == "done"
    assert new["patient"] not in {row["patient"] for row in before.values()}
    assert new["score"] == before["1.png"]["score"]


def test_a_folder_is_watched_until_it_is_idle(study, tmp_path) -> None:
    command = ["infer", NAME, "--watch", str(study), *SMALL, "watch_settle=0", "--workers", "0"]
    start = time.monotonic()
    assert invoke([*command, "-o", str(tmp_path / "out"), "--watch-idle", "0.5"]) == 3
    assert time.monotonic() - start < 60
    assert infer(study, tmp_path / "whole") == 3
    assert rows(tmp_path / "out") == rows(tmp_path / "whole")


def test_decoding_processes_give_the_tables_of_a_run_without(study, tmp_path) -> None:
    assert infer(study, tmp_path / "none") == 3
    for workers in ("1", "4"):
        assert infer(study, tmp_path / workers, "--workers", workers) == 3
        for name in ("cases.csv", "marks.csv"):
            assert (tmp_path / workers / name).read_bytes() == (tmp_path / "none" / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "gpu"], "device 'gpu' is none of cpu, cuda, cuda:N, mps"),
        (["--executor", "slurm"], "executor 'slurm' is none of local, ray"),
        (["--ray-address", "x:1"], "--ray-address goes with --executor ray"),
        (["--watch-idle", "3"], "--watch-idle goes with --watch"),
        (["--watch", "nowhere"], "--watch takes the place of inputs"),
        (["--limit", "0"], "limit"),
        (["--workers", "-1"], "workers"),
        (["retries=-1"], "must not be negative"),
        (["time_limit=0"], "must be positive"),
        (["threads=0"], "at least 1"),
        (["limit=-1"], "limit must be at least 0, found -1"),
        (["watch=true", "watch_settle=-1"], "watch_settle must be at least 0, found -1"),
        (["watch=true", "watch_idle=0"], "watch_idle must be at least 0.1, found 0"),
        (["exported=net.onnx"], "goes with runtime onnx"),
    ],
)
def test_a_wrong_option_is_refused_and_nothing_is_written(study, tmp_path, capsys, arguments, message) -> None:
    assert invoke(["infer", NAME, str(study), "-o", str(tmp_path / "out"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_options_appear_in_the_printed_command(study, tmp_path, capsys) -> None:
    options = ["--workers", "3", "--limit", "5", "--device", "cpu", "--time-limit", "7", "--memory-limit", "2"]
    assert invoke(["infer", NAME, str(study), "-o", str(tmp_path), "--print-command", *options, "--retry-failed"]) == 0
    command = capsys.readouterr().out
    for part in ("--num_workers=3", "--limit=5", "time_limit=7", "memory_limit=2", "retry_failed=True", "torch.device"):
        assert part in command
