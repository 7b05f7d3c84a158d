"""The bundle end to end on a generated data set: synth, prepare, pretrain both encoders, train, evaluate, infer, checks."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medpipe.bundles import find_bundle
from medpipe.cli.main import invoke

NAME = "radiology_vqa_mevf"
SIZES = ["features=8", "small_side=32", "large_side=32"]
SMALL = [*SIZES, "hidden=16", "dimensions=8"]
META = ["max_epochs=1", "epoch_length=2", "episodes=1", "inner_steps=1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("rad") / "look_alike"
    assert invoke(["data", "synth", "vqa_rad", str(root), "--cases", "54", "--seed", "3", "--size", "64"]) == 0
    prepare = ["data", "prepare", "vqa_rad", str(root), "-o", str(root / "datalist.json"), "--split", "published"]
    assert invoke(prepare) == 0
    return root


@pytest.fixture(scope="module")
def pretrained(data, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pretrained")
    maml = ["--config", "train_maml", f"meta={data / 'meta/train'}", *META, *SIZES]
    cdae = ["--config", "train_cdae", f"images={data / 'unlabeled'}", "max_epochs=2", *SIZES]
    for name, arguments in (("maml", maml), ("cdae", cdae)):
        assert invoke(["train", NAME, *arguments, "-o", str(folder / name)]) == 0
    return {name: folder / name for name in ("maml", "cdae")}


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "out"
    assert invoke(["train", NAME, f"dataset_dir={data}", "max_epochs=2", *SMALL, "-o", str(out)]) == 0
    return out


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def infer(trained: Path, out: Path, *arguments: str) -> int:
    return invoke(["infer", NAME, *arguments, f"weights={trained / 'model.pt'}", *SMALL, "-o", str(out)])


def test_pretraining_tells_how_well_episodes_are_answered_and_how_much_noise_is_left(pretrained) -> None:
    (row,) = rows(pretrained["maml"] / "epochs.csv")
    assert 0 <= float(row["accuracy"]) <= 1
    errors = [float(row["val_error"]) for row in rows(pretrained["cdae"] / "epochs.csv")]
    assert len(errors) == 2
    assert errors[1] < errors[0]


def test_pretraining_takes_a_manifest_in_the_place_of_folders(data, tmp_path) -> None:
    manifest = tmp_path / "meta.json"
    annotate = ["data", "annotate", str(data / "datalist.json"), "--unlabelled", str(data / "unlabeled")]
    assert invoke([*annotate, "-o", str(manifest)]) == 0
    maml = ["--config", "train_maml", f"meta={manifest}", *META, *SIZES, "first_order=true"]
    cdae = ["--config", "train_cdae", f"images={manifest}", "max_epochs=1", *SIZES]
    for name, arguments in (("maml", maml), ("cdae", cdae)):
        assert invoke(["train", NAME, *arguments, "-o", str(tmp_path / name)]) == 0
        assert (tmp_path / name / "model.pt").is_file()


def test_training_starts_from_both_pretrained_encoders(data, pretrained, tmp_path) -> None:
    options = [f"pretrained_{name}={folder / 'model.pt'}" for name, folder in pretrained.items()]
    frozen = [*options, "freeze_encoders=true", "max_epochs=1"]
    assert invoke(["train", NAME, f"dataset_dir={data}", *frozen, *SMALL, "-o", str(tmp_path / "out")]) == 0
    after = torch.load(tmp_path / "out" / "model.pt", weights_only=True)
    for name, part in (("maml", "meta"), ("cdae", "autoencoder")):
        before = torch.load(pretrained[name] / "model.pt", weights_only=True)
        for key in (key for key in before if "running" not in key and "batches" not in key):
            assert torch.equal(after[f"visual.{part}.{key}"], before[key])


@pytest.mark.parametrize("encoders", ["none", "resnet34"])
def test_what_the_paper_compares_with_is_trained_and_answers(data, tmp_path, encoders) -> None:
    options = [*SMALL, f"encoders={encoders}"]
    train = ["train", NAME, f"dataset_dir={data}", "max_epochs=1", *options, "-o", str(tmp_path / "t")]
    assert invoke(train) == 0
    state = torch.load(tmp_path / "t" / "model.pt", weights_only=True)
    assert any(name.startswith("visual.") for name in state) is (encoders != "none")
    image = str(next((data / "images").glob("*.jpg")))
    asked = [image, "--question", "Is there a mass?", f"weights={tmp_path / 't' / 'model.pt'}"]
    assert invoke(["infer", NAME, *asked, *options, "-o", str(tmp_path / "out")]) == 0
    assert len(rows(tmp_path / "out" / "answers.csv")) == 1
    pictures = list((tmp_path / "out").rglob("image.png"))
    assert len(pictures) == (0 if encoders == "none" else 1)  # a network that sees no image shows none
    assert invoke(["infer", NAME, *asked, "-o", str(tmp_path / "again")]) == 0  # options are those of the training
    assert invoke(["infer", NAME, *asked, *SMALL, "encoders=both", "-o", str(tmp_path / "other")]) == 2


def test_weights_are_those_of_the_last_epoch_and_their_vocabularies_lie_beside_them(trained) -> None:
    last = torch.load(trained / "checkpoint.pt", weights_only=True)["objects"]["network"]
    kept = torch.load(trained / "model.pt", weights_only=True)
    assert all(torch.equal(kept[name], last[name]) for name in last)
    words, answers = (json.loads((trained / name).read_text()) for name in ("questions.json", "answers.json"))
    assert kept["embedding.words.weight"].shape[0] == len(words["words"]) + 1
    assert kept["classifier.answers.bias"].shape[0] == len(answers["answers"])
    assert [float(row["learning_rate"]) for row in rows(trained / "epochs.csv")] == [0.0025, 0.005]


def test_training_with_one_seed_gives_the_same_weights(data, trained, tmp_path) -> None:
    out = tmp_path / "out"
    assert invoke(["train", NAME, f"dataset_dir={data}", "max_epochs=2", *SMALL, "-o", str(out)]) == 0
    first, second = (torch.load(folder / "model.pt", weights_only=True) for folder in (trained, out))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_questions_for_validation_are_scored_each_epoch(data, tmp_path) -> None:
    prepare = ["data", "prepare", "vqa_rad", str(data), "-o", str(tmp_path / "list.json"), "--split", "0.6,0.2,0.2"]
    assert invoke(prepare) == 0
    options = [f"datalist={tmp_path / 'list.json'}", "attention=san", "rnn=gru", "visual_tokens=grid", "max_epochs=1"]
    assert invoke(["train", NAME, f"dataset_dir={data}", *options, *SMALL, "-o", str(tmp_path / "out")]) == 0
    (row,) = rows(tmp_path / "out" / "epochs.csv")
    assert 0 <= float(row["val_accuracy"]) <= 1
    calibration = json.loads((tmp_path / "out" / "calibration.json").read_text())
    assert calibration["questions"] == len(json.loads((tmp_path / "list.json").read_text())["validation"])
    assert calibration["accuracy"] == pytest.approx(float(row["val_accuracy"]))
    run = [f"dataset_dir={data}", options[0], f"weights={tmp_path / 'out' / 'model.pt'}", "bootstrap=50", *SMALL]
    assert invoke(["evaluate", NAME, *run, *options[1:4], "-o", str(tmp_path / "scores")]) == 0
    results = json.loads((tmp_path / "scores" / "results.json").read_text())
    assert "of the calibrated probabilities" in results["calibration"]["figures"][1]["definition"]
    answers = rows(tmp_path / "scores" / "answers.csv")
    assert all(0 <= float(row["calibrated"]) <= 1 for row in answers)
    page = (tmp_path / "scores" / "report" / "index.html").read_text()
    for text in ("Right with probability", "observed share of right answers", "was calibrated on questions"):
        assert text in page


def test_evaluation_gives_both_conventions_with_intervals_over_images(data, trained, tmp_path) -> None:
    out = tmp_path / "out"
    weights = f"weights={trained / 'model.pt'}"
    assert invoke(["evaluate", NAME, f"dataset_dir={data}", weights, "bootstrap=50", *SMALL, "-o", str(out)]) == 0
    results = json.loads((out / "results.json").read_text())
    listed = json.loads((data / "datalist.json").read_text())["test"]
    names = [figure["name"] for figure in results["headline"]]
    assert {"Accuracy, convention A", "Accuracy, convention B", "Answerable"} <= set(names)
    assert results["cohort"]["analysed"] == len(listed) == len(rows(out / "answers.csv"))
    assert results["cohort"]["patients"] == len({entry["patient"] for entry in listed})
    assert "The images are generated" in (out / "report" / "index.html").read_text()
    score = ["score", "vqa", str(out / "answers.csv"), str(data / "datalist.json"), "--bootstrap", "50"]
    assert invoke([*score, "-o", str(tmp_path / "score")]) == 0
    again = json.loads((tmp_path / "score" / "results.json").read_text())
    assert again["headline"][0]["value"] == results["headline"][0]["value"]


def test_answers_come_with_the_next_ones_and_what_is_not_understood_is_refused(data, trained, tmp_path) -> None:
    image = next((data / "images").glob("*.jpg"))
    asked = ["--question", "Which part of the body is shown?", "--question", "qqq zzz?"]
    assert infer(trained, tmp_path / "out", str(image), *asked) == 0
    first, second = rows(tmp_path / "out" / "answers.csv")
    known = json.loads((trained / "answers.json").read_text())["answers"]
    given = [first["answer"], *(first[f"answer_{rank}"] for rank in range(2, 6))]
    assert len(set(given)) == 5
    assert set(given) <= set(known)
    probabilities = [float(first["probability"]), *(float(first[f"probability_{rank}"]) for rank in range(2, 6))]
    assert probabilities == sorted(probabilities, reverse=True)
    assert (second["question"], second["answer"]) == ("qqq zzz?", "")
    assert second["reason"] == "no word of the question is known to the model"
    assert "calibrated" not in first  # the training had no questions for it
    assert [row["status"] for row in rows(tmp_path / "out" / "cases.csv")] == ["done", "skipped"]
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    for text in (
        "Which part of the body is shown?",
        "Next answers",
        "image.png",
        "no word of the question is known",
        "are not calibrated",
    ):
        assert text in page


def attended(run: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(run.rglob("attention.json"))]


def test_the_report_shows_the_share_of_each_word_unless_it_is_left_out(data, trained, tmp_path) -> None:
    image = str(next((data / "images").glob("*.jpg")))
    asked = [image, "--question", "Is there a mass?"]
    assert infer(trained, tmp_path / "out", *asked) == 0
    (found,) = attended(tmp_path / "out")
    assert found["words"] == ["is", "there", "a", "mass", *[""] * 8]
    assert sum(found["weights"]) == pytest.approx(1, abs=1e-5)
    assert found["places"] is None
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert f'mass<span class="share">{100 * found["weights"][3]:.0f} %</span>' in page
    assert infer(trained, tmp_path / "without", *asked, "explain=none") == 0
    assert not attended(tmp_path / "without")
    assert 'id="question-attention"' not in (tmp_path / "without" / "report" / "index.html").read_text()
    assert infer(trained, tmp_path / "wrong", *asked, "explain=all") == 2


@pytest.mark.parametrize("tokens", ["one", "grid"])
def test_stacked_attention_shows_places_of_a_grid_and_says_that_one_token_leaves_nothing(
    data, tmp_path, tokens
) -> None:
    options = [*SMALL, "attention=san", f"visual_tokens={tokens}"]
    assert invoke(["train", NAME, f"dataset_dir={data}", "max_epochs=1", *options, "-o", str(tmp_path / "t")]) == 0
    image = str(next((data / "images").glob("*.jpg")))
    asked = [image, "--question", "Is there a mass?", f"weights={tmp_path / 't' / 'model.pt'}"]
    assert invoke(["infer", NAME, *asked, *options, "-o", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert ("nothing to choose from" in page) is (tokens == "one")
    assert len(list((tmp_path / "out").rglob("maps.jpg"))) == (tokens == "grid")
    if tokens == "grid":
        (found,) = attended(tmp_path / "out")
        assert found["weights"] is None
        assert np.shape(found["places"]) == (2, 2)
        assert np.sum(found["places"]) == pytest.approx(1, abs=1e-5)


def test_dicom_and_png_are_asked_in_one_folder_and_other_files_are_skipped(
    trained, write_dicom, ramp, tmp_path
) -> None:
    write_dicom("in/a.dcm", ramp, Modality="CT", BodyPartExamined="HEAD", PatientName="Canary^Name")
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64).astype(np.uint8)).save(tmp_path / "in" / "b.png")
    (tmp_path / "in" / "notes.txt").write_text("no image")
    assert infer(trained, tmp_path / "out", str(tmp_path / "in"), "--question", "Is there a mass?") == 0
    found = {row["file"]: row for row in rows(tmp_path / "out" / "cases.csv")}
    assert [found[name]["status"] for name in ("a.dcm", "b.png", "notes.txt")] == ["done", "done", "skipped"]
    assert "file type '.txt'" in found["notes.txt"]["reason"]
    assert len(rows(tmp_path / "out" / "answers.csv")) == 2
    assert "Canary" not in (tmp_path / "out" / "cases.csv").read_text()


def test_a_watched_folder_is_asked_as_one_that_is_searched_once(data, trained, tmp_path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for image in sorted((data / "images").glob("*.jpg"))[:2]:
        shutil.copy(image, folder)
    (folder / "notes.txt").write_text("no image")
    asked = ["--question", "Is there a mass?", "--question", "Which part of the body is shown?"]
    watching = ["--watch", str(folder), "--watch-idle", "0.5", "watch_settle=0", "--workers", "0"]
    assert infer(trained, tmp_path / "watched", *watching, *asked) == 0
    assert infer(trained, tmp_path / "once", str(folder), *asked) == 0
    assert len(rows(tmp_path / "once" / "answers.csv")) == 4
    for name in ("answers.csv", "cases.csv"):
        watched, once = (
            sorted(rows(tmp_path / run / name), key=lambda row: row["case"]) for run in ("watched", "once")
        )
        assert watched == once


def test_a_table_asks_of_each_image_what_stands_beside_it(data, trained, tmp_path) -> None:
    images = sorted((data / "images").glob("*.jpg"))[:2]
    lines = [
        "image,question,case",
        f"{images[0]},What is abnormal in this image?,first",
        f"{images[0]},Is there a mass?,",
        f"{images[1]},,empty",
        "gone.jpg,Is there a mass?,gone",
    ]
    (tmp_path / "asked.csv").write_text("\n".join(lines) + "\n")
    assert infer(trained, tmp_path / "out", str(tmp_path / "asked.csv")) == 3
    found = {row["case"]: row for row in rows(tmp_path / "out" / "cases.csv")}
    assert {name: row["status"] for name, row in found.items()} == {
        "first": "done",
        images[0].stem: "done",
        "empty": "failed",
        "gone": "failed",
    }
    assert "line 4: the question is empty" in found["empty"]["reason"]
    assert "line 5: image 'gone.jpg' does not exist" in found["gone"]["reason"]
    assert {row["question"] for row in rows(tmp_path / "out" / "answers.csv")} == {
        "What is abnormal in this image?",
        "Is there a mass?",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.png", "--question", "Is there a mass?"], "input 'gone.png' does not exist"),
        (["IMAGE"], "no question given; add --question TEXT"),
        (["--watch", "FOLDER"], "no question given; add --question TEXT"),
        (["--watch", "FOLDER", "--question", "qqq zzz?"], "question 'qqq zzz?': no word of the question is known"),
        (["TABLE", "watch=true"], "is no folder, and only folders can be watched"),
        (["IMAGE", "--question", " "], "--question is empty"),
        (["IMAGE", "--question", "$1 + 1"], "write it in words"),
        (["TABLE"], "lacks the column 'question'; it has image, text"),
        (["TABLE", "--question", "Is there a mass?"], "names images and questions"),
        (["IMAGE", "--question", "Is there a mass?", "small_side=48"], "were trained with small_side=32"),
        (["IMAGE", "--question", "Is there a mass?", "answers=gone.json"], "vocabulary 'gone.json' does not exist"),
    ],
)
def test_wrong_requests_are_refused_before_anything_is_written(
    data, trained, tmp_path, capsys, arguments, message
) -> None:
    (tmp_path / "asked.csv").write_text("image,text\na.jpg,what\n")
    places = {"IMAGE": str(next((data / "images").glob("*.jpg"))), "TABLE": str(tmp_path / "asked.csv")}
    places["FOLDER"] = str(data / "images")
    sizes = [size for size in SMALL if size.split("=")[0] not in {text.split("=")[0] for text in arguments}]
    given = [places.get(text, text) for text in arguments]
    weights = f"weights={trained / 'model.pt'}"
    assert invoke(["infer", NAME, *given, weights, *sizes, "-o", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_another_bundle_takes_no_question(tmp_path, capsys) -> None:
    arguments = ["infer", "cxr14_acm", str(tmp_path), "--question", "Why?", "-o", str(tmp_path / "out")]
    assert invoke(arguments) == 2
    assert "'cxr14_acm' answers none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("large_side=30", "divisible by 4"),
        ("attention=none", "attention"),
        ("pretrained_imagenet=gone.pth", "pretrained_imagenet=gone.pth: this choice of encoders has no such part"),
        ("unknown=no", "unk or last_word"),
        ("min_count=9999", "smaller min_count"),
        ("pretrained_maml=gone.pt", "weight file 'gone.pt' cannot be read"),
        ("glove=gone.txt", "gone.txt"),
    ],
)
def test_options_of_the_training_that_do_not_fit_are_refused_before_anything_is_written(
    data, tmp_path, capsys, option, message
) -> None:
    sizes = [size for size in SMALL if size.split("=")[0] != option.split("=")[0]]
    assert invoke(["train", NAME, f"dataset_dir={data}", *sizes, option, "-o", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_damaged_picture_is_named_before_meta_learning_begins(data, tmp_path, capsys) -> None:
    content = {"format": "medpipe-meta/1", "root": str(tmp_path), "images": []}
    source = next((data / "images").glob("*.jpg")).read_bytes()
    for name in ("a1", "a2", "b1", "b2", "c1", "c2"):
        (tmp_path / f"{name}.jpg").write_bytes(source if name != "b2" else source[:80])
        content["images"].append({"image": f"{name}.jpg", "class": name[0], "reason": ""})
    (tmp_path / "meta.json").write_text(json.dumps(content))
    options = [f"meta={tmp_path / 'meta.json'}", *META, *SIZES]
    assert invoke(["train", NAME, "--config", "train_maml", *options, "-o", str(tmp_path / "out")]) == 2
    assert "1 pictures cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("config", "option"), [("train_maml", "meta"), ("train_cdae", "images")])
def test_pretraining_without_pictures_says_what_it_expects(tmp_path, capsys, config, option) -> None:
    arguments = ["train", NAME, "--config", config, f"{option}={tmp_path}", "-o", str(tmp_path / "out")]
    assert invoke(arguments) == 2
    assert "expected" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("kind", "suffix"), [("onnx", ".onnx"), ("torch-export", ".pt2")])
def test_an_exported_file_gives_the_logits_of_torch_from_words_and_both_images(
    data, trained, tmp_path, capsys, kind, suffix
) -> None:
    file, weights = tmp_path / f"net{suffix}", f"weights={trained / 'model.pt'}"
    assert invoke(["export", NAME, weights, *SMALL, "--format", kind, "-o", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["differences"]
    assert {item["case"] for item in found} == {"random 1", "random 2", "random batch of 3", "drawn"}
    assert all(item["largest"] <= 1e-4 * max(1, item["scale"]) for item in found)
    if kind == "onnx":
        import onnx

        model = onnx.load(file)
        sizes = {
            value.name: [part.dim_value for part in value.type.tensor_type.shape.dim[1:]] for value in model.graph.input
        }
        assert sizes == {"question": [12], "small": [1, 32, 32], "large": [1, 32, 32]}
        facts = {item.key: item.value for item in model.metadata_props}
        assert len(facts["answers"]) == 64  # which answers.json it goes with
        assert (facts["attention"], facts["encoders"], facts["hidden"]) == ("ban", "both", "16")
        asked = [str(next((data / "images").glob("*.jpg"))), "--question", "Is there a mass?"]
        assert infer(trained, tmp_path / "torch", *asked, "explain=none") == 0
        there = [*asked, "--runtime", "onnx", "--exported", str(file)]
        assert infer(trained, tmp_path / "onnx", *there) == 0
        (one,), (other,) = (rows(tmp_path / run / "answers.csv") for run in ("torch", "onnx"))
        assert one["answer"] == other["answer"]
        assert float(one["probability"]) == pytest.approx(float(other["probability"]), abs=1e-4)
        identity = json.loads((tmp_path / "onnx" / "run.json").read_text())["identity"]
        assert identity["options"]["runtime"]["name"] == "onnx"
        assert infer(trained, tmp_path / "seen", *there, "explain=attention") == 2
        assert "explain=attention: this network does not say" in capsys.readouterr().err
        assert not (tmp_path / "seen").exists()
        copied = tmp_path / "copied"  # without the training's record
        copied.mkdir()
        for name in ("model.pt", "questions.json", "answers.json"):
            shutil.copy(trained / name, copied)
        assert infer(copied, tmp_path / "san", *there, "attention=san") == 2
        assert "was exported with attention ban, and this run has san" in capsys.readouterr().err


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
        dataset_dir=str(data / "images") if kind == "infer" else str(data),
        output_dir=str(tmp_path / "out"),
        **({"question": "Is there a mass?"} if kind == "infer" else {}),
        **{key: int(value) for key, value in (size.split("=") for size in SMALL)},
        **more,
    )
    workflow.initialize()
    assert workflow.check_properties() == []


def test_medpipe_check_finds_the_bundle_sound(capsys) -> None:
    assert invoke(["check", NAME]) == 0
    assert f"{NAME}: sound" in capsys.readouterr().out


def test_an_evaluation_watches_no_folder_and_asks_no_question_of_its_own(data, trained, tmp_path, capsys) -> None:
    for option in ("watch=true", "question=Why"):
        command = ["evaluate", NAME, f"dataset_dir={data}", f"weights={trained / 'model.pt'}", option]
        assert invoke([*command, "-o", str(tmp_path / "out")]) == 2
        assert f"{option.split('=')[0]} is for 'medpipe infer'" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_weights_have_the_layout_that_other_programs_take(pretrained, trained) -> None:
    for path in (trained / "model.pt", *(folder / "model.pt" for folder in pretrained.values())):
        assert all(value.is_contiguous() for value in torch.load(path, weights_only=True).values())


def test_the_same_command_again_keeps_answers_and_another_question_is_another_run(
    data, trained, tmp_path, capsys
) -> None:
    image, out = str(next((data / "images").glob("*.jpg"))), tmp_path / "out"
    asked = [image, "--question", "Is there a mass?", "--question", "What is abnormal in this image?"]
    assert infer(trained, out, *asked, "--limit", "1") == 0
    assert len(rows(out / "answers.csv")) == 1
    assert infer(trained, out, *asked) == 0
    before = (out / "answers.csv").read_bytes()
    assert len(rows(out / "answers.csv")) == 2
    assert infer(trained, out, *asked) == 0
    assert (out / "answers.csv").read_bytes() == before
    capsys.readouterr()
    assert infer(trained, out, image, "--question", "Is there a mass?") == 2
    assert "holds another run (other options)" in capsys.readouterr().err


def test_a_dry_run_writes_nothing(data, trained, tmp_path, capsys) -> None:
    image = str(next((data / "images").glob("*.jpg")))
    assert infer(trained, tmp_path / "out", image, "--question", "Is there a mass?", "--dry-run") == 0
    assert "radiology_vqa_mevf" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_the_shipped_weights_answer_questions_about_drawings_that_they_have_not_seen(tmp_path) -> None:
    root = tmp_path / "fresh"
    assert invoke(["data", "synth", "vqa_rad", str(root), "--cases", "27", "--seed", "99", "--size", "64"]) == 0
    assert invoke(["data", "prepare", "vqa_rad", str(root), "-o", str(root / "list.json"), "--split", "published"]) == 0
    run = [f"dataset_dir={root}", f"datalist={root / 'list.json'}", "bootstrap=20", "num_workers=0", "section=training"]
    assert invoke(["evaluate", NAME, *run, "-o", str(tmp_path / "scores")]) == 0
    results = json.loads((tmp_path / "scores" / "results.json").read_text())
    found = {figure["name"]: figure["value"] for figure in results["headline"]}
    assert found["Accuracy, closed, convention B"] > 0.9 > found["Constant answer, closed, convention B"]
    assert found["Accuracy, open, convention B"] > 0.9
    assert all(row["calibrated"] for row in rows(tmp_path / "scores" / "answers.csv"))


def test_two_processes_share_a_training(data, trained, tmp_path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "medpipe"]
    prepare = ["data", "prepare", "vqa_rad", str(data), "-o", str(tmp_path / "list.json"), "--split", "0.6,0.2,0.2"]
    assert invoke(prepare) == 0
    options = [f"dataset_dir={data}", f"datalist={tmp_path / 'list.json'}", "max_epochs=1", *SMALL]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [*launcher, "train", NAME, *options, "-o", str(tmp_path / "out")]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    (row,) = rows(tmp_path / "out" / "epochs.csv")
    assert float(row["loss"]) > 0
    assert 0 <= float(row["val_accuracy"]) <= 1
    assert json.loads((tmp_path / "out" / "calibration.json").read_text())["section"] == "validation"
    weights, alone = (torch.load(out / "model.pt", weights_only=True) for out in (tmp_path / "out", trained))
    assert weights.keys() == alone.keys()
