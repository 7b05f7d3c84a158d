"""The weights of the last epoch."""

from __future__ import annotations

from pathlib import Path

import ignite.distributed as idist
from ignite.engine import Engine, Events
from torch import nn

from medpipe.engines.handlers.training_checkpoint import save_tensors

__all__ = ["LastWeights"]


class LastWeights:
    """Writes a network's state_dict to model.pt at the end of each epoch, so that nothing chooses among epochs.

    Args:
        folder: Where model.pt goes.
        network: Whose weights; may be a part of what is trained.
    """

    def __init__(self, folder: str | Path, network: nn.Module) -> None:
        self.path, self.network = Path(folder) / "model.pt", network

    def attach(self, engine: Engine) -> None:
        """After each epoch of a trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write, in the first process alone.

        Raises:
            InterruptedRunError: The disk is full or fails.
        """
        if idist.get_rank() == 0:
            save_tensors(self.network.state_dict(), self.path)
