"""medpipe reproduce as a command: wrong requests, the plan, and two small networks to the end."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from medpipe.bundles import find_bundle
from medpipe.cli.main import invoke

NAME = "cxr_pneumothorax_acm"


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """The bundle with one table of two settings, and a recipe of two dozen images."""
    root = tmp_path_factory.mktemp("bundle") / NAME
    shutil.copytree(find_bundle(NAME).root, root)
    path = root / "configs" / "reproduce.yaml"
    content = yaml.safe_load(path.read_text())
    modules = content["tables"]["modules"]
    modules["settings"] = {name: modules["settings"][name] for name in ("none", "acm")}
    content["tables"] = {"modules": modules}
    content["quick"] |= {"cases": 24, "split": [0.5, 0.2, 0.3]}
    content["quick"]["options"] |= {"max_epochs": 1}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return root


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which data? give dataset_dir=ROOT (and datalist=FILE), or --quick"),
        (["--quick", "--table", "moduls"], "no table 'moduls'; did you mean modules"),
        (["--quick", "dataset_dir=x"], "--quick draws its own data; leave --quick or dataset_dir= out"),
        (["--quick", "contxt=se"], "did you mean context"),
        (["--quick", "context=se"], "'context' is what a table of"),
        (["--quick", "seed=3"], "give --seeds N"),
        (["dataset_dir=nowhere"], "is not a folder"),
        (["dataset_dir={tmp}"], "medpipe data prepare"),
        (["{tmp}"], "write dataset_dir="),
    ],
)
def test_a_wrong_request_is_told_before_anything_is_written(arguments, message, tmp_path, out, capsys) -> None:
    words = [word.format(tmp=tmp_path) for word in arguments]
    assert invoke(["reproduce", NAME, *words, "-o", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_bundle_that_says_nothing_of_it_is_refused(out, capsys) -> None:
    assert invoke(["reproduce", "liver_ct_registration_ldr", "--quick", "-o", str(out)]) == 2
    assert "has no configs/reproduce.yaml" in capsys.readouterr().err


def test_a_datalist_that_is_none_is_refused_before_the_first_run(tmp_path, out, capsys) -> None:
    (tmp_path / "datalist.json").write_text("{}")
    assert invoke(["reproduce", NAME, f"dataset_dir={tmp_path}", "-o", str(out)]) == 2
    assert "datalist.json" in capsys.readouterr().err
    assert not out.exists()


def test_questions_without_a_compared_figure_are_refused_before_the_first_run(tmp_path, out, capsys) -> None:
    entry = {"image": "a.png", "patient": "a", "question": "Is it?", "answers": ["yes"], "answer_type": "closed"}
    parts = {"training": [{**entry, "case": "1"}], "validation": [], "test": [{**entry, "case": "2"}]}
    head = {"name": "x", "description": "", "generated": False, "split": "", "tensorImageSize": "2D", "task": "vqa"}
    content = {**head, **parts, "shares_images": True}
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    assert invoke(["reproduce", "radiology_vqa_mmq", f"dataset_dir={tmp_path}", "--dry-run", "-o", str(out)]) == 2
    said = capsys.readouterr().err
    assert "give no figure 'Accuracy, convention A', which is compared; they give Accuracy, Accuracy, closed" in said


def test_a_foreign_bundle_with_code_of_its_own_is_refused(small, tmp_path, out, capsys) -> None:
    shutil.copytree(small, tmp_path / "other")
    config = tmp_path / "other" / "configs" / "train.yaml"
    config.write_text(config.read_text() + "\nspy: $open('x')\n")
    assert invoke(["reproduce", str(tmp_path / "other"), "--quick", "-o", str(out)]) == 2
    assert "add --trust" in capsys.readouterr().err
    assert not out.exists()


def test_a_dry_run_lists_the_runs_and_writes_nothing(out, capsys) -> None:
    assert invoke(["reproduce", NAME, "--quick", "--table", "parts", "--seeds", "2", "--dry-run", "-o", str(out)]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0] == "to do  modules-none, seed 0: context=none"
    assert sum(line.startswith("to do") for line in lines) == 10
    assert "medpipe train cxr_pneumothorax_acm dataset_dir=" in printed.out
    assert "10 runs, 0 of them done" in printed.err
    assert not out.exists()


def reproduce(small: Path, out: Path, *more: str) -> int:
    return invoke(["reproduce", str(small), "--quick", "--seeds", "1", *more, "-o", str(out)])


def test_two_settings_are_trained_scored_and_compared_and_then_kept(small, out, capsys) -> None:
    assert reproduce(small, out) == 0
    printed = capsys.readouterr()
    assert "modules-none, seed 0: AUC " in printed.err
    assert "2 of 2 runs done, 0 failed." in printed.err
    assert "say nothing about patients" in printed.out
    results = json.loads((out / "results.json").read_text())
    assert results["runs"] == {"wanted": 2, "done": 2, "failed": 0}
    (table,) = results["tables"]
    for setting, name in zip(table["settings"], ("none", "acm"), strict=True):
        own = json.loads((out / "runs" / f"modules-{name}" / "0" / "evaluate" / "results.json").read_text())
        figures = {figure["name"]: figure["value"] for figure in own["headline"]}
        for metric, figure in (("AUC", "AUC"), ("JAFROC", "AFROC")):
            assert setting["figures"][metric]["values"] == [{"seed": 0, "value": figures[figure]}]
            analysis = table["tests"]["Wilcoxon" if metric == "AUC" else "AFROC"]["OR"]
        assert analysis["differences"][0]["label"] == "acm-none"
    apart = table["settings"][1]["figures"]["JAFROC"]["difference"]["value"]
    assert table["tests"]["AFROC"]["OR"]["differences"][0]["estimate"] == pytest.approx(apart)
    with (out / "tables.csv").open(newline="") as stream:
        assert [row["setting"] for row in csv.DictReader(stream)] == ["none", "none", "acm", "acm"]
    assert "Reproduction of cxr_pneumothorax_acm" in (out / "index.html").read_text()

    weights = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*") if path.is_file()}
    assert reproduce(small, out) == 0
    assert "2 of 2 runs are done already" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*") if path.is_file()} == weights

    assert reproduce(small, out, "max_epochs=2") == 2
    assert "holds another reproduction: options was {} and is {'max_epochs': 2}" in capsys.readouterr().err


class Refusing:
    """A runner whose commands all fail at once."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def __call__(self, words: list[str], log: Path) -> int:
        with log.open("a") as stream:
            stream.write("error: no such luck\n")
        return 2

    def stop(self) -> None:
        pass


def test_runs_that_fail_are_told_and_the_tables_are_written_all_the_same(small, out, capsys, monkeypatch) -> None:
    monkeypatch.setattr("medpipe.reproduction.runs.Processes", Refusing)
    assert reproduce(small, out, "--json") == 4
    printed = json.loads(capsys.readouterr().out)
    assert printed["runs"] == {"wanted": 2, "done": 0, "failed": 2}
    assert printed["failures"][0]["reason"] == "train ended with code 2: error: no such luck"
    assert (out / printed["failures"][0]["log"]).is_file()
    assert "NaN: no run has ended well" in (out / "tables.md").read_text()


def test_a_reproduction_that_is_told_to_end_can_be_taken_up_again(small, out) -> None:
    words = [sys.executable, "-m", "medpipe", "reproduce", str(small), "--quick", "--seeds", "1", "-o", str(out)]
    process = subprocess.Popen(
        words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    log = out / "runs" / "modules-none" / "0" / "log.txt"
    until = time.monotonic() + 60
    while not log.is_file() and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "reproduce go on when the same command is run again" in said
    assert (out / "data" / "datalist.json").is_file()
    assert not (out / "runs" / "modules-none" / "0" / "run.json").exists()
    assert invoke(["reproduce", str(small), "--quick", "--seeds", "1", "--dry-run", "-o", str(out)]) == 0
