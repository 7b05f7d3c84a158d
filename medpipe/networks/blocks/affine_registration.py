"""Networks that predict an affine displacement about the centre of the volume.

``AffineNetwork`` is the first stage of the volume tweening network: S Zhao, T Lau, J Luo, E Chang, Y Xu, "Unsupervised
3D End-to-End Medical Image Registration with Volume Tweening Network", IEEE J-BHI 2019,
https://arxiv.org/abs/1902.05020. ``LightAffineNetwork`` is the small one in the code of the light-weight student,
https://github.com/aioz-ai/LDR_ALDK. Layer names are those of the published checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ..choices import choose
from .cascade import Affine
from .volume_layers import SLOPE, SameConv3d, joined, uniform_scaling_

__all__ = ["AFFINE_INITS", "AffineNetwork", "LightAffineNetwork", "three_sizes"]

AFFINE_INITS = ("uniform_scaling", "small")


def three_sizes(image_size: int | Sequence[int], multiple: int) -> tuple[int, int, int]:
    """(X, Y, Z) of an image size given as one or three numbers, each a multiple of ``multiple``.

    Raises:
        ValueError: It is not so.
    """
    sizes = (image_size,) * 3 if isinstance(image_size, int) else tuple(int(n) for n in image_size)
    if len(sizes) != 3 or any(n < multiple or n % multiple for n in sizes):
        raise ValueError(f"image_size must be one or three multiples of {multiple}, found {image_size}")
    return sizes[0], sizes[1], sizes[2]


class AffineNetwork(nn.Module):
    """Ten convolutions down to a 64th of the size, and two bias-free heads over what remains.

    Args:
        image_size: Size of the images, one number or (X, Y, Z), multiples of 16. The heads' kernels depend on it.
        init: ``uniform_scaling``, as published: the untrained map is random, but small. ``small``: heads N(0, 1e-5),
            so that training starts at the identity.
        padding: Padding of the strided convolutions, see ``SameConv3d``.
    """

    def __init__(
        self, image_size: int | Sequence[int] = 128, *, init: str = "uniform_scaling", padding: str = "tf_same"
    ) -> None:
        super().__init__()
        self.image_size = three_sizes(image_size, 16)
        widths = [16, 32, 64, 64, 128, 128, 256, 256, 512, 512]
        names = ["conv1", "conv2", "conv3", "conv3_1", "conv4", "conv4_1", "conv5", "conv5_1", "conv6", "conv6_1"]
        self.layers = nn.ModuleDict()
        for name, inside, out in zip(names, [2, *widths], widths, strict=False):
            self.layers[name] = SameConv3d(inside, out, 1 if name.endswith("_1") else 2, padding_kind=padding)
        self.heads = _heads(512, [math.ceil(n / 64) for n in self.image_size])
        _initialise(self, init)

    def forward(self, fixed: Tensor, moving: Tensor) -> Affine:
        """The affine displacement of a batch of pairs (B, 1, X, Y, Z)."""
        _check_size(fixed, self.image_size)
        features = joined(fixed, moving, self)
        for layer in self.layers.values():
            features = F.leaky_relu(layer(features), SLOPE)
        return _affine(self.heads, features)


class LightAffineNetwork(nn.Module):
    """Four strided convolutions, average pooling, and two bias-free heads over what remains.

    Args:
        image_size: Size of the images, one number or (X, Y, Z), multiples of 16 from 48 on.
        init: As of ``AffineNetwork``.
        padding: As of ``AffineNetwork``.
    """

    def __init__(
        self, image_size: int | Sequence[int] = 128, *, init: str = "uniform_scaling", padding: str = "tf_same"
    ) -> None:
        super().__init__()
        self.image_size = three_sizes(image_size, 16)
        if min(self.image_size) < 48:
            raise ValueError(f"image_size must be at least 48 for the light affine network, found {image_size}")
        widths = [16, 32, 64, 128]
        self.layers = nn.ModuleDict(
            {
                f"conv{k + 1}": SameConv3d(inside, out, 2, padding_kind=padding)
                for k, (inside, out) in enumerate(zip([2, *widths], widths, strict=False))
            }
        )
        self.heads = _heads(128, [(n // 16 - 3) // 2 + 1 for n in self.image_size])
        _initialise(self, init)

    def forward(self, fixed: Tensor, moving: Tensor) -> Affine:
        """The affine displacement of a batch of pairs (B, 1, X, Y, Z)."""
        _check_size(fixed, self.image_size)
        features = joined(fixed, moving, self)
        for layer in self.layers.values():
            features = F.leaky_relu(layer(features), SLOPE)
        return _affine(self.heads, F.avg_pool3d(features, 3, stride=2))


def _heads(channels: int, extent: Sequence[int]) -> nn.ModuleDict:
    kernel = (extent[0], extent[1], extent[2])
    return nn.ModuleDict(
        {
            "conv7_W": nn.Conv3d(channels, 9, kernel, bias=False),
            "conv7_b": nn.Conv3d(channels, 3, kernel, bias=False),
        }
    )


def _initialise(network: AffineNetwork | LightAffineNetwork, init: str) -> None:
    choose("init", init, AFFINE_INITS)
    network.apply(uniform_scaling_)
    if init == "small":
        for head in network.heads.values():
            nn.init.normal_(head.weight, std=1e-5)  # type: ignore[arg-type]


def _affine(heads: nn.ModuleDict, features: Tensor) -> Affine:
    weight, shift = heads["conv7_W"](features), heads["conv7_b"](features)
    return Affine(weight.reshape(-1, 3, 3).float(), shift.reshape(-1, 3).float())


def _check_size(fixed: Tensor, image_size: tuple[int, int, int]) -> None:
    if tuple(fixed.shape[2:]) != image_size:
        raise ValueError(f"the affine network was built for images {image_size}, found {tuple(fixed.shape[2:])}")
