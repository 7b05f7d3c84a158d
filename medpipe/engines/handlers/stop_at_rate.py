"""Ends a training whose learning rate has fallen far enough."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events

__all__ = ["StopAtRate"]


class StopAtRate:
    """Terminates the engine after the epoch in which the learning rate falls to ``part`` of the first one.

    Attach it behind the handler that lowers the rate, and behind the one that loads a checkpoint: a training that was killed
    between its last epoch and its end has nothing left to do.

    Args:
        optimizer: Whose first group's rate is looked at.
        initial: The first rate.
        part: Of it, in (0, 1).

    Raises:
        ValueError: The part is out of range.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, initial: float, part: float = 0.01) -> None:
        if not 0 < part < 1:
            raise ValueError(f"part lies in (0, 1), found {part}")
        self.optimizer, self.limit = optimizer, initial * part

    def attach(self, engine: Engine) -> None:
        """At the start and after each epoch."""
        engine.add_event_handler(Events.STARTED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Terminate or go on."""
        if self.optimizer.param_groups[0]["lr"] <= self.limit * (1 + 1e-9):  # .1 * .1 is a little above .01
            engine.terminate()
