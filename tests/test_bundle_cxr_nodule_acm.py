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
from medpipe.evaluation.formats.grand_challenge import read_boxes

NAME = "cxr_nodule_acm"
SMALL = ["image_size=64"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("node21") / "look_alike"
    assert invoke(["data", "synth", "node21", str(root), "--cases", "24", "--seed", "3", "--size", "64"]) == 0
    assert invoke(["data", "check", "node21", str(root)]) == 0
    prepare = ["data", "prepare", "node21", str(root), "-o", str(root / "datalist.json"), "--split", "0.5,0.25,0.25"]
    assert invoke(prepare) == 0
    return root


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "out"
    assert invoke(["train", NAME, f"dataset_dir={data}", "max_epochs=2", "batch_size=4", *SMALL, "-o", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def evaluated(data, trained, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("scores") / "out"
    options = [f"weights={trained / 'model.pt'}", "bootstrap=50", "min_rating=0", "grand_challenge=true", *SMALL]
    assert invoke(["evaluate", NAME, f"dataset_dir={data}", *options, "-o", str(out)]) == 0
    return out


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_training_writes_weights_and_one_row_per_epoch(trained) -> None:
    assert [row["epoch"] for row in rows(trained / "epochs.csv")] == ["1", "2"]
    assert (trained / "model.pt").is_file()


def test_training_with_one_seed_gives_the_same_losses(data, trained, tmp_path) -> None:
    out = tmp_path / "again"
    assert invoke(["train", NAME, f"dataset_dir={data}", "max_epochs=2", "batch_size=4", *SMALL, "-o", str(out)]) == 0
    first, second = rows(trained / "epochs.csv"), rows(out / "epochs.csv")
    assert [row["loss"] for row in first] == [row["loss"] for row in second]


def test_evaluation_gives_the_figures_of_the_paper_and_of_node21(data, evaluated) -> None:
    listed = json.loads((data / "datalist.json").read_text())["test"]
    results = json.loads((evaluated / "results.json").read_text())
    assert results["cohort"]["analysed"] == len(listed)
    assert results["data"]["generated"] is True
    assert {"AUC", "AFROC", "wAFROC", "NODE21 score"} <= {figure["name"] for figure in results["headline"]}
    assert results["froc"]["convention"] == "NODE21"
    assert [entry["rate"] for entry in results["froc"]["rates"]] == [0.25, 1.0]
    assert "its point lies in the lesion" in results["hit_rule"]
    assert "The images are generated" in (evaluated / "report" / "index.html").read_text()


def test_an_evaluation_counts_each_box_as_a_lesion(data, evaluated) -> None:
    listed = json.loads((data / "datalist.json").read_text())["test"]
    results = json.loads((evaluated / "results.json").read_text())
    assert results["cohort"]["lesions"] == sum(len(entry["boxes"]) for entry in listed) > 0


def test_the_challenges_file_holds_every_mark_in_the_slice_of_its_case(evaluated) -> None:
    cases, marks = rows(evaluated / "cases.csv"), rows(evaluated / "marks.csv")
    spacing = (float(cases[0]["row_mm"]), float(cases[0]["column_mm"]))
    found = {case.case: case.marks for case in read_boxes(evaluated / "nodules.json", spacing=spacing, stacked=True)}
    for place, case in enumerate(cases):
        ours = [mark for mark in marks if mark["case"] == case["case"]]
        theirs = found.get(f"nodules/{place}", [])
        assert [mark.x for mark in theirs] == pytest.approx([float(mark["x"]) for mark in ours], abs=1e-6)
        assert [mark.y for mark in theirs] == pytest.approx([float(mark["y"]) for mark in ours], abs=1e-6)
        assert [mark.rating for mark in theirs] == pytest.approx([float(mark["score"]) for mark in ours])
        assert all(mark.box[2] * spacing[1] == pytest.approx(20) for mark in theirs)
    assert len(marks) == sum(len(found[case]) for case in found) > 0


def test_the_challenges_file_is_scored_as_any_other(evaluated, tmp_path) -> None:
    truth = tmp_path / "truth.csv"
    lines = ["case,x,y,width,height"]
    lines += [f"nodules/{place},,,," for place, _ in enumerate(rows(evaluated / "cases.csv"))]
    lines[1] = "nodules/0,1,1,20,20"
    truth.write_text("\n".join(lines) + "\n")
    score = ["score", "froc", str(evaluated / "nodules.json"), str(truth), "--stacked", "--convention", "node21"]
    assert invoke([*score, "--bootstrap", "50", "-o", str(tmp_path / "out")]) == 0


def test_without_the_option_there_is_no_file_for_the_challenge(data, trained, tmp_path) -> None:
    options = [f"weights={trained / 'model.pt'}", "num_workers=0", "pictures=false", *SMALL]
    assert invoke(["infer", NAME, str(data / "images"), *options, "-o", str(tmp_path / "out")]) == 0
    assert not (tmp_path / "out" / "nodules.json").exists()


def test_a_box_without_a_side_is_refused_before_anything_is_written(data, trained, tmp_path, capsys) -> None:
    options = [f"weights={trained / 'model.pt'}", "grand_challenge=true", "box_mm=0", *SMALL]
    assert invoke(["infer", NAME, str(data / "images"), *options, "-o", str(tmp_path / "out")]) == 2
    assert "box_mm=0: a box's side in millimetres must be above 0" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_printed_monai_command_gives_the_same_marks(data, trained, tmp_path, capsys) -> None:
    options = [f"weights={trained / 'model.pt'}", "num_workers=0", "grand_challenge=true", *SMALL]
    inputs = str(data / "images")
    assert invoke(["infer", NAME, inputs, *options, "-o", str(tmp_path / "ours")]) == 0
    capsys.readouterr()
    assert invoke(["infer", NAME, inputs, *options, "-o", str(tmp_path / "monai"), "--print-command"]) == 0
    words = shlex.split(capsys.readouterr().out)
    subprocess.run([sys.executable, *words[1:]], check=True, capture_output=True, cwd=tmp_path)
    for name in ("marks.csv", "cases.csv", "nodules.json"):
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "monai" / name).read_bytes()


def test_weights_of_another_network_are_refused_before_anything_is_written(data, trained, tmp_path, capsys) -> None:
    arguments = ["infer", NAME, str(data), f"weights={trained / 'model.pt'}", "context=none", *SMALL]
    assert invoke([*arguments, "-o", str(tmp_path / "out")]) == 2
    assert "does not fit the network" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["context=se", "mode=px", "orthogonality_weight=1", "localization_weight=0"])
def test_options_of_the_training_train(data, tmp_path, option) -> None:
    out = tmp_path / "out"
    assert invoke(["train", NAME, f"dataset_dir={data}", option, "max_epochs=1", *SMALL, "-o", str(out)]) == 0
    assert float(rows(out / "epochs.csv")[0]["loss"]) > 0


@pytest.mark.parametrize("dataset", ["jsrt", "vindr_cxr"])
def test_other_nodule_data_sets_train(dataset, tmp_path) -> None:
    root = tmp_path / "data"
    assert invoke(["data", "synth", dataset, str(root), "--cases", "24", "--seed", "3"]) == 0
    label = ["--label", "Nodule/Mass"] if dataset == "vindr_cxr" else []
    prepare = ["data", "prepare", dataset, str(root), "-o", str(root / "datalist.json"), "--split", "0.5,0.25,0.25"]
    assert invoke([*prepare, *label]) == 0
    out = tmp_path / "out"
    assert invoke(["train", NAME, f"dataset_dir={root}", "max_epochs=1", *SMALL, "-o", str(out)]) == 0
    assert float(rows(out / "epochs.csv")[0]["loss"]) > 0


def test_shipped_weights_are_few_and_of_generated_images() -> None:
    bundle = find_bundle(NAME)
    assert bundle.metadata()["weights_trained_on"] == "generated images"
    assert bundle.weights.stat().st_size <= 10e6


def test_shipped_weights_find_nodules_of_a_fresh_drawing(tmp_path) -> None:
    root = tmp_path / "data"
    assert invoke(["data", "synth", "node21", str(root), "--cases", "60", "--seed", "8", "--size", "128"]) == 0
    prepare = ["data", "prepare", "node21", str(root), "-o", str(root / "datalist.json"), "--split", "0,0,1"]
    assert invoke(prepare) == 0
    out = tmp_path / "out"
    assert invoke(["evaluate", NAME, f"dataset_dir={root}", "pictures=false", "bootstrap=50", "-o", str(out)]) == 0
    found = {figure["name"]: figure["value"] for figure in json.loads((out / "results.json").read_text())["headline"]}
    assert found["AUC"] > 0.95
    assert found["AFROC"] > 0.85


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
        **more,
    )
    workflow.initialize()
    assert workflow.check_properties() == []


def test_medpipe_check_finds_the_bundle_sound(capsys) -> None:
    assert invoke(["check", NAME]) == 0
    assert f"{NAME}: sound" in capsys.readouterr().out


def test_the_numbers_that_a_reproduction_is_held_against_are_those_of_the_paper() -> None:
    from medpipe.reproduction.plan import load_plan

    plan = load_plan(find_bundle(NAME))
    found = {
        (table.name, setting.name): tuple(round(100 * setting.published[m].mean, 2) for m in ("AUC", "JAFROC"))
        for table in plan.tables
        for setting in table.settings
        if setting.published
    }
    none, acm = (87.34, 77.35), (88.60, 83.03)
    assert found == {
        **{("modules", "none"): none, ("modules", "se"): (87.66, 77.57), ("modules", "nl"): (88.35, 80.51)},
        **{("modules", "cc"): (87.72, 78.63), ("modules", "acm"): acm},
        **{("parts", "none"): none, ("parts", "full"): acm, ("groups", "8"): acm, ("lambda", "0.1"): acm},
    }
