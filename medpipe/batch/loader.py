"""Decoded cases for an engine: what stands where torch's ``DataLoader`` stands in other bundles."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from medpipe.batch.pool import DecodingPool
from medpipe.batch.worker import prepare_workers

__all__ = ["CaseLoader", "Limits"]

_POLL = 0.2
"""Seconds after which a source that had nothing is asked again."""


@dataclass(frozen=True)
class Limits:
    """What decoding may take.

    Attributes:
        num_workers: Decoding processes; 0 decodes in the process of the network, without limits of time and memory.
        time_limit: Seconds for one case.
        memory_limit: GiB that a decoding process may take for it.
        retries: Further attempts where a process died, took too long, or a fault of disk or network may pass.

    Raises:
        ValueError: One is out of range.
    """

    num_workers: int = 1
    time_limit: float = 120
    memory_limit: float = 4
    retries: int = 2

    def __post_init__(self) -> None:
        if self.num_workers < 0 or self.retries < 0:
            raise ValueError(f"num_workers and retries must not be negative, got {self.num_workers} and {self.retries}")
        if self.time_limit <= 0 or self.memory_limit <= 0:
            raise ValueError(
                f"time_limit and memory_limit must be positive, got {self.time_limit} and {self.memory_limit}"
            )


class CaseLoader:
    """Iterates over batches of one case, decoded by processes beside the network.

    torch's ``DataLoader`` ends a run when a worker dies and waits for ever for one that hangs. Here such a case is tried
    again and fails alone. Cases come as they are finished: a batch holds one case, so no result depends on the order.

    The processes do not run the program that starts them, unless what loads a case is defined in that very file: then its
    work must stand under ``if __name__ == "__main__":``, as for all of Python's multiprocessing.

    Args:
        dataset: With "data", the cases (an iterable, with or without a length), and "load", which loads one and never
            raises: a ``CaseDataset``.
        limits: Of processes, time and memory.
    """

    def __init__(self, dataset: Any, limits: Limits | None = None) -> None:
        self.dataset, self._limits = dataset, limits or Limits()
        if self._limits.num_workers:
            prepare_workers()

    def __len__(self) -> int:
        """Number of cases.

        Raises:
            TypeError: It is not known beforehand.
        """
        return len(self.dataset.data)

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        data = iter(self.dataset.data)
        limits = self._limits
        if limits.num_workers:
            pool = DecodingPool(
                self.dataset.load,
                workers=limits.num_workers,
                time_limit=limits.time_limit,
                memory_limit=limits.memory_limit,
                retries=limits.retries,
            )
            return ([case] for case in pool.run(data))
        return self._decoded_here(data)

    def _decoded_here(self, data: Iterator[dict[str, Any] | None]) -> Iterator[list[dict[str, Any]]]:
        for case in data:
            if case is None:
                time.sleep(_POLL)
            else:
                yield [self._here(case)]

    def _here(self, case: dict[str, Any]) -> dict[str, Any]:
        attempts, again = 0, True
        while again:
            loaded, attempts = self.dataset.load(case), attempts + 1
            again = loaded.pop("transient", False) and attempts <= self._limits.retries
        return {**loaded, "attempts": attempts}
