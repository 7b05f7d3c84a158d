"""Bilinear attention (BAN): every word looks at every region.

Paper: J-H Kim, J Jun, B-T Zhang, "Bilinear Attention Networks", NeurIPS 2018, https://arxiv.org/abs/1805.07932; code consulted
for what the paper leaves open: https://github.com/jnhwkim/ban-vqa.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from .masked_softmax import masked_softmax
from .weight_normalized import Projection

__all__ = ["BilinearAttention", "BilinearAttentionNetwork", "BilinearPooling"]

_EXPANSION = 3  # the attention works in so many times the hidden width


class BilinearAttention(nn.Module):
    """Shares over all pairs of a region and a word, one map per glimpse.

    Args:
        visual: Numbers per region.
        hidden: Numbers per word state.
        glimpses: Number of maps.
        dropout: Before the two projections.
        region_dropout: Of the projected regions.

    Shape:
        Regions (B, K, visual), mask (B, K) or None, states (B, T, hidden) to (B, glimpses, K, T), each map summing to 1.
    """

    def __init__(
        self, visual: int, hidden: int, *, glimpses: int, dropout: float = 0.2, region_dropout: float = 0.5
    ) -> None:
        super().__init__()
        width = _EXPANSION * hidden
        self.regions = Projection(visual, width, dropout=dropout)
        self.words = Projection(hidden, width, dropout=dropout)
        self.dropout = nn.Dropout(region_dropout)
        self.maps = nn.Parameter(torch.randn(1, glimpses, 1, width))
        self.bias = nn.Parameter(torch.randn(1, glimpses, 1, 1))
        weight_norm(self, "maps", dim=None)  # type: ignore[arg-type]  # None is one for all

    def logits(self, regions: Tensor, states: Tensor) -> Tensor:
        """Scores of all pairs, (B, glimpses, K, T)."""
        a, b = self.dropout(self.regions(regions)), self.words(states)
        weighted = self.maps * a[:, None]  # (B, glimpses, K, width)
        return torch.einsum("bgkd,btd->bgkt", weighted, b) + self.bias

    def forward(self, regions: Tensor, mask: Tensor | None, states: Tensor) -> Tensor:
        """The maps; padded words are not left out, regions outside the mask get 0."""
        there = None if mask is None else mask[:, None, :, None]
        return masked_softmax(self.logits(regions, states), there, dims=2)


class BilinearPooling(nn.Module):
    """One vector from regions and words under one map: ``z_d = sum_kt p_kt (V v_k)_d (Q q_t)_d``.

    Args:
        visual: Numbers per region.
        hidden: Numbers per word state, and of the output.
        dropout: Before the two projections.

    Shape:
        Regions (B, K, visual), states (B, T, hidden), map (B, K, T) to (B, hidden).
    """

    def __init__(self, visual: int, hidden: int, *, dropout: float = 0.2) -> None:
        super().__init__()
        self.regions = Projection(visual, hidden, dropout=dropout)
        self.words = Projection(hidden, hidden, dropout=dropout)

    def forward(self, regions: Tensor, states: Tensor, shares: Tensor) -> Tensor:
        """Pool."""
        return torch.einsum("bkd,bkt,btd->bd", self.regions(regions), shares, self.words(states))


class BilinearAttentionNetwork(nn.Module):
    """Glimpses one after the other, each added to all words; the joint feature is the sum of the words in the end.

    All maps are made from the words as they come in; each glimpse pools the words as the ones before it left them.

    Args:
        visual: Numbers per region.
        hidden: Numbers per word state, and of the output.
        glimpses: Number of maps.
        dropout: Before every projection.

    Raises:
        ValueError: There is no glimpse.

    Shape:
        Regions (B, K, visual), mask (B, K) or None, states (B, T, hidden) to (B, hidden).
    """

    def __init__(self, visual: int, hidden: int = 1024, *, glimpses: int = 2, dropout: float = 0.2) -> None:
        super().__init__()
        if glimpses < 1:
            raise ValueError(f"glimpses must be at least 1, found {glimpses}")
        self.attention = BilinearAttention(visual, hidden, glimpses=glimpses, dropout=dropout)
        self.pooling = nn.ModuleList(BilinearPooling(visual, hidden, dropout=dropout) for _ in range(glimpses))
        self.projections = nn.ModuleList(
            Projection(hidden, hidden, dropout=dropout, activation=False) for _ in range(glimpses)
        )

    def shares(self, regions: Tensor, mask: Tensor | None, states: Tensor) -> Tensor:
        """What is attended to, (B, glimpses, K, T): the share of each pair of a region and a word."""
        maps: Tensor = self.attention(regions, mask, states)
        return maps

    def forward(self, regions: Tensor, mask: Tensor | None, states: Tensor) -> Tensor:
        """The joint feature of question and image; ``mask`` is True at real regions, None where all are."""
        maps = self.shares(regions, mask, states)
        for glimpse, (pool, project) in enumerate(zip(self.pooling, self.projections, strict=True)):
            states = states + project(pool(regions, states, maps[:, glimpse]))[:, None]
        return states.sum(dim=1)
