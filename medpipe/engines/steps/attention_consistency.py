"""One update of a classifier by several views of each image, for the ``iteration_update`` of MONAI's trainers.

Paper: H Guo, K Zheng, X Fan, H Yu, S Wang, "Visual Attention Consistency under Image Transforms for Multi-Label Image
Classification", CVPR 2019. The views are the image, its mirror image and smaller copies of them; each is classified, and
the class maps of a pair of views should agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from monai.engines import SupervisedTrainer
from monai.utils import CommonKeys as Keys
from torch import Tensor
from torch.nn import functional as F

__all__ = ["AttentionConsistencyStep"]

Prediction = Mapping[str, Tensor]


class AttentionConsistencyStep:
    """The trainer's loss over all views, and the disagreement of the class maps of pairs of views.

    The network must return "class_maps" (B, C, h, w) in training, beside what the trainer's loss takes. Views of one size go
    through it as one batch. Without views it is MONAI's own update.

    Args:
        flip: Add mirror images. Two terms with a small size: of the large and of the small pair.
        small_size: Add copies of this side; None for none.
        flip_loss: Of maps and maps of mirror images; None classifies the views without comparing their maps.
        flip_weight: Its weight.
        scale_loss: Of the maps of large and small images; None as above.
        scale_weight: Its weight.
        image_size: Side of the images, which the small size must be below; None where it is not known.

    Raises:
        ValueError: A weight is negative, the small size is out of range, or maps are to be compared without their view.
    """

    def __init__(
        self,
        *,
        flip: bool = False,
        small_size: int | None = None,
        flip_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        flip_weight: float = 1.0,
        scale_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        scale_weight: float = 1.0,
        image_size: int | None = None,
    ) -> None:
        if min(flip_weight, scale_weight) < 0:
            raise ValueError(f"weights must not be negative, found {flip_weight} and {scale_weight}")
        if small_size is not None and not 1 <= small_size < (image_size or math.inf):
            raise ValueError(f"the small view must be smaller than the image ({image_size}), found {small_size}")
        self.flip, self.small_size = flip, small_size
        self.flip_loss = flip_loss if flip_weight else None
        self.scale_loss = scale_loss if scale_weight else None
        if self.flip_loss is not None and not flip:
            raise ValueError("maps of mirror images are to agree, but there are no mirror images: switch their view on")
        if self.scale_loss is not None and small_size is None:
            raise ValueError("maps of two sizes are to agree, but there is one size: give that of the small view")
        self.flip_weight, self.scale_weight = flip_weight, scale_weight

    def __call__(self, engine: SupervisedTrainer, batchdata: dict[str, Any]) -> dict[str, Any]:
        """Update the network once.

        Returns:
            "loss", and its parts before their weights under "parts".
        """
        images, targets = engine.prepare_batch(batchdata, engine.state.device, engine.non_blocking)  # type: ignore[misc]
        engine.network.train()
        engine.optimizer.zero_grad()
        predictions = [engine.network(view) for view in self.views(images)]
        repeated = torch.cat([targets, targets]) if self.flip else targets
        losses = [engine.loss_function(prediction, repeated) for prediction in predictions]
        parts = {"classification": torch.stack(losses).mean(), **self._consistency(predictions)}
        weights = {"flip": self.flip_weight, "scale": self.scale_weight}
        loss = torch.stack([weights.get(name, 1.0) * part for name, part in parts.items()]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        engine.optimizer.step()
        return {Keys.LOSS: loss.detach(), "parts": {name: part.detach() for name, part in parts.items()}}

    def views(self, images: Tensor) -> list[Tensor]:
        """The views as one batch per size, large first, each with the mirror images behind the images.

        Args:
            images: (B, channels, rows, columns).
        """
        large = torch.cat([images, images.flip(-1)]) if self.flip else images
        if self.small_size is None:
            return [large]
        side = (self.small_size, self.small_size)
        return [large, F.interpolate(large, side, mode="bilinear", align_corners=False, antialias=True)]

    def _consistency(self, predictions: list[Prediction]) -> dict[str, Tensor]:
        parts = {}
        if self.flip_loss is not None:
            halves = [prediction["class_maps"].chunk(2) for prediction in predictions]
            parts["flip"] = torch.stack([self.flip_loss(*pair) for pair in halves]).sum()
        if self.scale_loss is not None:
            parts["scale"] = self.scale_loss(*(prediction["class_maps"] for prediction in predictions))
        return parts
