"""The iteration of a registration run: the field of each pair that has its images, the others passed on."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import Evaluator
from monai.utils import CommonKeys as Keys

from medpipe.engines.steps.one_by_one import infer_one_by_one
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
    return infer_one_by_one(engine, batch, _field)


def _field(engine: Evaluator, case: dict[str, Any]) -> torch.Tensor:
    images = torch.as_tensor(case[Keys.IMAGE]).to(engine.state.device)
    with engine.mode(engine.network):
        field: torch.Tensor = engine.network(images[None, :1], images[None, 1:])[0].float().cpu()
    if not torch.isfinite(field).all():
        raise CaseFailedError("the registration gave displacements that are not finite")
    return field
