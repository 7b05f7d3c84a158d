"""Scale an image so that its longer side has a given length, keeping its proportions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

__all__ = ["ScaleToFit", "ScaleToFitd"]


class ScaleToFit(Transform):
    """Scale the longer side to ``size`` pixels, bilinearly with antialiasing.

    MONAI's ``Resize(size_mode="longest")`` does the same without antialiasing of its bilinear mode and without
    writing down the result. Here the metadata say ``fitted_shape``, the (rows, columns) of the scaled image, and keep
    ``spatial_shape``, its shape in the file; the two give the way back: a position p of the scaled image, in pixel
    centres, is (p + 0.5) * spatial_shape / fitted_shape - 0.5 in the file.

    Args:
        size: Length of the longer side in pixels.
        mask: Treat the image as a mask: a target pixel is 1 where any of its source pixels is (maximum instead of
            mean), so that a thin lesion does not vanish.
    """

    def __init__(self, size: int, *, mask: bool = False) -> None:
        if size < 1:
            raise ValueError(f"size must be positive, got {size}")
        self.size, self.mask = size, mask

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Scale an image of shape (channels, rows, columns)."""
        rows, columns = int(image.shape[-2]), int(image.shape[-1])
        scale = self.size / max(rows, columns)
        fitted = max(1, round(rows * scale)), max(1, round(columns * scale))
        plain = image.as_tensor() if isinstance(image, MetaTensor) else image
        meta = dict(image.meta) if isinstance(image, MetaTensor) else {}
        meta.setdefault("spatial_shape", (rows, columns))
        return MetaTensor(self._scale(plain[None].float(), fitted)[0], meta={**meta, "fitted_shape": fitted})

    def _scale(self, batch: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        if tuple(batch.shape[-2:]) == shape:
            return batch
        if self.mask:
            return F.adaptive_max_pool2d(batch, shape)
        return F.interpolate(batch, shape, mode="bilinear", align_corners=False, antialias=True)


class ScaleToFitd(MapTransform):
    """Dictionary form of ``ScaleToFit``; the image under ``mask_key`` is scaled as a mask."""

    def __init__(self, keys: KeysCollection, size: int, mask_key: str = "mask") -> None:
        super().__init__(keys)
        self._image, self._mask, self._mask_key = ScaleToFit(size), ScaleToFit(size, mask=True), mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Scale the image under each key."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = (self._mask if key == self._mask_key else self._image)(result[key])
        return result
