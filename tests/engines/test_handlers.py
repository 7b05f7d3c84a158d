from __future__ import annotations

import csv
import math

import pytest
import torch
from ignite.engine import Engine
from monai.utils import CommonKeys as Keys

from medpipe.engines.handlers.epoch_table import EpochTable
from medpipe.engines.handlers.image_auc import image_auc
from medpipe.engines.handlers.progress import ProgressBar


def outputs(scores: list[float], labels: list[float]) -> dict:
    maps = torch.full((len(scores), 1, 2, 2), -5.0)
    maps[:, 0, 1, 1] = torch.tensor(scores)
    return {Keys.PRED: maps, Keys.LABEL: {"image_label": torch.tensor(labels)}}


def auc_of(batches: list[dict]) -> float:
    engine = Engine(lambda _, batch: batch)
    image_auc().attach(engine, "auc")
    return float(engine.run(batches).metrics["auc"])


def test_the_auc_counts_pairs_over_all_batches() -> None:
    # pairs of (diseased, healthy): (1, 0) and (2, 0) are in order, (1, 3) and (2, 3) are not
    assert auc_of([outputs([1.0, 0.0], [1, 0]), outputs([2.0, 3.0], [1, 0])]) == 0.5
    assert auc_of([outputs([1.0, 1.0], [1, 0])]) == 0.5
    assert auc_of([outputs([2.0, 1.0], [1, 0])]) == 1.0


def test_one_class_has_no_auc() -> None:
    assert math.isnan(auc_of([outputs([1.0, 2.0], [1, 1])]))


def test_the_epoch_table_has_one_row_per_epoch(tmp_path) -> None:
    validator = Engine(lambda _, batch: None)
    validator.state.metrics = {"val_auc": 0.75}
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    trainer = Engine(lambda engine, batch: {Keys.LOSS: float(batch)})
    EpochTable(tmp_path, validator, optimizer).attach(trainer)
    trainer.run([1.0, 3.0], max_epochs=2)
    rows = list(csv.DictReader((tmp_path / "epochs.csv").open()))
    assert [(row["epoch"], row["loss"], row["val_auc"], row["learning_rate"]) for row in rows] == [
        ("1", "2", "0.75", "0.5"),
        ("2", "2", "0.75", "0.5"),
    ]


def test_a_metric_that_comes_later_gets_its_own_column(tmp_path) -> None:
    validator = Engine(lambda _, batch: None)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    trainer = Engine(lambda engine, batch: {Keys.LOSS: float(batch)})
    table = EpochTable(tmp_path, validator, optimizer)
    table.attach(trainer)
    validator.state.metrics = {}
    trainer.run([1.0], max_epochs=1)
    validator.state.metrics = {"val_auc": 0.5}
    trainer.run([1.0], max_epochs=2)
    rows = list(csv.DictReader((tmp_path / "epochs.csv").open()))
    assert [row["val_auc"] for row in rows] == ["", "0.5"]
    assert [row["learning_rate"] for row in rows] == ["0.5", "0.5"]


def test_the_progress_bar_is_silent_without_a_terminal_and_hides_no_error(capsys) -> None:
    def step(engine: Engine, batch: int) -> None:
        if batch == 3:
            raise KeyError("boom")

    engine = Engine(step)
    ProgressBar("cases").attach(engine)
    engine.run([1, 2], max_epochs=1)
    with pytest.raises(KeyError, match="boom"):
        engine.run([3], max_epochs=1)
    assert capsys.readouterr().err == ""
