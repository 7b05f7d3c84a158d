"""From a collated batch to what a network and its loss take."""

from __future__ import annotations

from typing import Any

import torch
from monai.utils import CommonKeys as Keys

__all__ = ["localization_batch", "multilabel_batch", "pair_batch", "registration_batch"]


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


def multilabel_batch(
    batchdata: dict[str, Any], device: str | torch.device | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels of a classifier, for the ``prepare_batch`` of MONAI's engines.

    Returns:
        Images (B, 1, rows, columns), and labels (B, classes): 0, 1, or NaN where unknown.
    """
    where: dict[str, Any] = {"device": device, "non_blocking": non_blocking, **kwargs}
    return _plain(batchdata[Keys.IMAGE]).to(**where), _plain(batchdata["labels"]).float().to(**where)


def pair_batch(
    batchdata: dict[str, Any],
    device: str | torch.device | None = None,
    non_blocking: bool = False,
    *,
    augmented: bool = False,
) -> dict[str, torch.Tensor]:
    """Pairs of volumes for the steps of registration.

    Args:
        batchdata: "fixed" and "moving" (B, 1, X, Y, Z); maybe "fixed_label" and "moving_label", of that shape;
            "augmented" and "augmented_label", the moving ones deformed; "field" (B, 3, X, Y, Z) in voxels with
            "field_given" (B,), without which all are given.
        device: Where they go.
        non_blocking: Of that transfer.
        augmented: Take the deformed moving volumes where there are some.

    Returns:
        The first four, as far as they are there; "field" and "field_given", where nothing is given zeros and False.
    """
    where: dict[str, Any] = {"device": device, "non_blocking": non_blocking}
    names = {name: name for name in ("fixed", "moving", "fixed_label", "moving_label", "field")}
    if augmented:
        names.update({"moving": "augmented", "moving_label": "augmented_label"} if "augmented" in batchdata else {})
    batch = {name: _plain(batchdata[key]).to(**where) for name, key in names.items() if key in batchdata}
    count, shape = batch["fixed"].shape[0], batch["fixed"].shape[2:]
    given = torch.as_tensor(batchdata.get("field_given", torch.full((count,), "field" in batch)))
    batch["field_given"] = given.bool().to(**where)
    none = torch.zeros(count, 3, *shape, device=device)
    field = batch["field"].float() if "field" in batch else none
    return {**batch, "field": field}


def registration_batch(
    batchdata: dict[str, Any], device: str | torch.device | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[torch.Tensor, dict[str, torch.Tensor], tuple[torch.Tensor, ...], dict[str, Any]]:
    """Pairs of volumes for the ``prepare_batch`` of MONAI's evaluators, whose network takes fixed and moving.

    Returns:
        The fixed volumes, all of ``pair_batch``, the moving volumes, and no further options.
    """
    batch = pair_batch(batchdata, device, non_blocking)
    return batch["fixed"], batch, (batch["moving"],), {}


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """Without MONAI's metadata, whose upkeep costs time in every operation of a network."""
    return tensor.as_tensor() if hasattr(tensor, "as_tensor") else tensor
