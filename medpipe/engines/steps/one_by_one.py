"""Inferring the cases of a batch one at a time, so that a case that raises fails alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from monai.engines import Evaluator
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys as Keys

from medpipe.engines.case_dataset import failure_of

__all__ = ["infer_one_by_one"]


def infer_one_by_one(
    engine: Evaluator, batch: list[dict[str, Any]], infer: Callable[[Evaluator, dict[str, Any]], torch.Tensor]
) -> list[dict[str, Any]]:
    """Infer the pending cases of ``batch``, and fire the events that MONAI's post-processing waits for.

    Afterwards ``engine.state.batch`` lists those cases and ``engine.state.output`` their predictions;
    ``engine.state.unread`` lists the cases without one. A network may say its "seconds" by stage.

    Args:
        engine: A MONAI evaluator made with ``decollate=False``.
        batch: Cases as ``CaseDataset`` gives them.
        infer: The prediction of one case, without a batch dimension.

    Returns:
        One dictionary with "pred" per pending case.

    Raises:
        torch.AcceleratorError: The device is in a state that every later case would fail in.
    """
    engine.state.unread = [case for case in batch if case["status"] != "pending"]
    engine.state.batch, engine.state.output = [], []
    for case in batch:
        if case["status"] != "pending":
            continue
        start = time.perf_counter()
        try:
            prediction = infer(engine, case)
        except torch.AcceleratorError:
            raise
        except Exception as error:
            _fail(engine, case, error)
        else:
            engine.state.batch.append(case)
            engine.state.output.append({Keys.PRED: prediction})
        stages = getattr(engine.network, "seconds", None) or {"network": time.perf_counter() - start}
        case["seconds"] |= {**case.pop("stage_seconds", {}), **stages}
    engine.fire_event(IterationEvents.FORWARD_COMPLETED)
    engine.fire_event(IterationEvents.MODEL_COMPLETED)
    return engine.state.output


def _fail(engine: Evaluator, case: dict[str, Any], error: Exception) -> None:
    if isinstance(error, torch.OutOfMemoryError):
        torch.cuda.empty_cache()
        case["status"], case["reason"] = "failed", f"needs more memory than {engine.state.device} has free"
    else:
        case["status"], case["reason"] = failure_of(error)
    case.pop(Keys.IMAGE, None)
    engine.state.unread = [*engine.state.unread, case]
