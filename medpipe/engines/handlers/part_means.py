"""Means over an epoch of what a training step measures besides its loss."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events, State

__all__ = ["PartMeans"]


class PartMeans:
    """Gathers the numbers that a step gives under "parts", for an ``EpochTable`` where no validation gives any.

    Attach it before the table, to which it is the validator.

    Attributes:
        state: Its ``metrics`` hold the means of the epoch, by name.
    """

    def __init__(self) -> None:
        self.state = State(metrics={})
        self._values: dict[str, list[float]] = {}

    def attach(self, engine: Engine) -> None:
        """Collect by iteration, take means by epoch."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _begin(self, engine: Engine) -> None:
        self._values = {}

    def _collect(self, engine: Engine) -> None:
        for name, value in engine.state.output["parts"].items():  # type: ignore[index,call-overload,union-attr]
            self._values.setdefault(name, []).append(float(torch.as_tensor(value)))

    def __call__(self, engine: Engine) -> None:
        """Take the means."""
        self.state.metrics = {name: sum(values) / len(values) for name, values in self._values.items()}
