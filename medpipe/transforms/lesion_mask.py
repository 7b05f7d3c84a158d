"""The lesion mask of a datalist entry, as a channel beside the image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from medpipe.data.datalist import lesion_mask

__all__ = ["LesionMaskd"]


class LesionMaskd(Transform):
    """Add "mask", "mask_known" and "image_label" to a datalist entry.

    Writes "mask" (1, rows, columns) float in {0, 1} in the pixels of the file (all zero where the entry has no lesion
    or does not know the place), "mask_known" (bool: may the mask be learnt from) and "image_label" (float 0 or 1).
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the entry with the three keys."""
        entry: dict[str, Any] = {str(key): value for key, value in data.items()}
        known = bool(entry["localized"])
        pixels = lesion_mask(entry) if known else np.zeros((entry["rows"], entry["columns"]), bool)
        mask = MetaTensor(torch.from_numpy(pixels).float()[None])
        return {**data, "mask": mask, "mask_known": known, "image_label": float(entry["label"])}
