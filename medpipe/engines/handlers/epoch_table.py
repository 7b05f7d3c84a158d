"""A table of training: one row per epoch."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.utils import CommonKeys as Keys

from medpipe.io.atomic import write_text
from medpipe.predictions.persistence import persistently

__all__ = ["EpochTable"]


class EpochTable:
    """Writes epochs.csv: epoch, mean training loss, validation metrics, learning rate, seconds.

    The learning rate is that at the epoch's beginning: a schedule may have lowered it behind the validation.

    Attach it after the validation, whose metrics it reads. Of several processes the first one writes, the mean loss of all.

    Args:
        folder: Where epochs.csv goes.
        validator: The validation engine.
        optimizer: Whose first group's learning rate is noted.
    """

    def __init__(self, folder: str | Path, validator: Engine, optimizer: torch.optim.Optimizer) -> None:
        self.path = Path(folder) / "epochs.csv"
        self.validator, self.optimizer = validator, optimizer
        self._losses: list[float] = []
        self._start, self._rate = 0.0, 0.0
        self._rows: list[dict[str, object]] = []

    def attach(self, engine: Engine) -> None:
        """Collect losses by iteration, write a row by epoch."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _begin(self, engine: Engine) -> None:
        self._losses, self._start = [], time.perf_counter()
        self._rate = self.optimizer.param_groups[0]["lr"]

    def _collect(self, engine: Engine) -> None:
        loss = torch.as_tensor(engine.state.output[Keys.LOSS])  # type: ignore[index,call-overload]
        self._losses.append(loss.detach().item())

    def __call__(self, engine: Engine) -> None:
        """Write the table with the row of the epoch that ended; a metric that is not yet there leaves its cell empty."""
        loss = idist.all_reduce(sum(self._losses) / max(len(self._losses), 1)) / idist.get_world_size()  # type: ignore[operator]
        row: dict[str, object] = {
            "epoch": engine.state.epoch,
            "loss": f"{loss:.6g}",
            **{name: f"{float(value):.6g}" for name, value in sorted(self.validator.state.metrics.items())},
            "learning_rate": f"{self._rate:.6g}",
            "seconds": f"{time.perf_counter() - self._start:.1f}",
        }
        self._rows.append(row)
        if idist.get_rank() == 0:
            persistently(lambda: write_text(self.path, self._text()))

    def state_dict(self) -> dict[str, Any]:
        """The rows so far, and the metrics that the next one repeats where it brings no validation."""
        metrics = {name: float(value) for name, value in self.validator.state.metrics.items()}
        return {"rows": self._rows, "metrics": metrics}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after these rows."""
        self._rows = list(state["rows"])
        self.validator.state.metrics.update(state["metrics"])

    def _text(self) -> str:
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        return text.getvalue()
