"""Recurrent criss-cross attention (CC).

Paper: Z Huang, X Wang, L Huang, C Huang, Y Wei, W Liu, "CCNet: Criss-Cross Attention for Semantic
    Segmentation",
ICCV 2019, https://arxiv.org/abs/1811.11721, equations 1 and 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["CrissCross"]


class CrissCross(nn.Module):
    """Adds to each position an attention-weighted mean over its row and column, several times.

    One pass: affinities of the position's query with the keys of its row and column (H + W - 1 positions,
    itself counted once), one softmax over them, the weighted values times a learnt scalar ``gamma`` (0 at the
    start), plus the input. After two passes with the same weights every position has seen every other.

    Args:
        channels: Channels of the input.
        reduction: Queries and keys have ``channels // reduction`` channels (at least 1).
        recurrence: Number of passes, the paper's R.

    Raises:
        ValueError: The recurrence is below one.

    Shape:
        (B, channels, H, W) in, the same out.
    """

    def __init__(self, channels: int, *, reduction: int = 8, recurrence: int = 2) -> None:
        super().__init__()
        if recurrence < 1:
            raise ValueError(f"recurrence must be at least 1, found {recurrence}")
        narrow = max(1, channels // reduction)
        self.recurrence = recurrence
        self.query = nn.Conv2d(channels, narrow, 1)
        self.key = nn.Conv2d(channels, narrow, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the passes; see the class."""
        for _ in range(self.recurrence):
            x = self._one_pass(x)
        return x  # (B, C, H, W)

    def _one_pass(self, x: Tensor) -> Tensor:
        height = x.shape[2]
        query, key, value = self.query(x), self.key(x), self.value(x)
        column = torch.einsum("bchw,bcgw->bhwg", query, key)
        row = torch.einsum("bchw,bchv->bhwv", query, key)
        itself = torch.eye(height, dtype=torch.bool, device=x.device)[:, None, :]
        column = column.masked_fill(itself, float("-inf"))  # the position is counted in its row
        attention = torch.cat([column, row], dim=3).softmax(dim=3)  # (B, H, W, H + W)
        gathered = torch.einsum("bhwg,bcgw->bchw", attention[..., :height], value)
        gathered = gathered + torch.einsum("bhwv,bchv->bchw", attention[..., height:], value)
        return (self.gamma * gathered).to(x.dtype) + x
