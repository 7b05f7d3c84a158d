"""Pictures of an image with maps laid over it."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medpipe.io.atomic import write_bytes

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["draw_maps", "map_panel"]

_OPACITY = 0.55
"""Of the strongest place of a map; the image shows through in proportion to what the map leaves."""

_CAPTION = 16
"""Height of a caption in pixels."""


def draw_maps(
    path: Path, marked: Image.Image, pixels: npt.NDArray[np.uint8], maps: Mapping[str, npt.NDArray[np.float32]]
) -> None:
    """Write a JPEG of ``map_panel``, atomically; a PNG of as many colours takes eight times the space."""
    encoded = io.BytesIO()
    map_panel(marked, pixels, maps).save(encoded, "JPEG", quality=90)
    write_bytes(path, encoded.getvalue())


def map_panel(
    marked: Image.Image, pixels: npt.NDArray[np.uint8], maps: Mapping[str, npt.NDArray[np.float32]]
) -> Image.Image:
    """The image with its marks, and beside it the image once more under each map, with the map's title as its caption.

    Maps are shown from 0 to 1 from black over red and yellow to white, which grows lighter all the way and so stays apart
    for colour-blind eyes; where a map is 0, the image alone is seen.

    Args:
        marked: The image with its marks.
        pixels: (rows, columns), the image without; 255 is white.
        maps: Title to (rows, columns) of the image; values outside [0, 1] are shown as the nearer end.

    Returns:
        RGB, the tiles in rows of equal length.
    """
    from PIL import Image, ImageDraw

    grey = np.repeat(pixels[..., None], 3, axis=2)
    tiles = [
        ("", np.asarray(marked.convert("RGB"))),
        *((title, _laid_over(grey, values)) for title, values in maps.items()),
    ]
    columns = math.ceil(math.sqrt(len(tiles)))
    height, width = grey.shape[0] + _CAPTION, grey.shape[1]
    panel = Image.new("RGB", (columns * width, math.ceil(len(tiles) / columns) * height))
    pen = ImageDraw.Draw(panel)
    for number, (title, tile) in enumerate(tiles):
        left, top = number % columns * width, number // columns * height
        panel.paste(Image.fromarray(tile), (left, top + _CAPTION))
        pen.text((left + 4, top + 2), title, fill=(255, 255, 255))
    return panel


def _laid_over(grey: npt.NDArray[np.uint8], values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    shown = np.clip(values, 0, 1)
    colours = np.clip(3 * shown[..., None] - np.arange(3), 0, 1) * 255  # red, then green, then blue
    share = (_OPACITY * np.sqrt(shown))[..., None]
    return np.rint(grey * (1 - share) + colours * share).astype(np.uint8)
