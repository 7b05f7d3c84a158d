"""Training of the registration bundles end to end on generated volumes: teacher, its fields, student; and generated pairs."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from medpipe.bundles import find_bundle, read_config
from medpipe.cli.main import invoke
from medpipe.data.teacher_fields import read_teacher_field
from medpipe.transforms.synthetic_pairs import random_label_maps

LIVER, BRAIN = "liver_ct_registration_ldr", "brain_mri_registration_ldr"
SHORT = ["max_epochs=1", "epoch_length=3", "batch_size=1", "validation_pairs=2", "body_part=whole"]
TEACHER = ["--config", "train_teacher", "image_size=64", "channels=2", *SHORT]
STUDENT = ["image_size=32", "channels=2", "initial=none", *SHORT]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("phantoms") / "look_alike"
    name = "registration_phantoms"
    assert invoke(["data", "synth", name, str(root), "--cases", "14", "--seed", "1", "--size", "16"]) == 0
    assert invoke(["data", "prepare", name, str(root), "-o", str(root / "datalist.json")]) == 0
    return root


def train(data: Path, out: Path, *options: str) -> int:
    return invoke(["train", LIVER, f"dataset_dir={data}", *options, "-o", str(out)])


@pytest.fixture(scope="module")
def fields(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    assert train(data, folder / "teacher", *TEACHER) == 0
    weights = f"weights={folder / 'teacher' / 'model.pt'}"
    assert train(data, folder / "fields", *TEACHER, "--config", "export_fields", weights, "pairs=4") == 0
    return folder / "fields"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_an_export_has_a_record_for_every_pair_and_their_list(fields) -> None:
    listed = rows(fields / "fields.csv")
    assert len(listed) == 4
    for row in listed:
        assert row["file"] == f"fields/{row['fixed']}-{row['moving']}.npz"
        assert read_teacher_field(fields / row["file"]).shape == (3, 64, 64, 64)
    assert len(list((fields / "fields").iterdir())) == 4


def test_an_export_that_lacks_records_makes_these_alone_and_the_same(data, fields, tmp_path, monkeypatch) -> None:
    stamp = json.loads((fields / "training.json").read_text())
    (fields / "training.json").write_text(json.dumps({**stamp, "finished": None}))
    missing, *others = sorted((fields / "fields").iterdir())
    before = missing.read_bytes()
    missing.unlink()
    times = [path.stat().st_mtime_ns for path in others]
    weights = f"weights={fields.parent / 'teacher' / 'model.pt'}"
    assert train(data, fields, *TEACHER, "--config", "export_fields", weights, "pairs=4") == 0
    assert missing.read_bytes() == before
    assert [path.stat().st_mtime_ns for path in others] == times


def test_an_exported_field_is_what_the_teacher_finds_without_augmentation(data, fields) -> None:
    from medpipe.networks.rcn import RCN
    from medpipe.networks.weights import load_weights
    from medpipe.transforms.volume_on_grid import VolumeOnGrid
    from medpipe.transforms.volume_pairs import PairVolumes

    on_grid = VolumeOnGrid(64, body_part="whole", intensity="ct_window")
    found = PairVolumes(data / "datalist.json", data, "training", on_grid=on_grid, most=4)
    network = load_weights(RCN(64, n_cascades=1, channels=2), fields.parent / "teacher" / "model.pt")
    pair = found[1]
    with torch.no_grad():
        field = network(pair["fixed"][None], pair["moving"][None]).field[0].numpy()
    record = read_teacher_field(fields / "fields" / f"{pair['fixed_case']}-{pair['moving_case']}.npz")
    np.testing.assert_allclose(record, field, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("distillation", ["none", "l2", "aldk"])
def test_a_student_trains_with_and_without_a_teacher(data, tmp_path, distillation) -> None:
    from medpipe.data.teacher_fields import write_teacher_field

    write_teacher_field(tmp_path / "phantom_0001-phantom_0002.npz", np.zeros((3, 32, 32, 32)), "x")
    options = [f"distillation={distillation}", f"fields_dir={tmp_path}"]
    assert train(data, tmp_path / "out", *STUDENT, *options) == 0
    (row,) = rows(tmp_path / "out" / "epochs.csv")
    assert 0 < float(row["val_dice"]) <= 1
    assert np.isfinite(float(row["loss"]))
    assert "discriminator" in torch.load(tmp_path / "out" / "checkpoint.pt")["objects"] or distillation != "aldk"


def test_an_interrupted_adversarial_training_ends_as_one_that_was_not(data, tmp_path, monkeypatch) -> None:
    from medpipe.data.registration_datalist import load_registration_datalist
    from medpipe.data.registration_pairs import pairs
    from medpipe.data.teacher_fields import field_path, write_teacher_field
    from medpipe.engines.handlers.training_checkpoint import TrainingCheckpoint

    (tmp_path / "fields").mkdir()
    for fixed, moving in pairs(load_registration_datalist(data / "datalist.json"), "training"):
        path = field_path(tmp_path / "fields", fixed["case"], moving["case"])
        write_teacher_field(path, np.full((3, 32, 32, 32), 0.5), "x")
    options = [*STUDENT, "max_epochs=2", "adv_every=2", "distillation=aldk", f"fields_dir={tmp_path / 'fields'}"]
    assert train(data, tmp_path / "whole", *options) == 0
    save = TrainingCheckpoint.__call__

    def stop_after_the_first(self, engine) -> None:
        save(self, engine)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingCheckpoint, "__call__", stop_after_the_first)
        assert train(data, tmp_path / "cut", *options) == 130
    assert train(data, tmp_path / "cut", *options) == 0
    for name in ("network", "discriminator"):
        one, two = (torch.load(tmp_path / folder / "checkpoint.pt")["objects"][name] for folder in ("whole", "cut"))
        assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_student_learns_from_generated_pairs_without_any_data(tmp_path) -> None:
    small = [
        "image_size=32",
        "channels=2",
        "initial=none",
        "max_epochs=1",
        "epoch_length=3",
        "validation_pairs=2",
        "maps=2",
    ]
    assert invoke(["train", BRAIN, "--config", "train_synthetic", *small, "-o", str(tmp_path / "out")]) == 0
    assert 0 < float(rows(tmp_path / "out" / "epochs.csv")[0]["val_dice"]) <= 1


def test_generated_pairs_can_have_the_labels_of_real_volumes(data, tmp_path) -> None:
    assert train(data, tmp_path / "out", "--config", "train_synthetic", "label_maps=datalist", *STUDENT) == 0


def test_wrong_requests_are_refused_with_what_to_do(data, tmp_path, capsys) -> None:
    assert train(data, tmp_path / "out", "--config", "train_techer") == 2
    assert "has no config 'train_techer'; it has" in capsys.readouterr().err
    assert train(data, tmp_path / "out", *STUDENT, "distillation=l2", f"fields_dir={tmp_path}") == 2
    assert "holds no fields of a teacher" in capsys.readouterr().err
    assert invoke(["train", LIVER, *STUDENT, "-o", str(tmp_path / "out")]) == 2
    assert "give dataset_dir=ROOT" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_printed_command_names_the_overlays_in_order(data, tmp_path, capsys) -> None:
    assert train(data, tmp_path, *TEACHER, "--config", "export_fields", "--print-command") == 0
    command = capsys.readouterr().out
    places = [command.index(f"{name}.yaml") for name in ("train", "train_teacher", "export_fields")]
    assert places == sorted(places)


@pytest.mark.parametrize("name", [LIVER, BRAIN])
def test_training_and_inference_build_the_same_network_by_default(name) -> None:
    configs = [read_config(find_bundle(name).root / "configs" / f"{mode}.yaml") for mode in ("train", "inference")]
    assert configs[0]["network_def"] == configs[1]["network_def"]
    for key in (
        "image_size",
        "n_cascades",
        "initial",
        "variant",
        "channels",
        "half_resolution",
        "body_part",
        "intensity",
    ):
        assert configs[0][key] == configs[1][key]


def test_both_bundles_train_in_the_same_way_but_for_their_names_and_body_parts() -> None:
    own = ("#", "body_part:", "intensity:", "label_maps:", "greys:", "noise:")

    def config(name: str, file: str) -> list[str]:
        text = (find_bundle(name).root / "configs" / f"{file}.yaml").read_text(encoding="utf-8")
        return [line for line in text.replace(name, "").splitlines() if not line.startswith(own)]

    for file in ("train", "train_teacher", "train_synthetic", "export_fields"):
        assert config(LIVER, file) == config(BRAIN, file)


@pytest.mark.parametrize("name", [LIVER, BRAIN])
def test_generated_anatomy_has_a_grey_for_each_of_its_labels(name) -> None:
    config = read_config(find_bundle(name).root / "configs" / "train_synthetic.yaml")
    (maps,) = random_label_maps(config["label_maps"], count=1, image_size=32)
    greys = config["greys"].removeprefix("$").split("]")[0].strip("[").split(",")
    assert len(greys) == int(maps["label"].max()) + 1


@pytest.mark.parametrize("config", [[], ["--config", "train_synthetic"]])
def test_two_processes_share_a_training(data, tmp_path, config) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "medpipe"]
    options = [*config, f"dataset_dir={data}", *STUDENT, "batch_size=2", "-o", str(tmp_path / "out")]
    run = subprocess.run([*launcher, "train", LIVER, *options], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert json.loads((tmp_path / "out" / "training.json").read_text())["identity"]["processes"] == 2
    (row,) = rows(tmp_path / "out" / "epochs.csv")
    assert float(row["loss"]) > 0
    assert torch.load(tmp_path / "out" / "model.pt", weights_only=True)
