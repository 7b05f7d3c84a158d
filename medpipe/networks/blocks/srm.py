"""Style-based recalibration module (SRM).

Paper: HJ Lee, HE Kim, H Nam, "SRM: A Style-based Recalibration Module for Convolutional Neural Networks",
ICCV 2019, https://arxiv.org/abs/1903.10829, equations 1 to 5.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["StyleRecalibration"]


class StyleRecalibration(nn.Module):
    """Gates each channel by its own mean and standard deviation.

    ``Y = X * sigmoid(BN(w_mean * mean(X) + w_std * sqrt(var(X) + eps)))`` with two weights per channel, no
    mixing of channels and no bias; the variance is the paper's, divided by H W. The weights start at zero, so
    the module starts by halving its input.

    Args:
        channels: Channels of the input.
        eps: Added to the variance before the square root.

    Shape:
        (B, channels, H, W) in, the same out. In training mode B must be at least 2: the batch norm sees one
        value per image and channel.
    """

    def __init__(self, channels: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(channels, 2))
        self.norm = nn.BatchNorm2d(channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Zero weights and a fresh batch norm."""
        nn.init.zeros_(self.weight)
        self.norm.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Recalibrate the channels; see the class for the formula."""
        variance, mean = torch.var_mean(x, dim=(2, 3), correction=0)
        style = torch.stack([mean, (variance + self.eps).sqrt()], dim=2)  # (B, C, 2)
        encoded = (style * self.weight).sum(dim=2)[:, :, None, None]
        return x * torch.sigmoid(self.norm(encoded)).to(x.dtype)  # (B, C, H, W)
