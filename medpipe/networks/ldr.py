"""Light-weight deformable registration: the student, one to three small networks in a cascade.

Paper: M Q Tran, T Do, H Tran, E Tjiputra, Q D Tran, A Nguyen, "Light-weight Deformable Registration using Adversarial
Learning with Distilling Knowledge", IEEE TMI 2022, https://arxiv.org/abs/2110.01293. The authors' code,
https://github.com/aioz-ai/LDR_ALDK, has another network under the same name: variant ``code``. Order and padding of
the layers of variant ``paper``, and its start at the identity, are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks.affine_registration import LightAffineNetwork, three_sizes
from .blocks.cascade import Cascade
from .blocks.volume_layers import SLOPE, SameConv3d, joined, uniform_scaling_, up_convolution
from .choices import choose

__all__ = ["LDR", "LDR_INITIALS", "LDR_VARIANTS", "CodeStudent", "PaperStudent"]

LDR_INITIALS = ("affine_light", "ldr_shared", "none")


class PaperStudent(nn.Module):
    """Four strided convolutions down, four transposed ones up, all with kernels of 4.

    The last layer starts as N(0, 1e-5), so that training starts at the identity; the others as He has it.

    Args:
        channels: Channels of the first level; they double with each of the four levels.
        flow_multiplier: Factor of the field.
        half_resolution: Stop one level earlier: an ordinary convolution predicts the field at half the size, in
            voxels of that grid (half-pixel convention).

    Shape:
        Two (B, 1, X, Y, Z), sizes multiples of 16, to (B, 3, X, Y, Z) in voxels, float32; halved with
        ``half_resolution``.
    """

    def __init__(self, channels: int = 16, *, flow_multiplier: float = 1.0, half_resolution: bool = False) -> None:
        super().__init__()
        self.flow_multiplier = flow_multiplier
        widths = [2, *(channels * 2**k for k in range(4))]
        self.down = nn.ModuleList(nn.Conv3d(i, o, 4, stride=2, padding=1) for i, o in pairwise(widths))
        self.up = nn.ModuleList(
            [
                up_convolution(widths[4], widths[3]),
                up_convolution(2 * widths[3], widths[2]),
                up_convolution(2 * widths[2], widths[1]),
            ]
        )
        last = 2 * widths[1]
        self.flow = nn.Conv3d(last, 3, 3, padding=1, bias=False) if half_resolution else up_convolution(last, 3)
        self.apply(_he_)
        nn.init.normal_(self.flow.weight, std=1e-5)

    def forward(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """The displacement field of a batch of pairs."""
        features = joined(fixed, moving, self)
        encoded = []
        for layer in self.down:
            features = F.relu(layer(features))
            encoded.append(features)
        for layer, skipped in zip(self.up, encoded[-2::-1], strict=True):
            features = torch.cat([F.relu(layer(features)), skipped], dim=1)
        return self.flow(features).float() * self.flow_multiplier


class CodeStudent(nn.Module):
    """The network of the authors' code: kernels of 3, LeakyReLU 0.1, nearest up-sampling, a transposed last layer.

    Layer names are those of their checkpoints.

    Args:
        channels: Half the channels of the first levels.
        flow_multiplier: Factor of the field.
        half_resolution: As of ``PaperStudent``.

    Shape:
        As of ``PaperStudent``.
    """

    def __init__(self, channels: int = 16, *, flow_multiplier: float = 1.0, half_resolution: bool = False) -> None:
        super().__init__()
        self.flow_multiplier = flow_multiplier
        one, two = channels, 2 * channels
        self.layers = nn.ModuleDict(
            {
                "conv1": SameConv3d(2, two, 2),
                "conv2": SameConv3d(two, two, 2),
                "conv3": SameConv3d(two, two, 2),
                "conv4": SameConv3d(two, one, 2),
                "decode4": SameConv3d(one, two),
                "decode3": SameConv3d(two + two, two),
                "decode2": SameConv3d(two + two, two),
                "decode1": SameConv3d(two + two, one),
                "decode1_1": SameConv3d(one, one),
                "upsamp1to0": nn.Conv3d(one, 3, 3, padding=1, bias=False)
                if half_resolution
                else up_convolution(one, 3),
            }
        )
        self.apply(uniform_scaling_)
        nn.init.normal_(self.layers["upsamp1to0"].weight, std=1e-5)  # type: ignore[arg-type]

    def forward(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """The displacement field of a batch of pairs."""
        features = joined(fixed, moving, self)
        encoded = [features]
        for level in range(1, 5):
            encoded.append(self._layer(f"conv{level}", encoded[-1]))
        features = self._layer("decode4", encoded[4])
        for level in (3, 2, 1):
            up = F.interpolate(features, scale_factor=2, mode="nearest")
            features = self._layer(f"decode{level}", torch.cat([up, encoded[level]], dim=1))
        features = self._layer("decode1_1", features)
        return self.layers["upsamp1to0"](features).float() * self.flow_multiplier

    def _layer(self, name: str, features: Tensor) -> Tensor:
        return F.leaky_relu(self.layers[name](features), SLOPE)


def _he_(module: nn.Module) -> None:
    if isinstance(module, nn.ConvTranspose3d):
        # A voxel of the doubled grid receives an eighth of the kernel's taps from each channel in.
        nn.init.normal_(module.weight, std=(2 / (module.in_channels * module.weight[0, 0].numel() / 8)) ** 0.5)
    elif isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


LDR_VARIANTS: dict[str, Callable[..., nn.Module]] = {"paper": PaperStudent, "code": CodeStudent}


class LDR(Cascade):
    """The student: an optional first stage, then ``n_cascades`` small dense networks with weights of their own.

    Args:
        image_size: Size of the images, one number or (X, Y, Z), multiples of 16; with ``affine_light`` from 48 on.
        n_cascades: Dense networks, at least 1.
        initial: ``affine_light``: a small affine network first; fields take the factor 1 / n_cascades.
            ``ldr_shared``: one more dense network, with the same weights each time, before every other; factor
            1 / (n_cascades + 1). ``none``.
        variant: ``paper`` or ``code``, the authors' code.
        channels: Channels of the first level.
        repeats: Apply every dense network so many times in a row, with the same weights.
        affine_init: As of ``medpipe.networks.rcn.RCN``; ``small`` starts training at the identity.
        half_resolution: Predict and compose fields at half the size (half-pixel convention).
        warp_gradient: See ``Cascade``.
        checkpointing: See ``Cascade``.

    Raises:
        ValueError: A name is unknown, or a number is not allowed.
    """

    def __init__(
        self,
        image_size: int | Sequence[int] = 128,
        *,
        n_cascades: int = 1,
        initial: str = "affine_light",
        variant: str = "paper",
        channels: int = 16,
        repeats: int = 1,
        affine_init: str = "small",
        half_resolution: bool = False,
        warp_gradient: bool = True,
        checkpointing: bool = False,
    ) -> None:
        if min(n_cascades, repeats, channels) < 1:
            raise ValueError(
                f"n_cascades, repeats and channels must be at least 1, found {n_cascades}, {repeats} and {channels}"
            )
        three_sizes(image_size, 16)
        choose("initial stage", initial, LDR_INITIALS)
        build = LDR_VARIANTS[choose("variant", variant, LDR_VARIANTS)]
        shared = initial == "ldr_shared"
        factor = 1 / (n_cascades + shared)
        networks = [
            build(channels, flow_multiplier=factor, half_resolution=half_resolution) for _ in range(n_cascades + shared)
        ]
        order = [network for network in networks[shared:] for _ in range(repeats)]
        if shared:
            order = [network for own in order for network in (networks[0], own)]
        super().__init__(
            order,
            LightAffineNetwork(image_size, init=affine_init) if initial == "affine_light" else None,
            warp_gradient=warp_gradient,
            half_resolution=half_resolution,
            checkpointing=checkpointing,
        )
