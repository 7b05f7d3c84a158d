"""The bundle end to end on generated data: synth, prepare, annotate, rounds of meta-learning, train, evaluate, infer, checks."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path

import pytest
import torch
import yaml

from medpipe.bundles import find_bundle
from medpipe.cli.main import invoke
from medpipe.engines.steps.meta_learning import MetaLearningStep

NAME = "radiology_vqa_mmq"
SIZES = ["features=6", "small_side=32"]
SMALL = [*SIZES, "large_side=32", "hidden=16", "dimensions=8", "models=2"]
ROUNDS = ["rounds=1", "models=2", "max_epochs=1", "epoch_length=2", "episodes=1", "inner_steps=1", "adapt_steps=1"]
ROUNDS += ["refine_episodes=6", "score_episodes=4"]
META = ["--config", "train_meta", *ROUNDS]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("rad") / "look_alike"
    assert invoke(["data", "synth", "vqa_rad", str(root), "--cases", "54", "--seed", "3", "--size", "64"]) == 0
    prepare = ["data", "prepare", "vqa_rad", str(root), "-o", str(root / "datalist.json"), "--split", "published"]
    assert invoke(prepare) == 0
    annotate = ["data", "annotate", str(root / "datalist.json"), "--unlabelled", str(root / "unlabeled")]
    assert invoke([*annotate, "-o", str(root / "meta.json")]) == 0
    return root


@pytest.fixture(scope="module")
def meta(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("meta") / "out"
    assert invoke(["train", NAME, *META, f"meta={data / 'meta.json'}", *SIZES, "-o", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def trained(data, meta, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "out"
    options = [f"dataset_dir={data}", f"pretrained_meta={meta / 'model.pt'}", "max_epochs=2"]
    assert invoke(["train", NAME, *options, *SMALL, "-o", str(out)]) == 0
    return out


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_rounds_leave_manifests_networks_and_the_encoders_that_training_starts_from(meta) -> None:
    for number in range(2):
        assert {path.name for path in (meta / f"t{number}").iterdir()} == {"manifest.json", "epochs.csv", "model.pt"}
    report = json.loads((meta / "selection.json").read_text())
    assert sorted(report["chosen"]) == [0, 1]
    assert [row["round"] for row in rows(meta / "selection.csv")] == ["0", "1"]
    state = torch.load(meta / "model.pt", weights_only=True)
    assert {name.split(".")[0] for name in state} == {"0", "1"}


def test_a_folder_does_as_well_as_a_manifest_and_a_part_of_its_own_may_be_held_out(data, tmp_path) -> None:
    val = tmp_path / "val.json"
    images = json.loads((data / "meta.json").read_text())["images"]
    groups: dict[str, list[str]] = defaultdict(list)
    for image in images:
        groups[image["class"] or ""].append(image["image"])
    held = [{"image": name, "class": label, "reason": ""} for label in groups if label for name in groups[label][:2]]
    val.write_text(json.dumps({"format": "medpipe-meta/1", "root": str(data), "images": held}))
    names = {image["image"] for image in held}
    rest = tmp_path / "rest.json"
    others = [image for image in images if image["image"] not in names]
    rest.write_text(json.dumps({"format": "medpipe-meta/1", "root": str(data), "images": others}))
    out = tmp_path / "out"
    assert invoke(["train", NAME, *META, f"meta={rest}", f"val={val}", *SIZES, "-o", str(out)]) == 0
    kept = json.loads((out / "held_out.json").read_text())["images"]
    assert {image["image"] for image in kept} == names
    assert invoke(["train", NAME, *META, f"meta={data}", *SIZES, "refine=none", "-o", str(tmp_path / "of_folder")]) == 0


def test_the_same_command_again_does_nothing_and_another_is_refused(data, meta, capsys) -> None:
    before = (meta / "model.pt").read_bytes()
    command = ["train", NAME, *META, f"meta={data / 'meta.json'}", *SIZES, "-o", str(meta)]
    assert invoke(command) == 0
    assert "is finished" in capsys.readouterr().err
    assert (meta / "model.pt").read_bytes() == before
    assert invoke([*command[:-2], "min_share=0.2", "-o", str(meta)]) == 2
    assert "min_share was 0.45 and is 0.2" in capsys.readouterr().err


def test_rounds_that_were_interrupted_go_on_and_end_the_same(data, meta, tmp_path, monkeypatch) -> None:
    out, left = tmp_path / "out", [3]
    command = ["train", NAME, *META, f"meta={data / 'meta.json'}", *SIZES, "-o", str(out)]
    accumulate = MetaLearningStep.accumulate

    def interrupted(*arguments, **options):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return accumulate(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(MetaLearningStep, "accumulate", interrupted)
        assert invoke(command) != 0
    assert (out / "t0" / "model.pt").is_file()
    assert not (out / "t1" / "model.pt").is_file()
    assert invoke(command) == 0
    for name in ("model.pt", "t1/model.pt"):
        one, other = (torch.load(folder / name, weights_only=True) for folder in (out, meta))
        assert all(torch.equal(one[key], other[key]) for key in other)
    assert (out / "selection.csv").read_bytes() == (meta / "selection.csv").read_bytes()
    assert (out / "t1" / "manifest.json").read_bytes() == (meta / "t1" / "manifest.json").read_bytes()


def test_training_starts_from_the_chosen_encoders_and_an_auto_encoder(data, meta, tmp_path) -> None:
    cdae = ["--config", "train_cdae", f"images={data / 'meta.json'}", "max_epochs=1", "large_side=32"]
    assert invoke(["train", "radiology_vqa_mevf", *cdae, "-o", str(tmp_path / "cdae")]) == 0
    options = [f"pretrained_meta={meta / 'model.pt'}", f"pretrained_cdae={tmp_path / 'cdae' / 'model.pt'}"]
    options += ["with_cdae=true", "freeze_encoders=true", "max_epochs=1", "attention=san"]
    options += ["train_words=false"]
    assert invoke(["train", NAME, f"dataset_dir={data}", *options, *SMALL, "-o", str(tmp_path / "out")]) == 0
    after = torch.load(tmp_path / "out" / "model.pt", weights_only=True)
    for folder, part in ((meta, "meta"), (tmp_path / "cdae", "autoencoder")):
        for key, value in torch.load(folder / "model.pt", weights_only=True).items():
            assert torch.equal(after[f"visual.{part}.{key}"], value)
    assert after["visual.meta.0.norms.0.running_mean"].abs().sum() > 0


def test_encoders_may_be_named_by_hand(data, meta, tmp_path) -> None:
    rounds = f"pretrained_meta=[{meta / 't1' / 'model.pt'}, {meta / 't0' / 'model.pt'}]"
    options = [f"dataset_dir={data}", rounds, "freeze_encoders=true", "max_epochs=1"]
    assert invoke(["train", NAME, *options, *SMALL, "-o", str(tmp_path / "out")]) == 0
    after = torch.load(tmp_path / "out" / "model.pt", weights_only=True)
    for place, number in enumerate((1, 0)):
        before = torch.load(meta / f"t{number}" / "model.pt", weights_only=True)
        name = "convolutions.2.weight"
        assert torch.equal(after[f"visual.meta.{place}.{name}"], before[f"encoder.{name}"])


def test_weights_of_the_best_epoch_are_kept_where_that_is_asked_for(data, tmp_path) -> None:
    prepare = ["data", "prepare", "vqa_rad", str(data), "-o", str(tmp_path / "list.json"), "--split", "0.6,0.2,0.2"]
    assert invoke(prepare) == 0
    options = [f"dataset_dir={data}", f"datalist={tmp_path / 'list.json'}", "keep=best", "max_epochs=3"]
    assert invoke(["train", NAME, *options, *SMALL, "-o", str(tmp_path / "out")]) == 0
    scores = [float(row["val_accuracy"]) for row in rows(tmp_path / "out" / "epochs.csv")]
    state = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)["objects"]
    assert state["best_weights"]["best"] == pytest.approx(max(scores), rel=1e-5)
    assert not (tmp_path / "out" / "calibration.json").exists()
    kept = torch.load(tmp_path / "out" / "model.pt", weights_only=True)
    is_last = all(torch.equal(value, state["network"][key]) for key, value in kept.items())
    assert is_last is (scores[-1] > max(scores[:-1]))


def test_evaluation_gives_both_conventions(data, trained, tmp_path) -> None:
    out = tmp_path / "out"
    weights = f"weights={trained / 'model.pt'}"
    assert invoke(["evaluate", NAME, f"dataset_dir={data}", weights, "bootstrap=50", *SMALL, "-o", str(out)]) == 0
    results = json.loads((out / "results.json").read_text())
    names = {figure["name"] for figure in results["headline"]}
    assert {"Accuracy, convention A", "Accuracy, convention B", "Answerable"} <= names
    listed = json.loads((data / "datalist.json").read_text())["test"]
    assert results["cohort"]["analysed"] == len(listed) == len(rows(out / "answers.csv"))


def infer(trained: Path, out: Path, *arguments: str) -> int:
    return invoke(["infer", NAME, *arguments, f"weights={trained / 'model.pt'}", *SMALL, "-o", str(out)])


def test_answers_come_with_the_next_ones_and_the_words_that_weighed(data, trained, tmp_path) -> None:
    image = next((data / "images").glob("*.jpg"))
    asked = ["--question", "Which part of the body is shown?", "--question", "qqq zzz?"]
    assert infer(trained, tmp_path / "out", str(image), *asked) == 0
    first, second = rows(tmp_path / "out" / "answers.csv")
    known = json.loads((trained / "answers.json").read_text())["answers"]
    assert {first["answer"], *(first[f"answer_{rank}"] for rank in range(2, 6))} <= set(known)
    assert second["reason"] == "no word of the question is known to the model"
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "Which part of the body is shown?" in page


def test_an_exported_file_gives_the_logits_of_torch(trained, tmp_path, capsys) -> None:
    command = ["export", NAME, f"weights={trained / 'model.pt'}", *SMALL, "-o", str(tmp_path / "net.onnx"), "--json"]
    assert invoke(command) == 0
    found = json.loads(capsys.readouterr().out)["differences"]
    assert found
    assert all(item["largest"] <= 1e-4 * max(1, item["scale"]) for item in found)


@pytest.fixture(scope="module")
def pathology(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("path") / "look_alike"
    assert invoke(["data", "synth", "path_vqa", str(root), "--cases", "90", "--seed", "3", "--size", "64"]) == 0
    prepare = ["data", "prepare", "path_vqa", str(root), "-o", str(root / "datalist.json"), "--split", "published"]
    assert invoke(prepare) == 0
    return root


def test_pathology_is_learnt_and_asked_about_in_colour(pathology, tmp_path, capsys) -> None:
    sizes = ["features=4", "small_side=46"]
    small = [*sizes, "large_side=32", "hidden=16", "dimensions=8", "models=2"]
    overlays = ["--config", "train_meta", "--config", "train_meta_path_vqa", *ROUNDS, "ways=3", "support=1", "query=1"]
    out, classes = tmp_path / "meta", pathology / "pathvqa_maml"
    meta = [f"meta={classes / 't0'}", f"val={classes / 'val'}"]
    assert invoke(["train", NAME, *overlays, *meta, *sizes, "-o", str(out)]) == 0
    held_out = json.loads((out / "held_out.json").read_text())["images"]
    assert len(held_out) == 18
    assert {Path(image["image"]).parent.name for image in held_out} == {image["class"] for image in held_out}
    state = torch.load(out / "model.pt", weights_only=True)
    assert state["0.convolutions.0.weight"].shape == (4, 3, 3, 3)
    options = [
        "--config",
        "path_vqa",
        f"dataset_dir={pathology}",
        f"pretrained_meta={out / 'model.pt'}",
        "max_epochs=1",
    ]
    trained = tmp_path / "trained"
    assert invoke(["train", NAME, *options, *small, "-o", str(trained)]) == 0
    weights = [f"weights={trained / 'model.pt'}", *small]
    scores = tmp_path / "scores"
    evaluate = ["evaluate", NAME, "profile=path_vqa", f"dataset_dir={pathology}", "bootstrap=20", *weights]
    assert invoke([*evaluate, "-o", str(scores)]) == 0
    names = [figure["name"] for figure in json.loads((scores / "results.json").read_text())["headline"]]
    assert any(name.startswith("Accuracy") for name in names)
    image = str(next((pathology / "images" / "test").glob("*.jpg")))
    ask = ["infer", NAME, image, "--question", "is there a mass?", *weights]
    assert invoke([*ask, "-o", str(tmp_path / "asked")]) == 0  # the profile is that of the training
    assert rows(tmp_path / "asked" / "answers.csv")[0]["answer"]
    capsys.readouterr()
    assert invoke([*ask, "profile=rad", "-o", str(tmp_path / "grey")]) == 2
    assert "were trained with profile=path_vqa" in capsys.readouterr().err
    assert invoke(["export", NAME, *weights, "profile=path_vqa", "-o", str(tmp_path / "net.onnx")]) == 0


def test_pathvqa_cannot_be_annotated_from_its_questions_and_says_what_to_give(pathology, tmp_path, capsys) -> None:
    assert invoke(["data", "annotate", str(pathology / "datalist.json"), "-o", str(tmp_path / "meta.json")]) == 2
    assert "names the organ of no image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["meta=gone.json"], "'gone.json' holds no folders of classes"),
        (["meta=META", "ways=9"], "episodes of 9 classes and one for all others need 10"),
        (["meta=META", "rounds=0"], "models=2 cannot be chosen from the 1 of rounds=0"),
        (["meta=META", "refine=all"], "refine must be one of"),
        (["meta=META", "selection=best"], "selection must be one of"),
        (["meta=META", "profile=path"], "did you mean 'path_vqa'"),
        (["meta=META", "small_side=16"], "images of 16 rows are too small"),
        (["meta=META", "val=META"], "images of val= are in meta="),
        (["meta=META", "val_fraction=1.5"], "val_fraction must be above 0"),
        (["meta=TAMPERED"], "is no manifest of meta-data"),
        (["meta=CUT"], "1 pictures cannot be read"),
        (["meta=GONE"], "1 images are not under"),
    ],
)
def test_wrong_requests_for_rounds_are_refused_before_anything_is_written(
    data, tmp_path, capsys, options, message
) -> None:
    content = json.loads((data / "meta.json").read_text())
    content["root"] = str(data)
    (tmp_path / "tampered.json").write_text(json.dumps({**content, "format": "pickle"}))
    first = content["images"][0]
    cut = data / "unlabeled" / "cut.jpg"
    cut.write_bytes(b"\xff\xd8\xff nothing")
    images = {"cut": "unlabeled/cut.jpg", "gone": "gone.jpg"}
    for name, image in images.items():
        more = {**content, "images": [*content["images"], {**first, "image": image}]}
        (tmp_path / f"{name}.json").write_text(json.dumps(more))
    places = {"META": data / "meta.json", "TAMPERED": "tampered.json", "CUT": "cut.json", "GONE": "gone.json"}
    given = []
    for option in options:
        name, _, value = option.partition("=")
        place = places.get(value)
        given.append(option if place is None else f"{name}={tmp_path / place}")
    sizes = [size for size in SIZES if size.split("=")[0] not in {text.split("=")[0] for text in options}]
    rounds = [text for text in ROUNDS if text.split("=")[0] not in {word.split("=")[0] for word in options}]
    command = ["train", NAME, "--config", "train_meta", *rounds, *sizes, *given, "-o", str(tmp_path / "out")]
    code = invoke(command)
    cut.unlink()
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["pretrained_meta=META", "models=3"], "holds 2 encoders, and the network has 3; give models=2"),
        (["pretrained_meta=META", "features=7"], "give the profile= and features="),
        (["pretrained_meta=gone.pt"], "no weights file at gone.pt"),
        (["pretrained_cdae=gone.pt"], "give with_cdae=true"),
        (["keep=best"], "keep=best goes by questions for validation"),
        (["profile=path_vqa"], "images of 32 rows are too small"),
        (["norms=none"], "unknown kind of batch normalisation"),
        (["large_side=30"], "divisible by 4"),
    ],
)
def test_wrong_requests_for_training_are_refused_before_anything_is_written(
    data, meta, tmp_path, capsys, options, message
) -> None:
    names = {text.split("=")[0] for text in options}
    sizes = [size for size in SMALL if size.split("=")[0] not in names]
    given = [text.replace("META", str(meta / "model.pt")) for text in options]
    assert invoke(["train", NAME, f"dataset_dir={data}", *sizes, *given, "-o", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("train", ["train.yaml"]),
        ("train", ["train.yaml", "path_vqa.yaml"]),
        ("infer", ["inference.yaml"]),
        ("eval", ["inference.yaml", "evaluate.yaml"]),
    ],
)
def test_monais_property_check_passes(data, pathology, trained, tmp_path, kind, files) -> None:
    from monai.bundle import ConfigWorkflow

    root = find_bundle(NAME).root
    in_colour = "path_vqa.yaml" in files
    source = pathology if in_colour else data
    workflow = ConfigWorkflow(
        [str(root / "configs" / name) for name in files],
        workflow_type=kind,
        logging_file=False,
        bundle_root=str(root),
        dataset_dir=str(source / "images") if kind == "infer" else str(source),
        output_dir=str(tmp_path / "out"),
        **({"question": "Is there a mass?"} if kind == "infer" else {}),
        **{key: int(value) for key, value in (size.split("=") for size in SMALL)}
        | {"small_side": 46 if in_colour else 32},
        **({} if kind == "train" else {"weights": str(trained / "model.pt")}),
    )
    workflow.initialize()
    assert workflow.check_properties() == []


def test_overlays_change_options_that_the_config_has() -> None:
    configs = find_bundle(NAME).root / "configs"
    read = lambda name: yaml.safe_load((configs / f"{name}.yaml").read_text())  # noqa: E731
    assert read("path_vqa").keys() <= read("train").keys()
    assert read("train_meta_path_vqa").keys() <= {**read("train"), **read("train_meta")}.keys()


def test_training_evaluation_and_inference_have_one_network() -> None:
    configs = find_bundle(NAME).root / "configs"
    of_train, of_inference = (
        yaml.safe_load((configs / name).read_text())["network_def"] for name in ("train.yaml", "inference.yaml")
    )
    assert of_train == of_inference
