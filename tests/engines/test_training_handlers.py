"""The handlers that make a training resumable, on trainers of a few parameters."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import LrScheduleHandler, ValidationHandler
from monai.transforms import Compose, RandGaussianNoised, RandScaleIntensityd
from monai.utils import CommonKeys as Keys
from torch import nn

from medpipe.engines.handlers.best_weights import BestWeights
from medpipe.engines.handlers.epoch_seed import EpochSeed
from medpipe.engines.handlers.epoch_table import EpochTable
from medpipe.engines.handlers.training_checkpoint import TrainingCheckpoint
from medpipe.errors import RequestError

EPOCHS, CASES = 5, 10


class StopHereError(Exception):
    """What stands for a kill."""


class Adversaries:
    """A trainer of two networks with two optimizers, random data, dropout, batch statistics and a falling rate."""

    def __init__(
        self, folder: Path, *, seed: int = 0, stop_at: int = -1, num_workers: int = 0, length: int | None = None
    ) -> None:
        random.seed(stop_at), np.random.seed(stop_at % 97), torch.manual_seed(stop_at)  # the past must not matter
        self.folder, self.stop_at = folder, stop_at
        self.first = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 1))
        self.second = nn.Linear(3, 1)
        for number, parameter in enumerate([*self.first.parameters(), *self.second.parameters()]):
            nn.init.constant_(parameter, 0.1 + 0.01 * number)
        self.one = torch.optim.AdamW(self.first.parameters(), lr=0.01)
        self.two = torch.optim.SGD(self.second.parameters(), lr=0.01, momentum=0.9)
        self.rate = torch.optim.lr_scheduler.OneCycleLR(self.one, max_lr=0.1, total_steps=EPOCHS * CASES)
        data = [{"image": np.full(3, number / CASES, np.float32), "label": number % 2} for number in range(CASES)]
        noise = Compose([RandScaleIntensityd("image", factors=0.3, prob=0.5), RandGaussianNoised("image", prob=0.7)])
        loader = DataLoader(Dataset(data, noise), batch_size=3, shuffle=True, drop_last=True, num_workers=num_workers)
        self.validator = SupervisedEvaluator("cpu", [0], self.first, iteration_update=lambda *_: {})
        self.best = BestWeights(folder, self.first)
        self.validator.state.key_metric_name = "quality"
        self.validator.add_event_handler(Events.EPOCH_COMPLETED, self.measure)
        self.best.attach(self.validator)
        table = EpochTable(folder, self.validator, self.one)
        objects = {"first": self.first, "second": self.second, "one": self.one, "two": self.two, "rate": self.rate}
        handlers = [
            EpochSeed(seed),
            LrScheduleHandler(self.rate, print_lr=False, epoch_level=False),
            ValidationHandler(interval=2, validator=self.validator),
            table,
            TrainingCheckpoint(folder, {**objects, "table": table, "best": self.best}),
        ]
        self.trainer = SupervisedTrainer(
            "cpu",
            EPOCHS,
            loader,
            self.first,
            self.one,
            lambda *_: None,
            epoch_length=length,
            iteration_update=self.step,
            train_handlers=handlers,
        )

    def measure(self, engine: Engine) -> None:
        engine.state.metrics["quality"] = 1 / engine.state.epoch  # the first validation is the best

    def step(self, engine: Engine, batch: dict) -> dict:
        if engine.state.iteration == self.stop_at:
            raise StopHereError
        image, label = batch["image"].as_tensor(), batch["label"].float()
        self.first.train()
        gap = (self.first(image) - self.second(image)).square().mean()
        loss = nn.functional.binary_cross_entropy_with_logits(self.first(image)[:, 0], label) + 0.1 * gap
        for optimizer, value in ((self.one, loss), (self.two, gap)):
            optimizer.zero_grad()
            value.backward(retain_graph=True)
        self.one.step(), self.two.step()
        return {Keys.LOSS: loss}

    def result(self) -> tuple:
        with (self.folder / "epochs.csv").open(newline="") as stream:
            rows = [{**row, "seconds": ""} for row in csv.DictReader(stream)]
        states = [value.tolist() for part in (self.first, self.second) for value in part.state_dict().values()]
        return rows, states, (self.folder / "model.pt").read_bytes()


@pytest.mark.parametrize(
    "options", [{}, {"num_workers": 1}, {"length": 2}], ids=["plain", "loading process", "epochs shorter than the data"]
)
def test_a_training_that_is_stopped_again_and_again_ends_as_one_that_is_not(tmp_path, options) -> None:
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    whole = Adversaries(tmp_path / "whole", **options)
    whole.trainer.run()
    for iteration in (2, 4, 5, 7, 9, 10):
        with pytest.raises(StopHereError):
            Adversaries(tmp_path / "stopped", stop_at=iteration, **options).trainer.run()
    again = Adversaries(tmp_path / "stopped", stop_at=99, **options)
    again.trainer.run()
    assert len(whole.result()[0]) == EPOCHS
    assert again.result() == whole.result()


def test_a_training_at_its_end_has_nothing_to_do(tmp_path) -> None:
    whole = Adversaries(tmp_path)
    whole.trainer.run()
    before = whole.result()
    again = Adversaries(tmp_path, stop_at=1)
    again.trainer.run()
    assert again.result() == before


def test_another_seed_gives_another_training(tmp_path) -> None:
    results = []
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        training = Adversaries(tmp_path / str(seed), seed=seed)
        training.trainer.run()
        results.append(training.result()[1])
    assert results[0] != results[1]


def test_epochs_differ_in_order_and_augmentation(tmp_path) -> None:
    seen: list[bytes] = []
    training = Adversaries(tmp_path)
    training.trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: seen.append(engine.state.batch["image"].numpy().tobytes())
    )
    training.trainer.run()
    assert len(set(seen)) == len(seen) == 3 * EPOCHS


def test_a_checkpoint_of_other_objects_is_refused(tmp_path) -> None:
    Adversaries(tmp_path).trainer.run()
    other = Engine(lambda *_: None)
    TrainingCheckpoint(tmp_path, {"first": nn.Linear(2, 2)}).attach(other)
    with pytest.raises(RequestError, match="no checkpoint of this training"):
        other.run([1])


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path) -> None:
    class Canary:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    torch.save({"epoch": 1, "objects": Canary()}, tmp_path / "checkpoint.pt")
    with pytest.raises(RequestError, match="no checkpoint of this training"):
        Adversaries(tmp_path).trainer.run()
    assert not (tmp_path / "canary").exists()


def test_an_object_without_a_state_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="'rate' has none"):
        TrainingCheckpoint(tmp_path, {"net": nn.Linear(1, 1), "rate": 0.1})


@pytest.mark.parametrize(
    ("metrics", "lower_is_better", "kept"),
    [
        ([0.5, 0.7, 0.6], False, 1),
        ([0.5, 0.7, 0.6], True, 0),
        ([float("nan"), 0.2, float("nan"), 0.1], False, 1),
        ([float("inf"), 0.2], False, 1),
        ([0.5, 0.5], False, 0),
    ],
)
def test_the_weights_of_the_best_finite_metric_are_kept(tmp_path, metrics, lower_is_better, kept) -> None:
    network = nn.Linear(1, 1)
    validator = SupervisedEvaluator(
        "cpu",
        [0],
        network,
        iteration_update=lambda *_: {},
        metric_cmp_fn=(lambda new, old: new < old) if lower_is_better else (lambda new, old: new > old),
    )
    validator.state.key_metric_name = "quality"
    handler = BestWeights(tmp_path, network)
    handler.attach(validator)
    for number, metric in enumerate(metrics):
        nn.init.constant_(network.weight, number)
        validator.state.metrics["quality"] = metric
        validator.run(number + 1)
        again = BestWeights(tmp_path, network)  # as a resumed training has it
        again.load_state_dict(handler.state_dict())
        assert again.state_dict() == handler.state_dict()
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item() == kept


def test_without_a_finite_metric_there_are_no_weights(tmp_path) -> None:
    validator = SupervisedEvaluator("cpu", [0], nn.Linear(1, 1), iteration_update=lambda *_: {})
    validator.state.key_metric_name = "quality"
    BestWeights(tmp_path, validator.network).attach(validator)
    validator.state.metrics["quality"] = float("nan")
    validator.run(1)
    assert list(tmp_path.iterdir()) == []
