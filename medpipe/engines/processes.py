"""Training by several processes: what ``torchrun`` starts, one per GPU, or several on CPUs.

    torchrun --nproc-per-node 2 -m medpipe train BUNDLE dataset_dir=ROOT -o OUT

Each process takes its share of every batch, gradients are averaged, and the first process alone writes files. In a process
that torchrun did not start all of this does nothing.

ignite's ``auto_model`` and ``auto_dataloader`` stand aside: the one spreads a single process over all GPUs in silence
(DataParallel, which changes batch statistics), the other makes torch's loader in place of MONAI's, which seeds the random
transforms of its workers, and pads validation with cases that then count twice.
"""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Sequence
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, DistributedSampler
from torch import nn
from torch.utils.data import WeightedRandomSampler

from medpipe.errors import RequestError

__all__ = ["SameBuffers", "data_loader", "data_parallel", "join_processes", "leave_processes"]


def join_processes(device: str | torch.device, alone: bool = False) -> None:
    """Join the processes that torchrun started, by NCCL for GPUs and by gloo for CPUs.

    Args:
        device: Of the training; of several GPUs "cuda" becomes this process's own.
        alone: Whether the training can only be done by one process, because its cases are drawn by weight.

    Raises:
        RequestError: This machine has more processes than GPUs, or there are several where one is allowed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or idist.backend() is not None:
        return
    if alone:
        raise RequestError("cases are drawn by weight in one process only: start one, or leave balanced_sampling out")
    on_gpu = torch.device(device).type == "cuda"
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if on_gpu and here > torch.cuda.device_count():
        raise RequestError(
            f"{here} processes on this machine, which has {torch.cuda.device_count()} GPUs; lower --nproc-per-node"
        )
    idist.initialize("nccl" if on_gpu else "gloo")
    # An engine and its network refer to each other and keep the group's threads, one of which aborts the process when it
    # meets an interpreter that is ending.
    atexit.register(gc.collect)


def leave_processes() -> None:
    """Part from the other processes."""
    idist.finalize()


def data_parallel(network: nn.Module) -> nn.Module:
    """The network as the trainer takes it: its gradients are the mean over all processes.

    Returns:
        The network itself where there is one process.
    """
    if idist.get_world_size() == 1:
        return network
    on_gpu = next(network.parameters()).is_cuda
    return nn.parallel.DistributedDataParallel(network, device_ids=[torch.cuda.current_device()] if on_gpu else None)


def data_loader(
    dataset: Any,
    *,
    batch_size: int,
    training: bool = False,
    num_workers: int = 0,
    seed: int = 0,
    weights: Sequence[float] | None = None,
) -> DataLoader:
    """MONAI's loader of this process's share.

    Training shuffles, and all processes have equally many batches; a last batch that is not full is left out, since one
    image has no batch statistics, unless it is the only one. Validation takes each case once.

    Args:
        dataset: With a length.
        batch_size: Of all processes together.
        training: Which of the two.
        num_workers: Loading processes of this process.
        seed: Of the order, where there are several processes; one process draws it from torch's generator.
        weights: How often each case of a training is drawn, with replacement, in place of once an epoch; in one process.

    Raises:
        RequestError: The processes cannot share a batch, or there are more of them than cases.
    """
    count, rank = idist.get_world_size(), idist.get_rank()
    common: dict[str, Any] = {"num_workers": num_workers, "drop_last": training and len(dataset) >= batch_size}
    if weights is not None and count == 1:
        return DataLoader(
            dataset, batch_size=batch_size, sampler=WeightedRandomSampler(weights, len(dataset)), **common
        )
    if count == 1:
        return DataLoader(dataset, batch_size=batch_size, shuffle=training, **common)
    if batch_size % count:
        raise RequestError(f"batch_size={batch_size} cannot be shared by {count} processes; give a multiple of {count}")
    if len(dataset) < count:
        raise RequestError(f"{count} processes cannot share {len(dataset)} cases; start fewer")
    sampler = DistributedSampler(
        dataset, even_divisible=training, num_replicas=count, rank=rank, shuffle=training, seed=seed
    )
    return DataLoader(dataset, batch_size=batch_size // count, sampler=sampler, **common)


class SameBuffers:
    """Gives the buffers of the first process (batch statistics) to all, before the engine that it is attached to runs.

    Args:
        network: Which the engine evaluates.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        """When the engine starts."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Copy them."""
        if idist.get_world_size() > 1:
            for buffer in self.network.buffers():
                torch.distributed.broadcast(buffer, 0)
