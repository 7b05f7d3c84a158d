"""A number of threads that does not depend on the machine."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events

__all__ = ["FixedThreads"]


class FixedThreads:
    """Gives torch a fixed number of CPU threads while an engine runs.

    A convolution's last bits depend on the number of threads that share it (oneDNN splits sums), so results are the same
    on all machines, and whatever decodes beside the network, only where the number is. One thread also leaves the other
    cores to the decoding processes: with all cores for both, threads wait for each other.

    Args:
        threads: At least 1.
    """

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self.threads = threads

    def attach(self, engine: Engine) -> None:
        """Set the number when the engine starts, in the thread that it runs in, and the old one when it ends."""
        engine.add_event_handler(Events.STARTED, self)
        engine.add_event_handler(Events.COMPLETED | Events.TERMINATE, lambda _: torch.set_num_threads(self._before))

    def __call__(self, engine: Engine) -> None:
        """Set the number."""
        self._before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
