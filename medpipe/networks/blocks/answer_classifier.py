"""From a joint feature of question and image to one logit per candidate answer.

The two-layer classifier of https://github.com/jnhwkim/ban-vqa and of the systems built on it.
"""

from __future__ import annotations

from torch import Tensor, nn

from .weight_normalized import normalized_linear

__all__ = ["AnswerClassifier"]


class AnswerClassifier(nn.Module):
    """Weight-normalised linear layer to twice the width, activation, dropout, weight-normalised linear layer to the answers.

    Args:
        hidden: Numbers per joint feature.
        answers: Number of candidates.
        dropout: Between the layers.
        activation: A module, by default ReLU.

    Shape:
        (B, hidden) to (B, answers), logits.
    """

    def __init__(self, hidden: int, answers: int, *, dropout: float = 0.5, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.widen = normalized_linear(hidden, 2 * hidden)
        self.activation = activation or nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.answers = normalized_linear(2 * hidden, answers)

    def forward(self, joint: Tensor) -> Tensor:
        """The logits."""
        logits: Tensor = self.answers(self.dropout(self.activation(self.widen(joint))))
        return logits
