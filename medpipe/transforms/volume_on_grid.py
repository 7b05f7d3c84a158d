"""Single volumes of a registration datalist on a network's grid, for training: the preprocessing of inference, kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform
from torch import Tensor

from medpipe.data.volume_files import read_volume_file
from medpipe.errors import CaseError, InputDataError
from medpipe.io.sampling import on_grid
from medpipe.io.volume import Volume

from .registration import PairToGridd

__all__ = ["VolumeOnGrid"]


class VolumeOnGrid(Transform):
    """Reads an entry's image and label and brings them to the grid as ``PairToGridd`` does with either image of a pair.

    Args:
        image_size: Voxels along each side.
        body_part: As of ``PairToGridd``; for the liver the box of the label map counts where there is one.
        intensity: Likewise.

    Raises:
        ValueError: A name is unknown, or the size too small.
    """

    def __init__(self, image_size: int, *, body_part: str, intensity: str) -> None:
        self.to_grid = PairToGridd(image_size, body_part, intensity)

    def __call__(self, entry: Mapping[str, Any]) -> dict[str, Tensor]:
        """Read and resample.

        Returns:
            "image" (1, X, Y, Z) in [0, 1], and "label" (1, X, Y, Z) int32 where the entry has one.

        Raises:
            InputDataError: A file cannot be read, or holds no volume of finite numbers, or no body part is found.
        """
        volume = self._read(entry["image"])
        case: dict[str, Any] = {"fixed": volume, "moving": volume, "reason": ""}
        if "label" in entry:
            label = self._read(entry["label"])
            if label.array.shape != volume.array.shape:
                raise InputDataError(
                    f"{entry['label']}: its shape is {label.array.shape}, its image's {volume.array.shape}"
                )
            label = Volume(np.rint(label.array).astype(np.int32), volume.affine)
            case.update(fixed_labels=label, moving_labels=label)
        try:
            placed = self.to_grid(case)
        except CaseError as error:
            raise InputDataError(f"{entry['image']}: {error}") from error
        result = {"image": placed["image"][:1].clone()}
        if "label" in entry:
            size = [self.to_grid.image_size] * 3
            values = on_grid(label.array, label.affine, placed["fixed_grid"], size, nearest=True)
            result["label"] = torch.from_numpy(values)[None]
        return result

    def _read(self, name: str) -> Volume:
        array, affine = read_volume_file(name)
        if array.ndim != 3 or not array.size:
            raise InputDataError(f"{name}: its shape is {array.shape}; expected a volume (x, y, z)")
        if not np.isfinite(array).all():
            raise InputDataError(f"{name}: holds values that are not finite; expected numbers")
        return Volume(array, affine)
