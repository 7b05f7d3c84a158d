"""Transposed convolutions as ordinary ones that predict sub-voxels: the same numbers, several times faster on a CPU.

A transposed convolution of kernel 4, stride 2 and padding 1 gives each of the 2 x 2 x 2 phases of its output by a
kernel of size 2 on the input (polyphase form). All eight are computed by one convolution on the small grid and
interleaved. W Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016,
https://arxiv.org/abs/1609.07009.
"""

from __future__ import annotations

import copy
from itertools import product
from typing import TypeVar

import torch
from torch import Tensor, nn

from .cascade import Cascade

__all__ = ["SubpixelUp3d", "optimize_for_inference"]

_TAPS = ((3, 1), (2, 0))
"""Taps of the kernel that meet the two neighbours of an even and of an odd output voxel along an axis."""

Network = TypeVar("Network", bound=nn.Module)


class SubpixelUp3d(nn.Module):
    """The polyphase form of a given transposed convolution.

    Args:
        source: Kernel 4, stride 2, padding 1, no bias. Its weights are copied.

    Raises:
        ValueError: The convolution is another.

    Shape:
        (B, C, X, Y, Z) to (B, C', 2 X, 2 Y, 2 Z).
    """

    weight: Tensor

    def __init__(self, source: nn.ConvTranspose3d) -> None:
        super().__init__()
        if not _is_doubling(source):
            raise ValueError(f"expected a transposed convolution of kernel 4, stride 2, padding 1, found {source}")
        self.out_channels = source.out_channels
        kernel = source.weight.detach().transpose(0, 1)
        phases = [
            kernel[:, :, list(_TAPS[i])][:, :, :, list(_TAPS[j])][..., list(_TAPS[k])]
            for i, j, k in product((0, 1), repeat=3)
        ]
        self.weight = nn.Parameter(torch.cat(phases).contiguous(), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        """Double the size of (B, C, X, Y, Z)."""
        x, y, z = features.shape[2:]
        phases = nn.functional.conv3d(features, self.weight, padding=1)
        fine = phases.new_empty(features.shape[0], self.out_channels, x, 2, y, 2, z, 2)
        for index, (i, j, k) in enumerate(product((0, 1), repeat=3)):
            part = phases[:, index * self.out_channels : (index + 1) * self.out_channels]
            fine[:, :, :, i, :, j, :, k] = part[:, :, i : i + x, j : j + y, k : k + z]
        return fine.view(features.shape[0], self.out_channels, 2 * x, 2 * y, 2 * z)


def optimize_for_inference(network: Network, *, dtype: torch.dtype = torch.float32) -> Network:
    """A copy of a registration network that runs faster on a CPU, for inference only.

    Transposed convolutions that give the displacements take polyphase form, and weights the channels-last order; cascades
    warp and compose in one pass (``fused_warp``). With ``dtype=torch.bfloat16`` the dense networks compute in it; warps, compositions and the affine network stay in float32.

    Args:
        network: A cascade or a dense network. It is not changed.
        dtype: Type that convolutions of the dense networks compute in.

    Returns:
        The copy, in evaluation mode, without gradients.
    """
    fast = copy.deepcopy(network).eval().requires_grad_(False)
    for module in list(fast.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ConvTranspose3d) and _is_doubling(child) and child.out_channels == 3:
                setattr(module, name, SubpixelUp3d(child))
    fast = fast.to(memory_format=torch.channels_last_3d)
    cascades = [module for module in fast.modules() if isinstance(module, Cascade)]
    for cascade in cascades:
        cascade.fused = True
    for dense in [dense for cascade in cascades for dense in cascade.dense] or [fast]:
        dense.to(dtype)
    return fast


def _is_doubling(layer: nn.ConvTranspose3d) -> bool:
    return (
        (layer.kernel_size, layer.stride, layer.padding) == ((4, 4, 4), (2, 2, 2), (1, 1, 1))
        and layer.output_padding == (0, 0, 0)
        and layer.dilation == (1, 1, 1)
        and layer.groups == 1
        and layer.bias is None
    )
