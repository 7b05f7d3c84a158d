"""Recursive cascaded networks: an affine network and up to ten dense ones, the accurate and expensive registration.

Papers: S Zhao, Y Dong, E Chang, Y Xu, "Recursive Cascaded Networks for Unsupervised Medical Image Registration", ICCV
2019, https://arxiv.org/abs/1907.12353; S Zhao, T Lau, J Luo, E Chang, Y Xu, "Unsupervised 3D End-to-End Medical Image
Registration with Volume Tweening Network", IEEE J-BHI 2019, https://arxiv.org/abs/1902.05020. Layers, their names and
the padding follow https://github.com/microsoft/Recursive-Cascaded-Networks, which has more layers than the papers'
figures; ``medpipe.networks.rcn_weights`` reads its checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks.affine_registration import AffineNetwork, three_sizes
from .blocks.cascade import Cascade
from .blocks.volume_layers import SLOPE, SameConv3d, joined, uniform_scaling_, up_convolution
from .choices import choose

__all__ = ["RCN", "RCN_BASES", "VTN", "StridedVoxelMorph"]

_VTN_SCALE = 20.0


class VTN(nn.Module):
    """The dense network of the volume tweening network.

    A field is predicted at five coarse levels and handed on to the next finer one, without a loss of its own.

    Args:
        channels: Channels of the first level; they double with each of the six levels.
        flow_multiplier: Factor of the field, besides the 20 of the published network.
        padding: Padding of the strided convolutions, see ``SameConv3d``.

    Shape:
        Two (B, 1, X, Y, Z), sizes multiples of 64, to (B, 3, X, Y, Z) in voxels, float32.
    """

    last = "upsamp1to0"

    def __init__(self, channels: int = 16, *, flow_multiplier: float = 1.0, padding: str = "tf_same") -> None:
        super().__init__()
        self.flow_multiplier = flow_multiplier
        widths = [2, *(channels * 2**k for k in range(6))]
        layers: dict[str, nn.Module] = {}
        for level in range(1, 7):
            layers[f"conv{level}"] = SameConv3d(widths[level - 1], widths[level], 2, padding_kind=padding)
            if level > 2:
                layers[f"conv{level}_1"] = SameConv3d(widths[level], widths[level])
        inside = widths[6]
        for level in range(6, 1, -1):
            layers[f"pred{level}"] = SameConv3d(inside, 3)
            layers[f"upsamp{level}to{level - 1}"] = up_convolution(3, 3)
            layers[f"deconv{level - 1}"] = up_convolution(inside, widths[level - 1])
            inside = 2 * widths[level - 1] + 3
        layers["upsamp1to0"] = up_convolution(inside, 3)
        self.layers = nn.ModuleDict(layers)
        self.apply(uniform_scaling_)

    def forward(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """The displacement field of a batch of pairs."""
        layers = self.layers
        features = joined(fixed, moving, self)
        encoded = []
        for level in range(1, 7):
            features = F.leaky_relu(layers[f"conv{level}"](features), SLOPE)
            if level > 2:
                features = F.leaky_relu(layers[f"conv{level}_1"](features), SLOPE)
            encoded.append(features)
        for level in range(6, 1, -1):
            coarse = layers[f"upsamp{level}to{level - 1}"](layers[f"pred{level}"](features))
            up = F.leaky_relu(layers[f"deconv{level - 1}"](features), SLOPE)
            features = torch.cat([encoded[level - 2], up, coarse], dim=1)
        return layers["upsamp1to0"](features).float() * (_VTN_SCALE * self.flow_multiplier)


class StridedVoxelMorph(nn.Module):
    """The reference code's "VoxelMorph": strided encoder, nearest up-sampling, the pair itself at the last level.

    Args:
        channels: Channels of the first level.
        flow_multiplier: Factor of the field.
        padding: Padding of the strided convolutions.

    Shape:
        Two (B, 1, X, Y, Z), sizes multiples of 16, to (B, 3, X, Y, Z) in voxels, float32.
    """

    last = "flow"

    def __init__(self, channels: int = 16, *, flow_multiplier: float = 1.0, padding: str = "tf_same") -> None:
        super().__init__()
        self.flow_multiplier = flow_multiplier
        one, two = channels, 2 * channels
        self.layers = nn.ModuleDict(
            {
                "conv1": SameConv3d(2, one, 2, padding_kind=padding),
                "conv2": SameConv3d(one, two, 2, padding_kind=padding),
                "conv3": SameConv3d(two, two, 2, padding_kind=padding),
                "conv4": SameConv3d(two, two, 2, padding_kind=padding),
                "decode4": SameConv3d(two, two),
                "decode3": SameConv3d(two + two, two),
                "decode2": SameConv3d(two + two, two),
                "decode1": SameConv3d(two + one, two),
                "decode1_1": SameConv3d(two, two),
                "decode0": SameConv3d(two + 2, one),
                "decode0_1": SameConv3d(one, one),
                "flow": SameConv3d(one, 3),
            }
        )
        self.apply(uniform_scaling_)
        nn.init.normal_(self.layers["flow"].weight, std=1e-5)  # type: ignore[arg-type]

    def forward(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """The displacement field of a batch of pairs."""
        encoded = [joined(fixed, moving, self)]
        for level in range(1, 5):
            encoded.append(self._layer(f"conv{level}", encoded[-1]))
        features = self._layer("decode4", encoded[4])
        for level in (3, 2, 1):
            features = self._layer(f"decode{level}", _up_and_join(features, encoded[level]))
        features = self._layer("decode1_1", features)
        features = self._layer("decode0", _up_and_join(features, encoded[0]))
        features = self._layer("decode0_1", features)
        return self.layers["flow"](features).float() * self.flow_multiplier

    def _layer(self, name: str, features: Tensor) -> Tensor:
        return F.leaky_relu(self.layers[name](features), SLOPE)


def _up_and_join(features: Tensor, skipped: Tensor) -> Tensor:
    return torch.cat([F.interpolate(features, scale_factor=2, mode="nearest"), skipped], dim=1)


RCN_BASES: dict[str, Callable[..., nn.Module]] = {"vtn": VTN, "voxelmorph": StridedVoxelMorph}


class RCN(Cascade):
    """The recursive cascade: affine network, then ``n_cascades`` dense networks with weights of their own.

    Args:
        image_size: Size of the images, one number or (X, Y, Z), multiples of 64, with ``voxelmorph`` of 16.
        n_cascades: Dense networks, 0 (affine alone) to 10. Each predicts with ``flow_multiplier`` 1 / n_cascades.
        base: Dense network, ``vtn`` or ``voxelmorph``.
        channels: Channels of its first level.
        affine: Begin with the affine network; without it, for pairs that are aligned already, there is at least one dense one.
        repeats: Apply every dense network so many times in a row, with the same weights.
        affine_init: ``uniform_scaling``, as published, or ``small``, which starts training at the identity.
        dense_init: Likewise, of the last layer of each dense network: as published, training starts from folded fields.
        padding: ``tf_same``, as published, or ``symmetric``.
        warp_gradient: See ``Cascade``.
        half_resolution: See ``Cascade``.
        checkpointing: See ``Cascade``.

    Raises:
        ValueError: A name is unknown, or a number is not allowed.
    """

    def __init__(
        self,
        image_size: int | Sequence[int] = 128,
        *,
        n_cascades: int = 3,
        base: str = "vtn",
        channels: int = 16,
        affine: bool = True,
        repeats: int = 1,
        affine_init: str = "uniform_scaling",
        dense_init: str = "uniform_scaling",
        padding: str = "tf_same",
        warp_gradient: bool = True,
        half_resolution: bool = False,
        checkpointing: bool = False,
    ) -> None:
        least = 0 if affine else 1
        if not least <= n_cascades <= 10:
            raise ValueError(f"n_cascades must be {least} to 10, found {n_cascades}")
        if repeats < 1 or channels < 1:
            raise ValueError(f"repeats and channels must be at least 1, found {repeats} and {channels}")
        build = RCN_BASES[choose("base network", base, RCN_BASES)]
        three_sizes(image_size, 64 if base == "vtn" else 16)
        choose("dense_init", dense_init, ("uniform_scaling", "small"))
        networks = [build(channels, flow_multiplier=1 / n_cascades, padding=padding) for _ in range(n_cascades)]
        if dense_init == "small":
            for network in networks:
                nn.init.normal_(network.layers[network.last].weight, std=1e-5)  # type: ignore[index,arg-type,union-attr]
        super().__init__(
            [network for network in networks for _ in range(repeats)],
            AffineNetwork(image_size, init=affine_init, padding=padding) if affine else None,
            warp_gradient=warp_gradient,
            half_resolution=half_resolution,
            checkpointing=checkpointing,
        )
