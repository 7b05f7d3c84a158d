"""Random numbers that depend on the seed and the epoch alone."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import numpy as np
from ignite.engine import Engine, Events
from ignite.utils import manual_seed
from monai.data.utils import set_rnd

__all__ = ["EpochSeed"]


class EpochSeed:
    """Seeds Python, NumPy, torch and MONAI's random transforms at the start of each epoch, then starts the data anew.

    An epoch's order of cases, augmentation and dropout are then the same whether or not the training was interrupted before
    it, and no state of a generator has to be kept. ignite's ``DeterministicEngine`` is an engine, so MONAI's trainers cannot
    be one, and it does not know of MONAI's transforms, which have generators of their own.

    Args:
        seed: Not negative.
    """

    def __init__(self, seed: int) -> None:
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        self.seed = seed

    def attach(self, engine: Engine) -> None:
        """At the start of each epoch."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed; of several processes each draws its own numbers."""
        key = (self.seed, engine.state.epoch, idist.get_rank())
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        manual_seed(seed)
        loader: Any = engine.state.dataloader
        set_rnd(getattr(loader, "dataset", None), seed)
        engine.set_data(loader)  # its workers and its sampler draw when they start
