"""Where the cells of a network's maps lie in the image that was read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from monai.data import MetaTensor

__all__ = ["MapGeometry"]


@dataclass(frozen=True)
class MapGeometry:
    """The way from a map over the network's input back to the file.

    An image of ``stored`` (rows, columns) was scaled to ``fitted``, padded at its end to a square of ``side``, and the centre
    of ``size`` cut out of that; without cutting, ``side`` is ``size``.
    """

    stored: tuple[int, int]
    fitted: tuple[int, int]
    side: int
    size: int

    @classmethod
    def of(cls, image: MetaTensor, side: int | None = None) -> MapGeometry:
        """From a network's input with the metadata of ``ScaleToFit``; ``side`` None where nothing was cut."""
        stored, fitted = ((int(n[0]), int(n[1])) for n in (image.meta["spatial_shape"], image.meta["fitted_shape"]))
        size = int(image.shape[-1])
        return cls(stored, fitted, side or size, size)

    @property
    def margin(self) -> int:
        """Pixels that were cut off before the input's first row and column."""
        return self.side // 2 - self.size // 2

    def cells(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of a map's cells that hold something of the image, at least one of each."""
        rows, columns = (
            min(cells, max(1, math.ceil((fitted - self.margin) * cells / self.size)))
            for fitted, cells in zip(self.fitted, shape, strict=True)
        )
        return rows, columns

    def to_file(self, cell: tuple[float, float], shape: tuple[int, int]) -> tuple[float, float]:
        """Row and column in the file, pixel centres at whole numbers, of a cell's centre; inside the image.

        Args:
            cell: Row and column of the cell.
            shape: Rows and columns of the map.
        """
        row, column = (
            min(max(((at + 0.5) * self.size / cells + self.margin) * stored / fitted - 0.5, 0.0), stored - 1.0)
            for at, cells, stored, fitted in zip(cell, shape, self.stored, self.fitted, strict=True)
        )
        return row, column

    def on_picture(self, values: torch.Tensor, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
        """A map over a picture of the whole image, bilinearly; what was cut off repeats the nearest cell.

        Args:
            values: (rows, columns) of cells.
            shape: Rows and columns of the picture.

        Returns:
            (rows, columns) of the picture.
        """
        rows, columns = self.cells((values.shape[0], values.shape[1]))
        padding = (0, values.shape[1] - columns, 0, values.shape[0] - rows)
        cells = F.pad(values[None, None, :rows, :columns].float(), padding, mode="replicate")  # nothing of the padding
        on_input = F.interpolate(cells, (self.size,) * 2, mode="bilinear", align_corners=False)
        behind = self.side - self.size - self.margin
        whole = F.pad(on_input, (self.margin, behind, self.margin, behind), mode="replicate")
        image = whole[..., : self.fitted[0], : self.fitted[1]]
        shown = F.interpolate(image, shape, mode="bilinear", align_corners=False, antialias=True)
        return np.asarray(shown[0, 0].cpu().numpy(), np.float32)
