"""Rounds of meta-learning on small pictures: records by hand-made networks, files, interruptions, choices."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from medpipe.data.meta_manifest import MetaManifest
from medpipe.data.meta_refinement import Refinement
from medpipe.data.meta_split import split_meta
from medpipe.engines.meta_records import class_probabilities, class_votes, true_probabilities_and_features
from medpipe.engines.meta_rounds import MetaRounds, Selection
from medpipe.engines.meta_training import MetaTraining
from medpipe.engines.steps.meta_learning import Adaptation, MetaLearningStep
from medpipe.errors import RequestError
from medpipe.networks.mmq import MetaLearner
from medpipe.transforms.meta_episodes import SeededEpisodes
from medpipe.transforms.vqa import EpisodeBatches

SIDE = 23
DRAWN = {"ways": 2, "support": 1, "query": 2, "side": SIDE}


def write(folder: Path, count: int, level: int, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        picture = rng.integers(0, 60, (SIDE, SIDE), np.uint8) + np.uint8(level)
        Image.fromarray(picture).save(folder / f"{number}.png")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("meta")
    rng = np.random.default_rng(0)
    for place, name in enumerate("abcd"):
        write(root / "train" / name, 6, 60 * place, rng)
    write(root / "train_unlabel", 8, 100, rng)
    return root


def rounds(root: Path, out: Path, **options: Any) -> MetaRounds:
    out.mkdir(exist_ok=True)
    step = MetaLearningStep(Adaptation(steps=1, first_order=True))
    given: dict[str, Any] = {
        "learner": partial(MetaLearner, 3, channels=4, side=SIDE),
        "batches": partial(EpisodeBatches, batches=2, episodes=1, other=True, **DRAWN),
        "episodes": partial(SeededEpisodes, **DRAWN),
        "training": MetaTraining(step, epochs=2),
        "adaptation": Adaptation(steps=1, first_order=True),
        "refinement": Refinement(min_appearances=0, min_votes=0, min_probability=0.5),
        "selection": Selection(2),
        "rounds": 2,
        "refine_episodes": 5,
        "score_episodes": 4,
        "seed": 1,
    }
    return MetaRounds(out, split_meta(root, ways=2), **{**given, **options})


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("whole") / "out"
    rounds(root, out).run()
    return out


def content(out: Path) -> dict[str, Any]:
    """All files of a run; times and the pickled order of tensors apart."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        name = path.relative_to(out).as_posix()
        if path.suffix == ".pt":
            state = torch.load(path, weights_only=True)
            found[name] = {key: value.tolist() for key, value in state.items()}
        elif path.name == "epochs.csv":
            with path.open(newline="") as stream:
                found[name] = [
                    {key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(stream)
                ]
        else:
            found[name] = path.read_text()
    return found


def test_each_round_leaves_its_data_its_training_and_its_network(root, whole) -> None:
    assert {path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()} == {
        *("held_out.json", "model.pt", "selection.csv", "selection.json"),
        *(f"t{number}/{name}" for number in range(3) for name in ("manifest.json", "epochs.csv", "model.pt")),
    }
    first, second = (MetaManifest.load(whole / f"t{number}" / "manifest.json") for number in (0, 1))
    assert first.images == split_meta(root, ways=2).rounds.images
    changed = [now for before, now in zip(first.images, second.images, strict=True) if before != now]
    assert changed
    assert all(image.reason.startswith("t1: ") for image in changed)
    held = {image.image for image in MetaManifest.load(whole / "held_out.json").images}
    assert len(held) == 8
    for number in range(3):
        images = MetaManifest.load(whole / f"t{number}" / "manifest.json").images
        assert not held & {image.image for image in images}
        with (whole / f"t{number}" / "epochs.csv").open(newline="") as stream:
            assert [row["epoch"] for row in csv.DictReader(stream)] == ["1", "2"]


def test_the_chosen_encoders_are_numbered_in_one_file_without_their_last_layers(whole) -> None:
    report = json.loads((whole / "selection.json").read_text())
    assert report["format"] == "medpipe-meta-selection/2"
    assert len(report["chosen"]) == 2
    best = sorted(report["models"], key=lambda row: -row["fuse"])[:2]
    assert [row["round"] for row in best] == report["chosen"]
    state = torch.load(whole / "model.pt", weights_only=True)
    for place, number in enumerate(report["chosen"]):
        of_round = torch.load(whole / f"t{number}" / "model.pt", weights_only=True)
        for name, value in of_round.items():
            if name.startswith("encoder."):
                assert torch.equal(state.pop(f"{place}.{name.removeprefix('encoder.')}"), value)
    assert state == {}


def test_the_table_counts_what_changed(whole) -> None:
    with (whole / "selection.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    manifests = [MetaManifest.load(whole / f"t{number}" / "manifest.json") for number in range(3)]
    for number, (row, manifest) in enumerate(zip(table, manifests, strict=True)):
        assert int(row["unlabelled"]) == len(manifest.unlabelled())
        assert int(row["labelled"]) == sum(manifest.counts().values())
        if number:
            change = int(row["added"]) - int(row["removed"])
            assert int(row["labelled"]) - int(table[number - 1]["labelled"]) == change
    assert (table[0]["added"], table[0]["removed"]) == ("0", "0")


class Killed(BaseException):
    """As a signal would end it."""


def killed_after(calls: int, function: Callable[..., Any]) -> Callable[..., Any]:
    left = [calls]

    def counted(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return function(*arguments, **options)

    return counted


@pytest.mark.parametrize("calls", [0, 1, 3, 5, 6, 9, 11])
def test_a_run_killed_in_any_update_goes_on_where_it_was_and_ends_as_one_that_was_not(
    root, whole, tmp_path, monkeypatch, calls
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(MetaLearningStep, "accumulate", killed_after(calls, MetaLearningStep.accumulate))
        with pytest.raises(Killed):
            rounds(root, out).run()
    done = {path.parent.name for path in out.glob("t*/model.pt")}
    assert done == {f"t{number}" for number in range(calls // 4)}
    with monkeypatch.context() as patch:
        # Of each round that is not done, at most its own updates: 2 epochs of 2, less the whole epochs before.
        patch.setattr(MetaLearningStep, "accumulate", killed_after(12 - calls // 2 * 2, MetaLearningStep.accumulate))
        rounds(root, out).run()
    assert content(out) == content(whole)


@pytest.mark.parametrize("calls", [0, 7, 14])
def test_a_run_killed_while_it_refines_or_compares_ends_the_same(root, whole, tmp_path, monkeypatch, calls) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        draw = SeededEpisodes._draw
        patch.setattr(SeededEpisodes, "_draw", killed_after(2 + calls, draw))
        with pytest.raises(Killed):
            rounds(root, out).run()
    rounds(root, out).run()
    assert content(out) == content(whole)


def test_without_refinement_the_data_stay(root, tmp_path) -> None:
    rounds(root, tmp_path / "out", refinement=Refinement("none"), selection=Selection(by="all")).run()
    first, *others = (MetaManifest.load(tmp_path / "out" / f"t{number}" / "manifest.json") for number in range(3))
    assert all(other.images == first.images for other in others)
    report = json.loads((tmp_path / "out" / "selection.json").read_text())
    assert sorted(report["chosen"]) == [0, 1, 2]


def test_a_network_of_another_run_is_refused(root, tmp_path) -> None:
    out = tmp_path / "out"
    (out / "t0").mkdir(parents=True)
    torch.save({"a": torch.zeros(1)}, out / "t0" / "model.pt")
    with pytest.raises(RequestError, match=r"t0/model\.pt' is no network of this run"):
        rounds(root, out).run()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 0}, "models=2 cannot be chosen from the 1 of rounds=0"),
        ({"rounds": -1}, "must not be negative"),
        ({"refine_episodes": 0}, "at least 1"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(root, tmp_path, options, message) -> None:
    with pytest.raises(RequestError, match=message):
        rounds(root, tmp_path / "out", **options)


def test_several_processes_are_refused(root, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RequestError, match="without torchrun"):
        rounds(root, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"by": "best"}, "selection must be one of fuse, accuracy, last, all"), ({"weight": 2}, "fuse_weight")],
)
def test_a_selection_that_means_nothing_is_refused(options, message) -> None:
    with pytest.raises(RequestError, match=message):
        Selection(**options)


class Brightness(nn.Module):
    """Says of an image the label that its mean is; adapts to nothing."""

    def __init__(self, gain: float = 100.0) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.gain = gain
        self.encoder = nn.Sequential(nn.Flatten(), nn.Identity())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        label = images.mean(dim=(1, 2, 3)).round().long()
        return nn.functional.one_hot(label, 3).float() * self.gain + 0 * self.unused


def episode(*asked: tuple[str, int, int]) -> dict[str, Any]:
    """Queries by name, what is seen in them, and what they are."""
    return {
        "support": torch.zeros(3, 1, 2, 2),
        "support_label": torch.arange(3),
        "query": torch.stack([torch.full((1, 2, 2), float(seen)) for _, seen, _ in asked]),
        "query_image": [name for name, _, _ in asked],
        "query_label": torch.tensor([label for _, _, label in asked]),
        "classes": ("a", "other", "b"),
    }


EPISODES = [episode(("x", 0, 0), ("y", 1, 1), ("z", 2, 0)), episode(("x", 2, 0), ("z", 2, 1))]


def test_votes_are_counted_by_the_names_of_the_classes() -> None:
    found = class_votes(Brightness(), Adaptation(steps=1), EPISODES)
    assert found == {"x": {"a": 1, "b": 1}, "y": {"other": 1}, "z": {"b": 2}}


def test_probabilities_are_of_the_true_class_and_appearances_as_other_do_not_count() -> None:
    found = class_probabilities(Brightness(), Adaptation(steps=1), EPISODES)
    assert found == {"x": pytest.approx([1, 0]), "z": pytest.approx([0])}
    even = class_probabilities(Brightness(0.0), Adaptation(steps=1), EPISODES)
    assert even["x"] == pytest.approx([1 / 3, 1 / 3])


def test_all_networks_are_asked_about_the_same_images_in_one_order() -> None:
    networks = [Brightness(), Brightness(0.0)]
    p, features = true_probabilities_and_features(networks, Adaptation(steps=1), EPISODES)
    assert p[0] == pytest.approx([1, 1, 0, 0, 0])  # x, y, z; x, z
    assert p[1] == pytest.approx([1 / 3] * 5)
    assert features.shape == (2, 5, 4)
    assert features[0, :, 0].tolist() == [0, 1, 2, 2, 2]


def test_records_leave_a_network_as_it_was(root) -> None:
    torch.manual_seed(0)
    net = MetaLearner(3, channels=4, side=SIDE)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    images = split_meta(root, ways=2).rounds.by_class()
    found = class_probabilities(net, Adaptation(steps=2, rate=0.1), SeededEpisodes(images, count=3, **DRAWN))
    assert all(0 <= value <= 1 for values in found.values() for value in values)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_adaptation_makes_the_support_images_more_probable(root) -> None:
    torch.manual_seed(0)
    net = MetaLearner(3, channels=8, side=SIDE)
    images = split_meta(root, ways=2).rounds.by_class()
    asked = [
        {**found, "query": found["support"], "query_label": found["support_label"], "query_image": list("abc")}
        for found in SeededEpisodes(images, count=5, **DRAWN)
    ]
    means = [
        true_probabilities_and_features([net], Adaptation(steps=steps, rate=0.05), asked)[0].mean() for steps in (0, 10)
    ]
    assert means[1] > means[0] + 0.1


def test_a_training_without_epochs_is_refused() -> None:
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        MetaTraining(MetaLearningStep(Adaptation()), epochs=0)
