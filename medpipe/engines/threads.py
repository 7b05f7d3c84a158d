"""How many threads a network may use beside the processes that decode."""

from __future__ import annotations

import os

import torch

__all__ = ["leave_cores"]


def leave_cores(workers: int) -> int:
    """Leave one core to each decoding process and give the others to torch.

    With all cores for both, threads wait for each other: on two cores a small network ran at half its speed.

    Args:
        workers: Number of decoding processes.

    Returns:
        The number of threads that torch now uses, at least 1.
    """
    threads = max(1, (os.cpu_count() or 1) - workers)
    torch.set_num_threads(threads)
    return threads
