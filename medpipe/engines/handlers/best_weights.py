"""The weights of the best validation so far."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Events
from monai.engines import Evaluator
from torch import nn

from medpipe.engines.handlers.training_checkpoint import save_tensors

__all__ = ["BestWeights"]


class BestWeights:
    """Writes a network's state_dict to model.pt whenever a validation is better than all before.

    The validator's key metric decides, by the validator's ``metric_cmp_fn``; one that is not finite is never better. MONAI's
    ``CheckpointSaver`` does the same, but the file is torn when it is killed, and its best metric so far can be kept for a
    resumed training only in model.pt itself, which then holds no plain state_dict any more.

    Args:
        folder: Where model.pt goes.
        network: Whose weights.
    """

    def __init__(self, folder: str | Path, network: nn.Module) -> None:
        self.path, self.network = Path(folder) / "model.pt", network
        self._best: float | None = None

    def attach(self, engine: Evaluator) -> None:
        """After each run of a validator."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Evaluator) -> None:
        """Compare and write.

        Raises:
            InterruptedRunError: The disk is full or fails.
        """
        metric = float(engine.state.metrics[engine.state.key_metric_name])
        if not math.isfinite(metric) or (self._best is not None and not engine.metric_cmp_fn(metric, self._best)):
            return
        self._best = metric
        if idist.get_rank() == 0:
            save_tensors(self.network.state_dict(), self.path)

    def state_dict(self) -> dict[str, Any]:
        """The best metric so far."""
        return {"best": self._best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from it."""
        self._best = state["best"]
