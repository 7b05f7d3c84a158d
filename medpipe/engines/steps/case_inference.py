"""The iteration of a batch run: infer the cases that have an image, pass the others on."""

from __future__ import annotations

import time
from typing import Any

import torch
from monai.engines import Evaluator
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys as Keys
from monai.utils import convert_to_tensor

from medpipe.engines.case_dataset import failure_of

__all__ = ["infer_cases"]


def infer_cases(engine: Evaluator, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run the engine's network on the pending cases of ``batch``, and its post-processing.

    Afterwards ``engine.state.batch`` lists those cases and ``engine.state.output`` their predictions, item by item, so
    that MONAI's post-processing works on each; ``engine.state.unread`` lists the cases without a prediction. A step that
    raises fails the cases of its batch, not the run.

    Args:
        engine: A MONAI evaluator made with ``decollate=False``.
        batch: Cases as ``CaseDataset`` gives them.

    Returns:
        One dictionary with "pred" (logits without batch dimension) per pending case.

    Raises:
        torch.AcceleratorError: The device is in a state that every later case would fail in.
    """
    loaded = [case for case in batch if case["status"] == "pending"]
    engine.state.unread = [case for case in batch if case["status"] != "pending"]
    engine.state.batch, engine.state.output = loaded, []
    start = time.perf_counter()
    try:
        _infer(engine, loaded)
    except torch.AcceleratorError:
        raise
    except Exception as error:
        _fail(engine, loaded, error)
    share = (time.perf_counter() - start) / max(len(loaded), 1)
    for case in loaded:
        case["seconds"]["network"] = share
    return engine.state.output


def _infer(engine: Evaluator, loaded: list[dict[str, Any]]) -> None:
    if loaded:
        # Plain tensors: a MetaTensor adds a third to the time of a small network, operation by operation.
        images = [convert_to_tensor(case[Keys.IMAGE], track_meta=False) for case in loaded]
        if engine.network.training:  # not engine.mode, which visits every module twice per case
            engine.network.eval()
        with torch.no_grad():
            predictions = engine.inferer(torch.stack(images).to(engine.state.device), engine.network)
        engine.state.output = [{Keys.PRED: prediction} for prediction in predictions.float().cpu()]
    engine.fire_event(IterationEvents.FORWARD_COMPLETED)
    engine.fire_event(IterationEvents.MODEL_COMPLETED)


def _fail(engine: Evaluator, loaded: list[dict[str, Any]], error: Exception) -> None:
    if isinstance(error, torch.OutOfMemoryError):
        torch.cuda.empty_cache()
        status, reason = "failed", f"needs more memory than {engine.state.device} has free"
    else:
        status, reason = failure_of(error)
    for case in loaded:
        case["status"], case["reason"] = status, reason
        case.pop(Keys.IMAGE, None)
    engine.state.unread = [*engine.state.unread, *loaded]
    engine.state.batch, engine.state.output = [], []
