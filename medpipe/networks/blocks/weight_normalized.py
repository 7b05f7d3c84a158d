"""Linear layers whose weight is a direction times one magnitude for the whole matrix.

The form of J-H Kim, J Jun, B-T Zhang, "Bilinear Attention Networks", NeurIPS 2018, https://arxiv.org/abs/1805.07932, and of the
systems built on it: weight normalisation (Salimans and Kingma, 2016) with a single scalar.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

__all__ = ["Projection", "normalized_linear"]


def normalized_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with bias whose weight is a direction times one learnable number."""
    layer: nn.Linear = weight_norm(nn.Linear(inputs, outputs), dim=None)  # type: ignore[arg-type]  # None is one for all
    return layer


class Projection(nn.Module):
    """Dropout, a weight-normalised linear layer, and ReLU unless switched off.

    Args:
        inputs: Features in.
        outputs: Features out.
        dropout: Share of the inputs that is set to 0 in training.
        activation: Whether ReLU comes last.

    Shape:
        (..., inputs) to (..., outputs).
    """

    def __init__(self, inputs: int, outputs: int, *, dropout: float = 0.2, activation: bool = True) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = normalized_linear(inputs, outputs)
        self.activation = nn.ReLU() if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Project."""
        projected: Tensor = self.activation(self.linear(self.dropout(x)))
        return projected
