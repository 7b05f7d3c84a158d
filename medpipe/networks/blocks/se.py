"""Squeeze-and-excitation (SE).

Paper: J Hu, L Shen, G Sun, "Squeeze-and-Excitation Networks", CVPR 2018, https://arxiv.org/abs/1709.01507.
The computation is timm's.
"""

from __future__ import annotations

from timm.layers import SEModule

__all__ = ["SqueezeExcite"]


class SqueezeExcite(SEModule):  # type: ignore[misc]  # timm carries no complete types
    """Gates each channel by a small network on the channels' means.

    ``Y = X * sigmoid(fc2(relu(fc1(mean(X)))))``. timm's module rounds the hidden width to a multiple of 8;
    here it is the paper's ``channels // reduction`` (at least 1).

    Args:
        channels: Channels of the input.
        reduction: The paper's r.

    Shape:
        (B, channels, H, W) in, the same out.
    """

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__(channels, rd_channels=max(1, channels // reduction))
