"""From a collated batch of questions to what a network and its loss take."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["IMAGES", "vqa_batch", "vqa_evaluation_batch"]

IMAGES = ("small", "large")
"""The images that a network may take, for its meta-learned and its denoising encoder."""


def vqa_batch(
    batchdata: dict[str, Any], device: str | torch.device | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[tuple[Tensor, Tensor | None, Tensor | None], Tensor]:
    """Inputs and targets.

    Args:
        batchdata: "tokens" (B, T) word numbers, "small" (B, C, 84, 84) and "large" (B, 1, 128, 128) as far as the network
            takes them, and "target" (B, answers), the score of each candidate.
        device: Where they go.
        non_blocking: Of that transfer.
        **kwargs: Of that transfer, too.

    Returns:
        The questions and both images (None for one that is not there), and the targets.

    Raises:
        KeyError: There are no tokens or no target.
    """
    where: dict[str, Any] = {"device": device, "non_blocking": non_blocking, **kwargs}
    questions = _plain(batchdata["tokens"]).long().to(**where)
    small, large = (_plain(batchdata[name]).to(**where) if name in batchdata else None for name in IMAGES)
    return (questions, small, large), _plain(batchdata["target"]).float().to(**where)


def _plain(values: Any) -> Tensor:
    """Without MONAI's metadata, which slows every operation."""
    tensor = torch.as_tensor(values)
    return tensor.as_tensor() if hasattr(tensor, "as_tensor") else tensor


def vqa_evaluation_batch(
    batchdata: dict[str, Any], device: str | torch.device | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[Tensor, Tensor, tuple[Tensor | None, Tensor | None], dict[str, Any]]:
    """The same for the ``prepare_batch`` of MONAI's evaluators, whose network takes questions and images apart.

    Returns:
        The questions, the targets, both images, and no further options.
    """
    (questions, small, large), targets = vqa_batch(batchdata, device, non_blocking, **kwargs)
    return questions, targets, (small, large), {}
