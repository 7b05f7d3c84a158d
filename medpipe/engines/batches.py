"""From a collated batch to what a network and its loss take."""

from __future__ import annotations

from typing import Any

import torch
from monai.utils import CommonKeys as Keys

__all__ = ["localization_batch"]


def localization_batch(
    batchdata: dict[str, Any], device: str | torch.device | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Images and targets of a localiser, for the ``prepare_batch`` of MONAI's engines.

    Returns:
        Images (B, 1, rows, columns), and "image_label" (B,), "mask" (B, 1, rows, columns), "mask_known" (B,).
    """
    where: dict[str, Any] = {"device": device, "non_blocking": non_blocking, **kwargs}
    targets = {
        "image_label": torch.as_tensor(batchdata["image_label"]).float().to(**where),
        "mask": _plain(batchdata["mask"]).to(**where),
        "mask_known": torch.as_tensor(batchdata["mask_known"]).bool().to(**where),
    }
    return _plain(batchdata[Keys.IMAGE]).to(**where), targets


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """Without MONAI's metadata, whose upkeep costs time in every operation of a network."""
    return tensor.as_tensor() if hasattr(tensor, "as_tensor") else tensor
