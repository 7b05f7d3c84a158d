"""Tiles of a Siemens mosaic: the slices of a volume side by side in one large image.

The number of tiles and the direction in which they follow each other are in the CSA image header, read by nibabel.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from medpipe.io.dicom_file import raw, text
from medpipe.io.findings import found
from medpipe.io.geometry import check_plane
from medpipe.io.instances import Image

__all__ = ["mosaic_layout", "tiles"]

MAX_TILES = 4096


def mosaic_layout(dataset: Any) -> tuple[int, Any]:
    """Number of tiles, and the direction (LPS unit vector) from each to the next; (0, None) where it is not told."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nibabel calls its DICOM part experimental at import
        from nibabel.nicom.csareader import read

    for block in range(0x10, 0x100):
        if text(dataset, 0x00290000 | block) == "SIEMENS CSA HEADER":
            try:
                tags = read(raw(dataset, 0x00290010 | block << 8))["tags"]
                count = int(tags["NumberOfImagesInMosaic"]["items"][0])
                normal = np.array([float(v) for v in tags["SliceNormalVector"]["items"]])
            except Exception:  # a damaged private header
                return 0, None
            sound = 0 < count <= MAX_TILES and normal.shape == (3,) and abs(np.linalg.norm(normal) - 1) < 1e-3
            return (count, normal) if sound else (0, None)
    return 0, None


def tiles(whole: Image, count: int, normal: Any) -> Iterator[Image]:
    """The slices of a mosaic; the mosaic itself, with an error among its findings, where it cannot be taken apart.

    The mosaic's position is that of one large image about the centre of each slice.

    Args:
        whole: The mosaic as one image.
        count: Number of tiles.
        normal: Direction from each tile to the next.
    """
    instance, side = whole.instance, math.ceil(math.sqrt(count))
    step, form = instance.slice_step, instance.form
    sound = count and step and not check_plane(whole.position, whole.orientation, whole.spacing)
    if not sound or form.rows % side or form.columns % side:
        instance.findings.append(found("mosaic_unreadable", files=[instance.label]))
        yield whole
        return
    rows, columns = form.rows // side, form.columns // side
    position, orientation, spacing = (
        np.asarray(part, dtype=float) for part in (whole.position, whole.orientation, whole.spacing)
    )
    corner = position + orientation[:3] * spacing[1] * (form.columns - columns) / 2
    corner = corner + orientation[3:] * spacing[0] * (form.rows - rows) / 2
    for number in range(count):
        row, column = divmod(number, side)
        place = corner + normal * step * number
        yield replace(
            whole,
            tile=(row * rows, column * columns),
            rows=rows,
            columns=columns,
            position=tuple(float(v) for v in place),
        )
