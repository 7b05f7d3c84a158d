"""A small grey picture of an image, for people, beside what the network gets."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.transforms import Transform

from medpipe.transforms.scale_to_fit import ScaleToFit

__all__ = ["Pictured"]


class Pictured(Transform):
    """Add "picture" to the dictionary: (rows, columns) uint8, the longer side ``size`` pixels.

    Reads the image under ``key``, one channel with display values in [0, 1], as it was loaded.

    Args:
        key: The image.
        size: Longer side of the picture; a network's input is often too small to look at.
    """

    def __init__(self, key: str, size: int) -> None:
        self.key, self._scale = key, ScaleToFit(size)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with its picture."""
        small = np.asarray(self._scale(data[self.key]))[0]
        return {**data, "picture": np.rint(np.clip(small, 0, 1) * 255).astype(np.uint8)}
