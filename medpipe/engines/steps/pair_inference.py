"""The iteration of a registration run: the field of each pair that has its images, the others passed on."""

from __future__ import annotations

import time
from typing import Any

import torch
from monai.engines import Evaluator
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys as Keys

from medpipe.engines.case_dataset import failure_of
from medpipe.errors import CaseFailedError

__all__ = ["register_pairs"]


def register_pairs(engine: Evaluator, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run the engine's network, a map of (fixed, moving) to a field, on the pending pairs of ``batch``.

    Afterwards ``engine.state.batch`` lists those pairs and ``engine.state.output`` their fields; ``engine.state.unread``
    lists the cases without one. A pair that raises fails alone.

    Args:
        engine: A MONAI evaluator made with ``decollate=False``.
        batch: Cases as ``CaseDataset`` gives them, "image" (2, X, Y, Z).

    Returns:
        One dictionary with "pred" (3, X, Y, Z), in voxels of the grid, per pair.

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
            field = _field(engine, case)
        except torch.AcceleratorError:
            raise
        except Exception as error:
            _fail(engine, case, error)
        else:
            engine.state.batch.append(case)
            engine.state.output.append({Keys.PRED: field})
        stages = getattr(engine.network, "seconds", None) or {"network": time.perf_counter() - start}
        case["seconds"] |= {**case.pop("stage_seconds", {}), **stages}
    engine.fire_event(IterationEvents.FORWARD_COMPLETED)
    engine.fire_event(IterationEvents.MODEL_COMPLETED)
    return engine.state.output


def _field(engine: Evaluator, case: dict[str, Any]) -> torch.Tensor:
    images = torch.as_tensor(case[Keys.IMAGE]).to(engine.state.device)
    with engine.mode(engine.network):
        field: torch.Tensor = engine.network(images[None, :1], images[None, 1:])[0].float().cpu()
    if not torch.isfinite(field).all():
        raise CaseFailedError("the registration gave displacements that are not finite")
    return field


def _fail(engine: Evaluator, case: dict[str, Any], error: Exception) -> None:
    if isinstance(error, torch.OutOfMemoryError):
        torch.cuda.empty_cache()
        case["status"], case["reason"] = "failed", f"needs more memory than {engine.state.device} has free"
    else:
        case["status"], case["reason"] = failure_of(error)
    case.pop(Keys.IMAGE, None)
    engine.state.unread = [*engine.state.unread, case]
