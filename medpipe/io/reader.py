"""Our radiograph reader as a MONAI ``ImageReader``, so that bundles keep ``LoadImaged``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from monai.config import PathLike
from monai.data import ImageReader
from monai.utils import ensure_tuple

from medpipe.io.radiograph import read_radiograph

__all__ = ["RadiographReader"]


class RadiographReader(ImageReader):
    """Reads DICOM radiographs, PNG, JPEG, single-slice NIfTI and MetaImage, and JSRT films as display values in [0, 1].

    The array is (rows, columns), row 0 at the top; the affine is diag(row mm, column mm, 1), or 1 pixel where the
    spacing is unknown. Metadata: "spacing_mm" (two floats, NaN where unknown), "spacing_source", "spatial_shape".

    ``read`` only keeps the name and ``get_data`` decodes: ``LoadImage`` falls back to other readers, with other grey
    values, when ``read`` fails, and a radiograph must never be shown in another reader's grey values unnoticed.
    """

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Every name is ours: DICOM files often have no suffix."""
        return True

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> list[str]:
        """Keep the names; nothing is opened yet."""
        return [str(name) for name in ensure_tuple(data)]

    def get_data(self, img: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Decode the one file of ``img`` to a (rows, columns) float32 array and its metadata.

        Raises:
            ValueError: More than one file.
            CaseError: The file cannot be read as a radiograph.
        """
        names = ensure_tuple(img)
        if len(names) != 1:
            raise ValueError(f"expected one file, got {len(names)}: {names[:3]}")
        radiograph = read_radiograph(str(names[0]))
        spacing = radiograph.spacing_mm
        row, column = spacing if spacing is not None else (1.0, 1.0)
        metadata: dict[str, Any] = {
            "affine": np.diag([row, column, 1.0, 1.0]),
            "spatial_shape": np.asarray(radiograph.pixels.shape),
            "spacing_mm": np.asarray(spacing if spacing is not None else (np.nan, np.nan)),
            "spacing_source": radiograph.spacing_source,
            "original_channel_dim": "no_channel",
        }
        return radiograph.pixels, metadata
