"""Calibration after a training: which questions count, and what is written."""

from __future__ import annotations

import json

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from medpipe.engines.handlers.answer_calibration import AnswerCalibrator
from medpipe.predictions.answer_calibration import question_digest, stored_calibration


class First(nn.Module):
    """Answers with the tokens as logits."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, tokens: torch.Tensor, small: None, large: None) -> torch.Tensor:
        return tokens.float()


def questions(count: int, per_image: int = 4):
    """Every third answer is no candidate; the logit says it."""
    entries = [
        {"case": str(place), "question": "?", "patient": f"p{place // per_image}", "image": f"{place // per_image}.png"}
        for place in range(count)
    ]
    dataset = []
    for place in range(count):
        right = place % 3 > 0
        target = torch.tensor([0.0, 1.0 if right else 0.0, 0.0])
        dataset.append({"tokens": torch.tensor([0, 3 if right else 1, 0]), "target": target})
    return dataset, entries


def calibrate(folder, dataset, entries, training=()):
    network, engine = First().train(), Engine(lambda _, __: (folder / "model.pt").write_bytes(b"weights"))
    AnswerCalibrator(folder, network, dataset, entries, training, batch_size=7).attach(engine)
    engine.run([0], max_epochs=2)
    assert network.training  # as it was
    file = folder / "calibration.json"
    return json.loads(file.read_text()) if file.is_file() else None


def test_an_answer_that_is_no_candidate_is_wrong_and_the_curve_learns_it(tmp_path) -> None:
    found = calibrate(tmp_path, *questions(60))
    assert (found["questions"], found["images"], found["section"]) == (60, 15, "validation")
    assert found["accuracy"] == pytest.approx(2 / 3)
    curve = stored_calibration(None, tmp_path / "model.pt")
    assert curve is not None
    assert curve.probability(1) < 0.1 < 0.9 < curve.probability(3)
    assert found["before"]["ece"]["value"] > found["after"]["ece"]["value"]
    assert found["after"]["brier"]["low"] <= found["after"]["brier"]["value"] <= found["after"]["brier"]["high"]


def test_questions_about_images_of_the_training_do_not_count(tmp_path) -> None:
    dataset, entries = questions(60)
    training = [{"patient": "p0", "image": "other.png"}, {"patient": "other", "image": "1.png"}]
    found = calibrate(tmp_path, dataset, entries, training)
    assert found["questions"] == 52
    assert found["fitted"] == [question_digest(str(place), "?") for place in range(8, 60)]


@pytest.mark.parametrize(("count", "per_image", "said"), [(0, 1, False), (19, 1, True), (30, 40, True)])
def test_nothing_is_written_without_enough_questions_and_images(tmp_path, caplog, count, per_image, said) -> None:
    assert calibrate(tmp_path, *questions(count, per_image)) is None
    assert ("answers are not calibrated" in caplog.text) is said
