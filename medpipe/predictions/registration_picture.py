"""A picture of a registered pair for people: four rows in three planes through the middle of the registered box.

Rows: the fixed image; the moving image as it was laid over it; the moving image after registration; fixed and registered
in turn, as a checkerboard. As a radiologist sees them: the patient's right at the left, anterior and superior at the top;
in the sagittal plane anterior at the left.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.io.atomic import write_bytes

__all__ = ["draw_pair", "read_tiles"]

Array = npt.NDArray[Any]

_SIDE = 240
_GAP = 4
_CAPTION = 16
_TILES = 8
_ROWS = {
    "fixed": "fixed",
    "before": "moving, before",
    "after": "moving, registered",
    "checkerboard": "fixed and registered in turn",
}
_PLANES = {"axial": (2, 0, 1), "coronal": (1, 0, 2), "sagittal": (0, 1, 2)}
"""Axis across each plane, along its columns and along its rows, of right, anterior, superior."""

_SIZE = (3 * (_SIDE + _GAP) - _GAP, len(_ROWS) * (_SIDE + _GAP + _CAPTION))


def draw_pair(path: Path, pair: Any) -> None:
    """Write the picture of a ``RegisteredPair`` as PNG."""
    from PIL import Image, ImageDraw

    canvas = Image.new("L", _SIZE, 0)
    draw = ImageDraw.Draw(canvas)
    for column, plane in enumerate(_PLANES):
        for row, (name, tile) in enumerate(zip(_ROWS.values(), _tiles(pair, plane), strict=True)):
            left, top = _corner(row, column)
            draw.text((left + 2, top - _CAPTION + 2), f"{name}, {plane}", fill=255)
            canvas.paste(Image.fromarray(tile), (left, top))
    content = io.BytesIO()
    canvas.save(content, "PNG")
    write_bytes(path, content.getvalue())


def read_tiles(path: Path) -> dict[str, dict[str, bytes]]:
    """The parts of a picture of ``draw_pair``, by plane and row ("fixed", "before", "after", "checkerboard"), as JPEG.

    Returns:
        Nothing where there is no such picture.
    """
    from PIL import Image

    try:
        with Image.open(path) as opened:
            picture = opened.convert("L")
    except OSError:  # a damaged picture must not cost a report
        return {}
    if picture.size != _SIZE:
        return {}
    tiles: dict[str, dict[str, bytes]] = {}
    for column, plane in enumerate(_PLANES):
        tiles[plane] = {}
        for row, kind in enumerate(_ROWS):
            left, top = _corner(row, column)
            content = io.BytesIO()
            picture.crop((left, top, left + _SIDE, top + _SIDE)).save(content, "JPEG", quality=80)
            tiles[plane][kind] = content.getvalue()
    return tiles


def _corner(row: int, column: int) -> tuple[int, int]:
    step = _SIDE + _GAP
    return column * step, row * (step + _CAPTION) + _CAPTION


def _tiles(pair: Any, plane: str) -> list[npt.NDArray[np.uint8]]:
    """The rows of one plane, (_SIDE, _SIDE) grey."""
    from medpipe.io.sampling import field_between_grids, on_grid, warp_through  # numba takes a second to load

    grid, shape = _plane_grid(pair, plane)
    fixed = on_grid(pair.fixed.array, pair.fixed.affine, grid, shape, fill=float(pair.fixed.array.min()))
    to_field, back = np.linalg.inv(pair.fixed_grid) @ grid, np.linalg.inv(pair.moving.affine) @ pair.moving_grid
    moved = []
    for field in (np.zeros_like(pair.field), pair.field):
        places, _ = field_between_grids(np.ascontiguousarray(field, np.float32), to_field, back, shape)
        moved.append(warp_through(pair.moving.array, places, fill=float(pair.moving.array.min())))
    one = _grey(fixed.reshape(_SIDE, _SIDE), pair.windows.get("fixed"))
    before, after = (_grey(part.reshape(_SIDE, _SIDE), pair.windows.get("moving")) for part in moved)
    lines = np.arange(_SIDE) * _TILES // _SIDE
    mixed = np.where((lines[:, None] + lines) % 2 == 0, one, after)
    return [one, before, after, mixed]


def _plane_grid(pair: Any, plane: str) -> tuple[npt.NDArray[np.float64], tuple[int, ...]]:
    """From (row, column) of a tile, through a third axis of one voxel, to the fixed image's world.

    The network's grid runs towards right, anterior, superior; tiles run against that.
    """
    across, along, up = _PLANES[plane]
    sizes = np.array(pair.field.shape[1:]) - 1.0
    columns = pair.fixed_grid[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    extent = max(sizes[along] * lengths[along], sizes[up] * lengths[up])
    step = extent / (_SIDE - 1)
    grid = np.eye(4)
    grid[:3, 0] = -columns[:, up] / lengths[up] * step
    grid[:3, 1] = -columns[:, along] / lengths[along] * step
    grid[:3, 2] = columns[:, across]
    centre = pair.fixed_grid[:3, :3] @ (sizes / 2) + pair.fixed_grid[:3, 3]
    grid[:3, 3] = centre - (grid[:3, 0] + grid[:3, 1]) * (_SIDE - 1) / 2
    return grid, (_SIDE, _SIDE, 1)


def _grey(values: Array, window: tuple[float, float] | None) -> npt.NDArray[np.uint8]:
    low, high = window or np.percentile(values, (1, 99))
    scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return np.asarray((scaled.clip(0, 1) * 255).astype(np.uint8))
