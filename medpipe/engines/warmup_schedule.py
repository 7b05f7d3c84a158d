"""The learning rate of the bilinear attention networks: a warm-up by epochs, then a plateau, then steps down.

https://github.com/jnhwkim/ban-vqa and the systems built on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

__all__ = ["warmup_factor", "warmup_schedule"]

WARMUP = (0.5, 1.0, 1.5, 2.0)
MILESTONES = (10, 12, 14, 16, 18)


def warmup_factor(
    epoch: int, *, gamma: float, warmup: Sequence[float] = WARMUP, milestones: Sequence[int] = MILESTONES
) -> float:
    """Times the base rate in one epoch, counted from 0.

    Args:
        epoch: The epoch.
        gamma: Factor of each step down.
        warmup: Factors of the first epochs; the last one lasts.
        milestones: Epochs at which the rate steps down.
    """
    if epoch < len(warmup):
        return warmup[epoch]
    return float(warmup[-1] * gamma ** sum(epoch >= milestone for milestone in milestones))


def warmup_schedule(
    optimizer: Optimizer,
    *,
    gamma: float = 0.75,
    warmup: Sequence[float] = WARMUP,
    milestones: Sequence[int] = MILESTONES,
) -> LambdaLR:
    """The schedule, to be stepped once per epoch.

    Args:
        optimizer: With the base rate.
        gamma: Factor of each step down: 0.75 for the medical systems, 0.25 for the others.
        warmup: Factors of the first epochs; the last one lasts.
        milestones: Epochs at which the rate steps down.

    Raises:
        ValueError: The warm-up is empty, or gamma is not above 0.
    """
    if not warmup or gamma <= 0:
        raise ValueError(f"the warm-up needs a factor and gamma must be above 0, found {list(warmup)} and {gamma}")
    return LambdaLR(optimizer, partial(warmup_factor, gamma=gamma, warmup=warmup, milestones=milestones))
