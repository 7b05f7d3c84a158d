"""The iteration of a batch run: infer the cases that have an image, pass the others on."""

from __future__ import annotations

import time
from typing import Any

import torch
from monai.engines import Evaluator
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys as Keys

__all__ = ["infer_cases"]


def infer_cases(engine: Evaluator, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run the engine's network on the pending cases of ``batch``.

    Afterwards ``engine.state.batch`` lists those cases and ``engine.state.output`` their predictions, item by item, so
    that MONAI's post-processing works on each; ``engine.state.unread`` lists the cases without an image.

    Args:
        engine: A MONAI evaluator made with ``decollate=False``.
        batch: Cases as ``CaseDataset`` gives them.

    Returns:
        One dictionary with "pred" (logits without batch dimension) per pending case.
    """
    loaded = [case for case in batch if case["status"] == "pending"]
    engine.state.unread = [case for case in batch if case["status"] != "pending"]
    engine.state.batch, engine.state.output = loaded, []
    start = time.perf_counter()
    if loaded:
        images = torch.stack([torch.as_tensor(case[Keys.IMAGE]) for case in loaded]).to(engine.state.device)
        with engine.mode(engine.network):
            predictions = engine.inferer(images, engine.network)
        engine.state.output = [{Keys.PRED: prediction} for prediction in predictions.float().cpu()]
    share = (time.perf_counter() - start) / max(len(loaded), 1)
    for case in loaded:
        case["seconds"] += share
    engine.fire_event(IterationEvents.FORWARD_COMPLETED)
    engine.fire_event(IterationEvents.MODEL_COMPLETED)
    return engine.state.output
