"""Tells a student's displacement fields from its teacher's.

Paper: M Q Tran, T Do, H Tran, E Tjiputra, Q D Tran, A Nguyen, "Light-weight Deformable Registration using Adversarial
Learning with Distilling Knowledge", IEEE TMI 2022, https://arxiv.org/abs/2110.01293; the kind ``code`` follows
https://github.com/aioz-ai/LDR_ALDK.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..choices import choose
from .affine_registration import three_sizes
from .volume_layers import SameConv3d

__all__ = ["DISCRIMINATOR_KINDS", "FieldDiscriminator"]

DISCRIMINATOR_KINDS = ("paper", "code")
_WIDTHS = (16, 32, 64, 128, 256)
_CODE_SLOPE = 0.2


class FieldDiscriminator(nn.Module):
    """Five strided convolutions and one number in (0, 1) per field.

    Nothing is normalised over the batch, so that the penalty on its gradient is one per field.

    Args:
        image_size: Size of the fields, one number or (X, Y, Z), multiples of 32.
        kind: ``paper``: kernels of 4, ReLU, a last convolution to one channel, and the mean over its cells of the
            sigmoid. ``code``: kernels of 5, LeakyReLU 0.2, a linear layer on all that remains, and its sigmoid.
    """

    def __init__(self, image_size: int | Sequence[int] = 128, *, kind: str = "paper") -> None:
        super().__init__()
        self.image_size = three_sizes(image_size, 32)
        self.kind = choose("kind of discriminator", kind, DISCRIMINATOR_KINDS)
        pairs = list(zip((3, *_WIDTHS), _WIDTHS, strict=False))
        if kind == "paper":
            self.layers = nn.ModuleList(nn.Conv3d(i, o, 4, stride=2, padding=1) for i, o in pairs)
            self.last: nn.Module = nn.Conv3d(_WIDTHS[-1], 1, 3, padding=1)
        else:
            self.layers = nn.ModuleList(SameConv3d(i, o, 2, kernel_size=5) for i, o in pairs)
            cells = torch.Size(n // 32 for n in self.image_size).numel()
            self.last = nn.Linear(_WIDTHS[-1] * cells, 1)

    def forward(self, field: Tensor) -> Tensor:
        """Judge displacement fields.

        Args:
            field: (B, 3, X, Y, Z) in voxels; divided by the size of each axis inside.

        Returns:
            (B,), values in (0, 1).

        Raises:
            ValueError: The shape is another.
        """
        if field.ndim != 5 or field.shape[1] != 3 or tuple(field.shape[2:]) != self.image_size:
            raise ValueError(
                f"expected fields (B, 3, {', '.join(map(str, self.image_size))}), found {tuple(field.shape)}"
            )
        sizes = torch.tensor(self.image_size, dtype=field.dtype, device=field.device)
        features = field / sizes.view(1, 3, 1, 1, 1)
        for layer in self.layers:
            features = F.relu(layer(features)) if self.kind == "paper" else F.leaky_relu(layer(features), _CODE_SLOPE)
        if self.kind == "paper":
            return torch.sigmoid(self.last(features)).flatten(1).mean(dim=1)
        return torch.sigmoid(self.last(features.flatten(1)))[:, 0]
