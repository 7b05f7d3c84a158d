"""Convolutional block attention module (CBAM).

Paper: S Woo, J Park, JY Lee, IS Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018,
https://arxiv.org/abs/1807.06521. The computation is timm's.
"""

from __future__ import annotations

from timm.layers.cbam import CbamModule

__all__ = ["BlockAttention"]


class BlockAttention(CbamModule):  # type: ignore[misc]  # timm carries no complete types
    """Gates the channels, then the positions.

    Channels: one network (C -> C/reduction -> C, without biases as in the paper's equation 2) on the mean and
        on the
    maximum over positions, summed, sigmoid. Positions: mean and maximum over channels, a convolution, batch
    norm, sigmoid.

    Args:
        channels: Channels of the input.
        reduction: The paper's r.
        kernel_size: Size of the spatial convolution, odd.

    Raises:
        ValueError: The kernel size is even.

    Shape:
        (B, channels, H, W) in, the same out.
    """

    def __init__(self, channels: int, *, reduction: int = 16, kernel_size: int = 7) -> None:
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, found {kernel_size}")
        super().__init__(channels, rd_channels=max(1, channels // reduction), spatial_kernel_size=kernel_size)
