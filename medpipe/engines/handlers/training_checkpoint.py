"""Takes a training up again after its last whole epoch.

Written here, and not by ignite's ``Checkpoint`` or MONAI's ``CheckpointSaver``: under one name they remove or truncate the old
file before the new one is whole. What ignite knows about loading objects is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint

from medpipe.errors import RequestError
from medpipe.io.atomic import atomic_writer
from medpipe.predictions.persistence import persistently

__all__ = ["TrainingCheckpoint", "save_tensors"]

_NAME = "checkpoint.pt"


class TrainingCheckpoint:
    """Saves a trainer's objects at the end of each epoch, and loads them when the trainer starts.

    With ``EpochSeed``, which makes an epoch's random numbers a matter of its own number, a training that was killed at any
    instant ends as one that was not. Attach it as the last handler: what is attached after it does at the end of an epoch
    what a resumed training would not know of.

    Args:
        folder: Where checkpoint.pt goes.
        objects: By name, all that changes in training: networks, optimizers, schedulers, handlers that remember; each
            with ``state_dict`` (tensors, numbers, texts, lists and dictionaries only: nothing is unpickled) and
            ``load_state_dict``; None for what this training has not. The trainer's gradient scaler, where it has one, goes with them.

    Raises:
        ValueError: An object has no state.
    """

    def __init__(self, folder: str | Path, objects: Mapping[str, Any]) -> None:
        objects = {name: item for name, item in objects.items() if item is not None}
        without = [name for name, item in objects.items() if not hasattr(item, "load_state_dict")]
        if without:
            raise ValueError(f"a checkpoint takes objects with state_dict and load_state_dict; '{without[0]}' has none")
        self.path, self.objects = Path(folder) / _NAME, objects

    def attach(self, engine: Engine) -> None:
        """Load at the start, save at the end of each epoch."""
        engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save, in the first process alone.

        Raises:
            InterruptedRunError: The disk is full or fails.
        """
        if idist.get_rank() == 0:
            states = {name: item.state_dict() for name, item in self._all(engine).items()}
            save_tensors({"epoch": engine.state.epoch, "objects": states}, self.path)

    def load(self, engine: Engine) -> None:
        """Go on after the epoch of the file; without a file there is nothing to go on from.

        Raises:
            RequestError: The file is damaged, or of another training.
        """
        if not self.path.is_file():
            return
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            Checkpoint.load_objects(to_load=self._all(engine), checkpoint=content["objects"])
        except Exception as error:  # torch and the objects raise many kinds
            reason = str(error).split("\n", 1)[0][:200]
            raise RequestError(
                f"'{self.path}' is no checkpoint of this training ({reason}); name a new folder"
            ) from error
        engine.state.epoch = content["epoch"]
        engine.state.iteration = content["epoch"] * engine.state.epoch_length  # type: ignore[operator]

    def _all(self, engine: Engine) -> dict[str, Any]:
        scaler = getattr(engine, "scaler", None)
        return {**self.objects, **({"scaler": scaler} if scaler is not None else {})}


def save_tensors(content: Any, path: Path) -> None:
    """``torch.save``, to a file that appears whole or not at all.

    A flat dictionary of tensors is written in torch's usual layout, whatever a network computes in: other programs and formats
    (safetensors) take no other.

    Raises:
        InterruptedRunError: The disk is full or fails.
    """

    if isinstance(content, Mapping):
        content = {key: value.contiguous() if torch.is_tensor(value) else value for key, value in content.items()}

    def write() -> None:
        with atomic_writer(path) as stream:
            torch.save(content, stream)

    persistently(write)
