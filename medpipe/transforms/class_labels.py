"""The labels of a datalist entry of several classes, as a tensor beside the image."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import Transform

__all__ = ["ClassLabelsd"]


class ClassLabelsd(Transform):
    """Add "labels" to a datalist entry: (classes,) float, 0, 1, or NaN where "label" has null (unknown)."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the entry with the key."""
        values = [math.nan if value is None else float(value) for value in data["label"]]
        return {**data, "labels": torch.tensor(values)}
