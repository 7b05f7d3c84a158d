"""Noisy images and what they should become, for validating an auto-encoder."""

from __future__ import annotations

from typing import Any

import torch
from monai.utils import CommonKeys as Keys

__all__ = ["DenoisingBatch"]


class DenoisingBatch:
    """Adds normal noise to images, the same to each batch however often it is asked for.

    Args:
        noise: Its standard deviation; images are in [0, 1].
    """

    def __init__(self, noise: float = 0.1) -> None:
        self.noise = noise

    def __call__(
        self, batchdata: dict[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The noisy images and the images, (B, 1, rows, columns) under "image"."""
        images = torch.as_tensor(batchdata[Keys.IMAGE])
        generator = torch.Generator().manual_seed(0)
        noisy = images + self.noise * torch.randn(images.shape, generator=generator)
        where: dict[str, Any] = {"device": device, "non_blocking": non_blocking, **kwargs}
        return noisy.to(**where), images.to(**where)
