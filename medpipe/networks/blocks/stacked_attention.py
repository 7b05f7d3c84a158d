"""Stacked attention (SAN): a question looks at the image's regions several times, each time knowing what it saw.

Paper: Z Yang, X He, J Gao, L Deng, A Smola, "Stacked Attention Networks for Image Question Answering", CVPR 2016,
https://arxiv.org/abs/1511.02274. The form is that of the systems built on https://github.com/jnhwkim/ban-vqa, in which the
values that are summed are the same projections that are compared.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..choices import choose
from .masked_softmax import masked_softmax

__all__ = ["VALUES", "StackedAttention"]

VALUES = ("shared", "separate")


class StackedAttention(nn.Module):
    """``u_s = u_(s-1) + sum_k p_k V_s[k]`` with ``p = softmax(w_s . tanh(Q_s u_(s-1) + V_s v))``.

    In the first hop, the projected question takes the place of u_0. With one region the shares are always 1: then the output
    is linear in question and region, and the later query matrices and all score vectors get no gradient.

    Args:
        visual: Numbers per region.
        hidden: Numbers per question, and of the output.
        hops: How often it looks.
        dropout: Before the scores.
        values: ``shared``; or ``separate``: the first hop sums projections of their own and starts from one of its own.

    Raises:
        ValueError: There is no hop, or the variant is unknown.

    Shape:
        Regions (B, K, visual), mask (B, K), question states (B, T, hidden), of which the last is used; to (B, hidden).
    """

    def __init__(
        self, visual: int, hidden: int = 1024, *, hops: int = 2, dropout: float = 0.5, values: str = "shared"
    ) -> None:
        super().__init__()
        if hops < 1:
            raise ValueError(f"hops must be at least 1, found {hops}")
        choose("variant of stacked attention", values, VALUES)
        self.queries = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(hops))
        self.keys = nn.ModuleList(nn.Linear(visual, hidden, bias=False) for _ in range(hops))
        self.scores = nn.ModuleList(nn.Linear(hidden, 1) for _ in range(hops))
        self.first_query = nn.Linear(hidden, hidden) if values == "separate" else None
        self.first_value = nn.Linear(visual, hidden, bias=False) if values == "separate" else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, regions: Tensor, mask: Tensor | None, states: Tensor) -> Tensor:
        """The joint feature of question and image; ``mask`` is True at real regions, None where all are."""
        return self._look(regions, mask, states)[0]

    def shares(self, regions: Tensor, mask: Tensor | None, states: Tensor) -> Tensor:
        """What is attended to, (B, hops, K): the share of each region."""
        return torch.stack(self._look(regions, mask, states)[1], dim=1)

    def _look(self, regions: Tensor, mask: Tensor | None, states: Tensor) -> tuple[Tensor, list[Tensor]]:
        question = states[:, -1]
        joint, every = question, []
        for hop, (query, key, score) in enumerate(zip(self.queries, self.keys, self.scores, strict=True)):
            asked, seen = query(joint), key(regions)  # (B, hidden), (B, K, hidden)
            scores = score(self.dropout(torch.tanh(asked[:, None] + seen))).squeeze(-1)
            shares = masked_softmax(scores, mask)  # (B, K)
            every.append(shares)
            if hop == 0:
                joint = asked if self.first_query is None else self.first_query(question)
                seen = seen if self.first_value is None else self.first_value(regions)
            joint = joint + torch.einsum("bk,bkh->bh", shares, seen)
        return joint, every
