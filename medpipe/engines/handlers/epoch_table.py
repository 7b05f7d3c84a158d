"""A table of training: one row per epoch."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from monai.utils import CommonKeys as Keys

__all__ = ["EpochTable"]


class EpochTable:
    """Writes epochs.csv: epoch, mean training loss, validation metrics, learning rate, seconds.

    Attach it after the validation, whose metrics it reads.

    Args:
        folder: Where epochs.csv goes.
        validator: The validation engine.
        optimizer: Whose first group's learning rate is noted.
    """

    def __init__(self, folder: str | Path, validator: Engine, optimizer: torch.optim.Optimizer) -> None:
        self.path = Path(folder) / "epochs.csv"
        self.validator, self.optimizer = validator, optimizer
        self._losses: list[float] = []
        self._start = 0.0
        self._rows: list[dict[str, object]] = []

    def attach(self, engine: Engine) -> None:
        """Collect losses by iteration, write a row by epoch."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _begin(self, engine: Engine) -> None:
        self._losses, self._start = [], time.perf_counter()

    def _collect(self, engine: Engine) -> None:
        self._losses.append(float(engine.state.output[Keys.LOSS]))  # type: ignore[index,call-overload]

    def __call__(self, engine: Engine) -> None:
        """Write the table with the row of the epoch that ended; a metric that is not yet there leaves its cell empty."""
        row: dict[str, object] = {
            "epoch": engine.state.epoch,
            "loss": f"{sum(self._losses) / max(len(self._losses), 1):.6g}",
            **{name: f"{float(value):.6g}" for name, value in sorted(self.validator.state.metrics.items())},
            "learning_rate": f"{self.optimizer.param_groups[0]['lr']:.6g}",
            "seconds": f"{time.perf_counter() - self._start:.1f}",
        }
        self._rows.append(row)
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        self.path.write_text(text.getvalue(), encoding="utf-8")
