"""The registration step: every pair ends with a field or with a reason of its own."""

from __future__ import annotations

import pytest
import torch
from monai.engines import SupervisedEvaluator
from torch import nn

from medpipe.engines.steps.pair_inference import register_pairs


class Shift(nn.Module):
    """Moves by the mean of the moving image; fails on a fixed image of ones, and on moving ones it gives no number."""

    def forward(self, fixed: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
        if bool((fixed == 1).all()):
            raise RuntimeError("broke down\nat length")
        if bool((moving == 1).all()):
            return torch.full((1, 3, *fixed.shape[2:]), torch.nan)
        return moving.mean().expand(1, 3, *fixed.shape[2:])


def case(name: str, fixed: float, moving: float, status: str = "pending") -> dict:
    image = torch.stack([torch.full((4, 4, 4), fixed), torch.full((4, 4, 4), moving)])
    return {
        "case": name,
        "status": status,
        "reason": "",
        "seconds": {"read": 1.0},
        "image": image,
        "stage_seconds": {"align": 2},
    }


@pytest.fixture
def engine() -> SupervisedEvaluator:
    made = SupervisedEvaluator("cpu", [[]], Shift(), iteration_update=register_pairs, decollate=False)
    made.run()
    return made


def test_a_pair_that_fails_fails_alone(engine) -> None:
    batch = [case("a", 0, 0.5), case("b", 1, 0), case("c", 0, 1), case("d", 0, 0, "skipped"), case("e", 0, 0.25)]
    output = register_pairs(engine, batch)
    assert [one["case"] for one in engine.state.batch] == ["a", "e"]
    assert [float(one["pred"].mean()) for one in output] == [0.5, 0.25]
    assert output[0]["pred"].shape == (3, 4, 4, 4)
    unread = {one["case"]: (one["status"], one["reason"]) for one in engine.state.unread}
    assert unread == {
        "b": ("failed", "processing failed in forward: RuntimeError: broke down"),
        "c": ("failed", "the registration gave displacements that are not finite"),
        "d": ("skipped", ""),
    }


def test_seconds_are_kept_by_stage(engine) -> None:
    batch = [case("a", 0, 0.5)]
    register_pairs(engine, batch)
    assert set(batch[0]["seconds"]) == {"read", "align", "network"}
    engine.network.seconds = {"network": 3.0, "refine": 4.0}
    register_pairs(engine, batch := [case("a", 0, 0.5)])
    assert batch[0]["seconds"] == {"read": 1.0, "align": 2, "network": 3.0, "refine": 4.0}
