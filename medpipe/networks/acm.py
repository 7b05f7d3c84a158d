"""Classification and lesion localisation by comparison: a backbone with context blocks and one map per class.

Paper: M Kim, J Park, S Na, CM Park, D Yoo, "Learning Visual Context by Comparison", ECCV 2020,
https://arxiv.org/abs/2007.07506. The head (1x1 convolution, then the maximum over positions) is that of the
authors' chest X-ray classifier, https://github.com/mk-minchul/attend-and-compare; their localisation code is
not published.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from .backbones import context_backbone
from .blocks import AttendCompare, take_orthogonality
from .choices import choose

__all__ = ["ContextLocalizer", "ImageLogits", "image_logits"]


class ContextLocalizer(nn.Module):
    """A backbone, optionally with context blocks, and a 1x1 convolution to one logit map per class.

    The image logit of a class is the maximum of its map (``image_logits``). In evaluation mode ``forward``
    returns the logit maps. In training mode it returns a dictionary:

    - ``logits``: (B, num_classes, h, w), the maps.
    - ``orthogonality``: (B,), the sum over all attend-and-compare modules of the mean over channels of K * Q;
      zeros where there are none.
    - ``orthogonality_per_module``: (B, M), the same per module.
    - ``class_maps``: (B, num_classes, h, w), the maps without their bias, whose gradient reaches the
      backbone and not the head: what attention consistency compares.

    The orthogonality values carry their graph and are gathered inside this forward, so they come through
    DataParallel, DistributedDataParallel and (non-reentrant) gradient checkpointing.

    Args:
        backbone: A key of ``medpipe.networks.backbones.BACKBONES``.
        context: ``none`` or a key of ``medpipe.networks.blocks.CONTEXT_BLOCKS``.
        placement: Where the context blocks sit; None takes the default, see ``context_backbone``.
        context_args: Options of the context block.
        in_channels: 1 (repeated to three) or 3.
        num_classes: Number of maps.
        imagenet_normalisation: Subtract ImageNet's mean and divide by its standard deviation, per channel.
            Switch it off for images that are already normalised.
        pretrained: Start from ImageNet weights fetched by timm.
        weights: Start from ImageNet weights in this file.
        output_stride: Pixels per cell of the maps: 8, 16 or 32.
        zero_init_last: Start the residual blocks as identity; see ``context_backbone``. False is the better start
            for training from scratch with ``acm``.

    Raises:
        ValueError: A name is unknown, or a number is not allowed.

    Shape:
        (B, in_channels, H, W), display values in [0, 1], to (B, num_classes, h, w) with h = ceil(H /
        output_stride).
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: str = "resnet50",
        context: str = "acm",
        *,
        placement: str | None = None,
        context_args: Mapping[str, Any] | None = None,
        in_channels: int = 1,
        num_classes: int = 1,
        imagenet_normalisation: bool = True,
        pretrained: bool = False,
        weights: str | Path | None = None,
        output_stride: int = 32,
        zero_init_last: bool = True,
    ) -> None:
        super().__init__()
        if in_channels not in (1, 3):
            raise ValueError(f"in_channels must be 1 or 3, found {in_channels}")
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, found {num_classes}")
        self.in_channels = in_channels
        self.imagenet_normalisation = imagenet_normalisation
        self.backbone = context_backbone(
            backbone,
            context=context,
            placement=placement,
            context_args=context_args,
            pretrained=pretrained,
            weights=weights,
            output_stride=output_stride,
            zero_init_last=zero_init_last,
        )
        self.head = nn.Conv2d(int(self.backbone.num_features), num_classes, 1)  # type: ignore[arg-type]
        self.register_buffer("mean", torch.tensor(IMAGENET_DEFAULT_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_DEFAULT_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor | dict[str, Tensor]:
        """Compute the logit maps; see the class for what is returned in which mode."""
        modules = self._attend_compare_modules()
        for module in modules.values():
            module.records_orthogonality = self.training
        features: Tensor = self.backbone(self._prepared(images))
        logits: Tensor = self.head(features)
        if not self.training:
            return logits
        per_module = take_orthogonality(list(modules.values()), like=logits)
        return {
            "logits": logits,
            "orthogonality": per_module.sum(dim=1),
            "orthogonality_per_module": per_module,
            "class_maps": nn.functional.conv2d(features, self.head.weight.detach()),
        }

    @property
    def has_attention_maps(self) -> bool:
        """Whether ``attention_maps`` has any to give."""
        modules = self._attend_compare_modules().values()
        return any(module.key_map is not None or module.query_map is not None for module in modules)

    @torch.no_grad()
    def attention_maps(self, images: Tensor) -> dict[str, dict[str, Tensor]]:
        """The attention maps of every attend-and-compare module, for pictures.

        The network runs as in evaluation mode and is left in the mode it was in.

        Args:
            images: As for ``forward``.

        Returns:
            The modules' names to ``AttendCompare.attention_maps``: ``key`` and ``query``, (B, groups, h, w)
            on the grid of that module, each map summing to 1. Empty without such modules.
        """
        maps: dict[str, dict[str, Tensor]] = {}
        hooks = [
            module.register_forward_pre_hook(partial(_keep_maps, maps, name))
            for name, module in self._attend_compare_modules().items()
        ]
        modes = {module: module.training for module in self.modules()}
        try:
            self.eval()(images)
        finally:
            for hook in hooks:
                hook.remove()
            for module, mode in modes.items():
                module.training = mode
        return maps

    def _prepared(self, images: Tensor) -> Tensor:
        # The tracer would warn that this comparison becomes a constant.
        if not torch.jit.is_tracing() and (images.ndim != 4 or images.shape[1] != self.in_channels):
            raise ValueError(f"expected images (B, {self.in_channels}, H, W), found {tuple(images.shape)}")
        images = images.expand(-1, 3, -1, -1)
        return (images - self.mean) / self.std if self.imagenet_normalisation else images

    def _attend_compare_modules(self) -> dict[str, AttendCompare]:
        return {name: m for name, m in self.named_modules() if isinstance(m, AttendCompare)}


def _keep_maps(maps: dict[str, dict[str, Tensor]], name: str, module: AttendCompare, inputs: tuple[Tensor]) -> None:
    maps[name] = module.attention_maps(inputs[0])


def image_logits(logits: Tensor, pooling: str = "max") -> Tensor:
    """Pool logit maps to one logit per image and class.

    Args:
        logits: (B, C, h, w).
        pooling: ``max``; ``avg``; or ``lse``, the logarithm of the mean of exponentials, which lies between
            them.

    Returns:
        (B, C).

    Raises:
        ValueError: The pooling is unknown, or the maps are not four-dimensional.
    """
    if logits.ndim != 4:
        raise ValueError(f"expected logit maps (B, C, h, w), found {tuple(logits.shape)}")
    return _POOLS[choose("pooling", pooling, _POOLS)](logits.flatten(2))


class ImageLogits:
    """``image_logits`` of one pooling, for losses, metrics and transforms that share it.

    Args:
        pooling: As for ``image_logits``.

    Raises:
        ValueError: The pooling is unknown.
    """

    def __init__(self, pooling: str = "max") -> None:
        self.pooling = choose("pooling", pooling, _POOLS)

    def __call__(self, logits: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C)."""
        return image_logits(logits, self.pooling)


_POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "max": lambda flat: flat.amax(dim=2),
    "avg": lambda flat: flat.mean(dim=2),
    "lse": lambda flat: flat.logsumexp(dim=2) - math.log(flat.shape[2]),
}
