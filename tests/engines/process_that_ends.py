"""A process of two, as a training leaves it: its network is held by a cycle. Prints the threads it ends with."""

from __future__ import annotations

import atexit
import os
from pathlib import Path

import torch
from torch import nn

from medpipe.engines.processes import data_parallel, join_processes, leave_processes


class Engine:
    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.itself = self


def print_threads() -> None:
    print(*sorted(path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")))


def main() -> None:
    atexit.register(print_threads)  # the first that is registered is the last that is called
    os.environ.update(OMP_NUM_THREADS="1")
    torch.set_num_threads(1)
    join_processes("cpu")
    engine = Engine(data_parallel(nn.Linear(2, 1)))
    engine.network(torch.ones(1, 2)).sum().backward()
    print_threads()
    leave_processes()


if __name__ == "__main__":
    main()
