"""Handlers and steps of question answering: accuracy, the last weights, means of parts, noise, and answers of a run."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from monai.engines import SupervisedEvaluator
from torch import nn

from medpipe.engines.denoising_batches import DenoisingBatch
from medpipe.engines.handlers.answer_accuracy import answer_accuracy
from medpipe.engines.handlers.comparisons import lower_is_better
from medpipe.engines.handlers.last_weights import LastWeights
from medpipe.engines.handlers.part_means import PartMeans
from medpipe.engines.steps.question_inference import answer_questions


def accuracy(logits: torch.Tensor, scores: torch.Tensor) -> float:
    engine = Engine(lambda _, index: {"pred": logits[index : index + 2], "label": scores[index : index + 2]})
    answer_accuracy().attach(engine, "accuracy")
    return engine.run(range(0, len(logits), 2)).metrics["accuracy"]


def test_the_accuracy_is_the_mean_score_of_the_most_probable_candidate() -> None:
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
    assert accuracy(logits, torch.tensor([[1.0, 0.0], [0.0, 0.6], [0.0, 1.0]])) == pytest.approx(1.6 / 3)
    assert accuracy(logits, torch.zeros(3, 2)) == 0  # answers that are no candidates


def test_each_epoch_writes_its_weights_whatever_they_are_worth(tmp_path) -> None:
    network = nn.Linear(1, 1)

    def update(engine: Engine, batch: int) -> None:
        nn.init.constant_(network.weight, float(batch))

    engine = Engine(update)
    LastWeights(tmp_path, network).attach(engine)
    engine.run([3, 1, 2], max_epochs=1)
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item() == 2


def test_parts_of_a_step_are_averaged_over_the_epoch_alone() -> None:
    engine = Engine(lambda _, batch: {"parts": {"accuracy": torch.tensor(float(batch))}})
    means = PartMeans()
    means.attach(engine)
    engine.run([1, 2], max_epochs=2)
    assert means.state.metrics == {"accuracy": 1.5}


def test_the_noise_of_a_validation_is_the_same_each_time_and_has_its_size() -> None:
    images = torch.full((4, 1, 64, 64), 0.5)
    noisy, clean = DenoisingBatch(0.1)({"image": images})
    again, _ = DenoisingBatch(0.1)({"image": images})
    assert torch.equal(noisy, again)
    assert torch.equal(clean, images)
    assert float((noisy - clean).std()) == pytest.approx(0.1, rel=0.05)


def test_a_lower_error_is_better() -> None:
    assert lower_is_better(0.1, 0.2)
    assert not lower_is_better(0.2, 0.2)


class Fixed(nn.Module):
    """The sum of the small image as the first logit; the tokens choose what goes wrong."""

    def forward(self, tokens: torch.Tensor, small: torch.Tensor, large: torch.Tensor) -> torch.Tensor:
        if tokens[0, 0] == 1:
            raise RuntimeError("no answer")
        value = torch.nan if tokens[0, 0] == 2 else 0.0
        return torch.stack([small.sum(), large.sum() + value])[None]


def test_a_question_that_goes_wrong_fails_alone() -> None:
    def case(name: str, first: int, status: str = "pending") -> dict:
        images = {"small": torch.ones(1, 2, 2), "large": torch.ones(1, 1, 1)}
        tokens = torch.tensor([first, 0])
        return {"case": name, "status": status, "reason": "", "seconds": {}, "tokens": tokens, **images}

    batch = [case("right", 0), case("raises", 1), case("nan", 2), case("skipped", 0, "skipped")]
    seen: dict[str, list] = {}
    engine = SupervisedEvaluator(
        torch.device("cpu"), [batch], Fixed(), iteration_update=answer_questions, decollate=False, epoch_length=1
    )
    engine.run()
    seen["done"] = [item["case"] for item in engine.state.batch]
    assert seen["done"] == ["right"]
    assert engine.state.output[0]["pred"].tolist() == [4, 1]
    unread = {item["case"]: (item["status"], item["reason"]) for item in engine.state.unread}
    assert unread["skipped"][0] == "skipped"
    assert unread["nan"] == ("failed", "the network gave a score that is not finite")
    assert "no answer" in unread["raises"][1]
