"""Training answers to questions about images as many yes-or-no decisions, one per candidate.

D Teney, P Anderson, X He, A van den Hengel, "Tips and Tricks for Visual Question Answering", CVPR 2018,
https://arxiv.org/abs/1708.02711, and the systems that follow it: targets are scores between 0 and 1, and several answers may be
right.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["AnswerLoss"]


class AnswerLoss(nn.Module):
    """Binary cross-entropy summed over candidates, mean over the batch.

    A question without a right candidate has a row of zeros, which pushes all its logits down.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            logits: (B, answers).
            targets: (B, answers), from 0 to 1.

        Raises:
            ValueError: The shapes differ, or are no such ones.
        """
        if logits.ndim != 2 or logits.shape != targets.shape:
            raise ValueError(
                f"expected logits and targets (B, answers), found {tuple(logits.shape)} and {tuple(targets.shape)}"
            )
        terms = F.binary_cross_entropy_with_logits(logits.float(), targets.float(), reduction="none")
        return terms.sum(dim=1).mean()
