"""Softmax over what is there."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["masked_softmax"]


def masked_softmax(scores: Tensor, mask: Tensor | None, dims: int = 1) -> Tensor:
    """Softmax over the last dimensions together; places outside the mask get exactly 0, and all get 0 where nothing is there.

    Args:
        scores: Any shape.
        mask: Bool, broadcast to ``scores``, True where something is there; None for everywhere.
        dims: How many of the last dimensions are normalised together.
    """
    flat = scores if mask is None else scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    shares = flat.flatten(-dims).softmax(dim=-1).view_as(scores)
    return shares if mask is None else shares * mask
