"""The mean AUC of several classes as a metric, and the end of a training by its learning rate."""

from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Engine
from sklearn.metrics import roc_auc_score

from medpipe.engines.handlers.latest_metric import LatestMetric
from medpipe.engines.handlers.multilabel_auc import multilabel_auc
from medpipe.engines.handlers.stop_at_rate import StopAtRate
from medpipe.networks.acm import image_logits


def mean_auc(maps: torch.Tensor, labels: torch.Tensor) -> float:
    engine = Engine(lambda _, index: {"pred": maps[index : index + 2], "label": labels[index : index + 2]})
    multilabel_auc(image_logits).attach(engine, "auc")
    return engine.run(range(0, len(maps), 2)).metrics["auc"]


def test_it_is_the_mean_of_the_areas_of_the_largest_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(40, 3, 2, 2, generator=generator)
    labels = torch.randint(0, 2, (40, 3), generator=generator).float()
    labels[::7, 1] = math.nan
    scores = maps.amax(dim=(2, 3)).numpy()
    known = ~labels.isnan().numpy()
    areas = [roc_auc_score(labels[known[:, k], k], scores[known[:, k], k]) for k in range(3)]
    assert mean_auc(maps, labels) == pytest.approx(sum(areas) / 3)


def test_a_class_of_one_kind_is_left_out_and_nothing_left_is_undefined() -> None:
    maps = torch.arange(8.0).reshape(4, 2, 1, 1)
    assert mean_auc(maps, torch.tensor([[0, 1], [0, 1], [1, 1], [1, 1.0]])) == 1.0
    assert math.isnan(mean_auc(maps, torch.ones(4, 2)))


def epochs_until_the_end(rates: list[float], **options: float) -> int:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rates[0])
    trainer = Engine(lambda *_: None)
    StopAtRate(optimizer, 0.04, **options).attach(trainer)

    def lower(engine: Engine) -> None:
        optimizer.param_groups[0]["lr"] = rates[engine.state.epoch]

    from ignite.engine import Events

    trainer.add_event_handler(Events.EPOCH_STARTED, lower)
    trainer.run([0], max_epochs=len(rates) - 1)
    return trainer.state.epoch


def test_two_rates_are_trained_with_as_in_the_published_protocol() -> None:
    assert epochs_until_the_end([0.04, 0.04, 0.004, 0.004, 0.04 * 0.1 * 0.1, 0.0004]) == 4


def test_a_training_that_was_over_before_does_nothing_more() -> None:
    assert epochs_until_the_end([0.0004, 0.04, 0.04]) == 0


def test_the_part_is_a_part() -> None:
    with pytest.raises(ValueError, match="part"):
        epochs_until_the_end([0.1, 0.1], part=1.0)


def test_a_schedule_is_given_the_validation_that_ended() -> None:
    validator = Engine(lambda *_: None)
    with pytest.raises(KeyError):
        LatestMetric("auc")(validator)
    validator.state.metrics["auc"] = torch.tensor(0.75)
    assert LatestMetric("auc")(validator) == 0.75
