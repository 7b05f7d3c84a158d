"""Commands that load neither torch nor MONAI, and how wrong requests are answered."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from medpipe.cli.main import invoke
from medpipe.metrics.matching import HitRule

HEAVY = "import sys; from medpipe.cli.main import invoke; code = invoke({arguments!r}); print(code, sorted({{'torch', 'monai'}} & set(sys.modules)))"


_COMMANDS = ("infer", "evaluate", "inspect", "convert", "deidentify", "fetch", "node", "report", "reproduce")


def test_help_list_and_info_load_neither_torch_nor_monai() -> None:
    requests = [["--help"], ["list"], ["info", "cxr_pneumothorax_acm"], *([command, "--help"] for command in _COMMANDS)]
    script = "; ".join(HEAVY.format(arguments=arguments) for arguments in requests)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert [line for line in run.stdout.splitlines() if line.startswith("0 [")] == ["0 []"] * len(requests)


@pytest.mark.parametrize("command", ["inspect", "convert", "deidentify"])
def test_dicom_is_worked_on_without_torch_and_monai(command, write_dicom, tmp_path) -> None:
    path = write_dicom("in/a.dcm", np.arange(4096, dtype=np.uint16).reshape(64, 64), PixelSpacing=[1, 1])
    arguments = [command, str(path.parent), *([] if command == "inspect" else ["-o", str(tmp_path / "out")])]
    run = subprocess.run(
        [sys.executable, "-c", HEAVY.format(arguments=arguments)], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[-1].endswith(" []")


@pytest.mark.parametrize(
    "command",
    [
        *("list", "info", "check", "train", "evaluate", "infer", "report", "import-weights", "demo", "doctor"),
        *("inspect", "convert", "deidentify", "fetch", "node", "reproduce"),
        *("data check", "data prepare", "data synth", "score roc", "score froc"),
    ],
)
def test_every_command_has_help_with_an_example(command, capsys) -> None:
    assert invoke([*command.split(), "--help"]) == 0
    assert f"medpipe {command}" in capsys.readouterr().out.replace("Usage: medpipe", "")


def test_list_and_info_speak_json(capsys) -> None:
    assert invoke(["list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert "cxr_pneumothorax_acm" in [row["name"] for row in rows]
    assert invoke(["info", "cxr_pneumothorax_acm", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["options"]["infer"]["context"] == "acm"


def test_the_version_is_printed(capsys) -> None:
    assert invoke(["--version"]) == 0
    assert capsys.readouterr().out.startswith("medpipe 0.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inferr"], "inferr"),
        (["infer"], "argument"),
        (["info", "cxr_pneumothorax_amc"], "did you mean cxr_pneumothorax_acm"),
        (["infer", "cxr_pneumothorax_acm", "nowhere", "-o", "{tmp}/out"], "input 'nowhere' does not exist"),
        (["infer", "cxr_pneumothorax_acm", "{tmp}", "image_sise=3", "-o", "{tmp}/out"], "did you mean image_size"),
        (["infer", "cxr_pneumothorax_acm", "image_size=3", "-o", "{tmp}/out"], "no input given"),
        (["infer", "cxr_pneumothorax_acm", "{tmp}", "weights=none.pt", "-o", "{tmp}/out"], "'none.pt' does not exist"),
        (["train", "cxr_pneumothorax_acm", "max_epochs=1", "-o", "{tmp}/out"], "give dataset_dir=ROOT"),
        (["train", "cxr_pneumothorax_acm", "dataset_dir=nowhere", "-o", "{tmp}/out"], "is not a folder"),
        (["train", "cxr_pneumothorax_acm", "dataset_dir={tmp}", "-o", "{tmp}/out"], "medpipe data prepare"),
        (["evaluate", "cxr_pneumothorax_acm", "{tmp}", "-o", "{tmp}/out"], "write dataset_dir="),
        (["data", "check", "siim_arc", "{tmp}"], "siim_acr"),
        (["data", "prepare", "siim_acr", "nowhere", "-o", "{tmp}/d.json"], "is not a folder"),
        (["data", "prepare", "siim_acr", "{tmp}", "-o", "{tmp}/d.json", "--split", "1,1,1"], "add up to 1"),
        (["data", "synth", "coco", "{tmp}/x"], "no look-alike of 'coco'"),
        (["score", "roc", "none.csv", "none.csv", "-o", "{tmp}/out"], "'none.csv' does not exist"),
        (["score", "froc", "a.csv", "b.csv", "--criterion", "near", "-o", "{tmp}/out"], "hit rule"),
        (["report", "nowhere"], "'nowhere' does not exist"),
        (["score", "roc", "none.csv", "none.csv", "-o", "pyproject.toml"], "is a file; name a new or an empty folder"),
        (["report", "{tmp}"], "neither run.json nor results.json"),
        (["check", "nothing.zip"], "does not exist"),
    ],
)
def test_a_wrong_request_is_one_line_and_touches_nothing(arguments, message, tmp_path, capsys) -> None:
    before = sorted(tmp_path.rglob("*"))
    code = invoke([argument.format(tmp=tmp_path) for argument in arguments])
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) <= 2
    assert sorted(tmp_path.rglob("*")) == before


def test_scores_of_tables_need_no_bundle(tmp_path, capsys) -> None:
    (tmp_path / "marks.csv").write_text("case,x,y,score\na,10,10,0.9\nb,5,5,0.3\n")
    (tmp_path / "truth.csv").write_text("case,x,y,radius\na,11,10,3\nb,,,\n")
    arguments = [
        "score",
        "froc",
        f"{tmp_path}/marks.csv",
        f"{tmp_path}/truth.csv",
        "--criterion",
        "radius",
        "--bootstrap",
        "20",
    ]
    assert invoke([*arguments, "-o", str(tmp_path / "out"), "--json"]) == 0
    headline = json.loads(capsys.readouterr().out)["headline"]
    assert {figure["name"]: figure["value"] for figure in headline} == {
        "AFROC": 1.0,
        "wAFROC": 1.0,
        "Average precision of marks": 1.0,
    }
    assert (tmp_path / "out" / "report" / "index.html").is_file()
    assert invoke([*arguments, "-o", str(tmp_path / "out")]) == 2  # nothing is overwritten
    (tmp_path / "scores.csv").write_text("case,score\na,0.9\nb,0.3\n")
    (tmp_path / "labels.csv").write_text("case,label\na,1\nb,0\n")
    roc = ["score", "roc", f"{tmp_path}/scores.csv", f"{tmp_path}/labels.csv", "-o", str(tmp_path / "roc"), "--json"]
    capsys.readouterr()
    assert invoke(roc) == 0
    assert json.loads(capsys.readouterr().out)["headline"][0]["value"] == 1.0


def test_two_models_in_files_of_the_same_name_are_told_apart(tmp_path, capsys) -> None:
    for name, scores in (("new", (0.9, 0.8, 0.3, 0.2)), ("old", (0.9, 0.1, 0.3, 0.2))):
        (tmp_path / name).mkdir()
        rows = "".join(f"{case},{score}\n" for case, score in zip("abcd", scores, strict=True))
        (tmp_path / name / "scores.csv").write_text(f"case,score\n{rows}")
    (tmp_path / "labels.csv").write_text("case,label\na,1\nb,1\nc,0\nd,0\n")
    new, old, labels = (str(tmp_path / name) for name in ("new/scores.csv", "old/scores.csv", "labels.csv"))
    assert invoke(["score", "roc", new, labels, "--compare", old, "-o", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "results.json").read_text())["comparison"]
    assert (found["first"], found["second"]) == (new, old)
    assert invoke(["score", "roc", new, labels, "--compare", new, "-o", str(tmp_path / "again")]) == 2
    assert "is the same as" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"name": "luna16"}, HitRule("radius", strict=True)),
        ({"name": "luna16", "duplicates": "nl"}, HitRule("radius", strict=True, duplicates="nl")),
        ({"name": "node21", "tolerance": 0.3}, HitRule("iou", 0.3)),
        ({"name": "node21", "assignment": "optimal"}, HitRule("iou", 0.2, assignment="optimal")),
        ({"name": "luna16", "criterion": "iou", "tolerance": 0.5}, HitRule("iou", 0.5)),
        ({"criterion": "containment"}, HitRule("containment")),
        ({"tolerance": 4.0, "unit": "mm"}, HitRule("mask_distance", 4.0, "mm")),
        ({}, HitRule("mask_distance", 0.0)),
    ],
)
def test_options_change_the_hit_rule_of_a_convention_one_by_one(options, rule) -> None:
    from medpipe.cli.score.froc import _rules

    usual = {"name": None, "criterion": None, "tolerance": None, "unit": "px", "duplicates": "drop"}
    assert _rules(**{**usual, "assignment": "greedy", "interpolation": "step", **options})[1] == rule


def test_a_reader_study_may_be_saved_beside_its_results(tmp_path) -> None:
    rows = [
        f"{m},{r},{c},{(k * 7 + len(m + r)) % 5}"
        for m in ("A", "BB")
        for r in ("x", "yy")
        for k, c in enumerate("abcdef")
    ]
    (tmp_path / "ratings.csv").write_text("\n".join(["modality,reader,case,rating", *rows]) + "\n")
    (tmp_path / "truth.csv").write_text("case,label\na,1\nb,1\nc,1\nd,0\ne,0\nf,0\n")
    tables, out = [f"{tmp_path}/ratings.csv", f"{tmp_path}/truth.csv"], tmp_path / "out"
    assert invoke(["score", "mrmc", *tables, "-o", str(out), "--save-study", str(out / "study.json")]) == 0
    assert (out / "study.json").is_file()


def test_paths_and_overrides_are_told_apart(tmp_path, monkeypatch) -> None:
    from medpipe.cli.common import split_arguments

    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b").write_text("x")
    assert split_arguments(["x/y", "lr=1", "a=b", "optimizer.lr=2", "a.dcm"]) == (
        ["x/y", "a=b", "a.dcm"],
        ["lr=1", "optimizer.lr=2"],
    )


def test_exit_codes_follow_the_counts() -> None:
    from medpipe.cli.common import exit_code_of

    assert exit_code_of({"done": 3, "skipped": 1, "failed": 0}) == 0
    assert exit_code_of({"done": 3, "skipped": 1, "failed": 1}) == 3
    assert exit_code_of({"done": 0, "skipped": 1, "failed": 1}) == 4
