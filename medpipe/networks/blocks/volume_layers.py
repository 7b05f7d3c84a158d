"""Layers of the registration networks: TensorFlow's padding and tflearn's initialisation, for published weights."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..choices import choose

__all__ = ["PADDINGS", "SameConv3d", "joined", "uniform_scaling_", "up_convolution"]

PADDINGS = ("tf_same", "symmetric")
SLOPE = 0.1
"""Of LeakyReLU in the teacher's networks and in the published code of the student."""


class SameConv3d(nn.Conv3d):
    """A 3-D convolution with bias whose output has the input's size divided by the stride, rounded up.

    With ``tf_same`` the padding is TensorFlow's: the odd voxel goes behind, so that kernel 3 and stride 2 pad an even
    axis by 0 before and 1 after. Published TensorFlow weights need it: with 1 and 1 (``symmetric``) every second
    sample is another one.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        stride: 1 or 2.
        kernel_size: Odd kernel size.
        padding_kind: ``tf_same`` or ``symmetric``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        *,
        kernel_size: int = 3,
        padding_kind: str = "tf_same",
    ) -> None:
        choose("padding", padding_kind, PADDINGS)
        even = stride == 1 or padding_kind == "symmetric"
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2 if even else 0)
        self.pads = not even

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (B, C, X, Y, Z)."""
        if self.pads:
            input = F.pad(input, self._padding_of(input))
        return super().forward(input)

    def _padding_of(self, volume: Tensor) -> list[int]:
        pads: list[int] = []
        for size in reversed(volume.shape[2:]):
            stride, kernel = self.stride[0], self.kernel_size[0]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return pads


def up_convolution(in_channels: int, out_channels: int) -> nn.ConvTranspose3d:
    """A transposed convolution that doubles the size: kernel 4, stride 2, padding 1, no bias."""
    return nn.ConvTranspose3d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)


@torch.no_grad()
def uniform_scaling_(module: nn.Module) -> None:
    """tflearn's initialisation: weights uniform within sqrt(3 / d), biases 0; for ``Module.apply``.

    d is the product of all kernel dimensions but the last in TensorFlow's layout: kernel volume times channels in,
    for transposed convolutions times channels out.
    """
    if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
        bound = math.sqrt(3 / module.weight[0].numel())
        module.weight.uniform_(-bound, bound)
        if module.bias is not None:
            module.bias.zero_()


def joined(fixed: Tensor, moving: Tensor, like: nn.Module) -> Tensor:
    """The two images as two channels, in the type and memory order of the first weights of ``like``."""
    weight = next(p for p in like.parameters() if p.ndim == 5)
    pair = torch.cat([fixed, moving], dim=1).to(weight.dtype)
    if weight.is_contiguous(memory_format=torch.channels_last_3d) and not weight.is_contiguous():
        pair = pair.contiguous(memory_format=torch.channels_last_3d)
    return pair
