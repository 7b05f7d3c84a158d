"""Pictures of an image with its marks."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medpipe.io.atomic import write_bytes

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["draw_marks", "marked_picture"]

_COLOUR = (255, 176, 0)
"""Orange of a palette that the common kinds of colour blindness tell from grey."""

_GREYS = 255
"""Palette entries that are greys; the last of the 256 is the colour of the marks."""


def draw_marks(
    path: Path, pixels: npt.NDArray[np.uint8], marks: Sequence[dict[str, Any]], *, scale: float, most: int = 5
) -> None:
    """Write a PNG of ``marked_picture``, atomically."""
    encoded = io.BytesIO()
    marked_picture(pixels, marks, scale=scale, most=most).save(encoded, "PNG", compress_level=1)
    write_bytes(path, encoded.getvalue())


def marked_picture(
    pixels: npt.NDArray[np.uint8], marks: Sequence[dict[str, Any]], *, scale: float, most: int = 5
) -> Image.Image:
    """An image with a ring and the score at each of its strongest marks, with a palette of greys and one colour.

    Marks of several labels also say which.

    Args:
        pixels: (rows, columns), 255 is white.
        marks: By falling score, with "x", "y" (pixels of the file) and "score".
        scale: Pixels of the picture per pixel of the file.
        most: Number of marks that are drawn.
    """
    from PIL import Image, ImageDraw

    # One byte per pixel, greys and the colour of the marks: a third of the time and space of three bytes.
    picture = Image.fromarray(np.minimum(pixels, _GREYS - 1))
    picture.putpalette([value for grey in range(_GREYS) for value in (grey,) * 3] + list(_COLOUR))
    pen = ImageDraw.Draw(picture)
    radius = max(picture.size) / 28
    several = len({mark.get("label") for mark in marks}) > 1
    for mark in reversed(marks[:most]):
        x, y = ((mark[axis] + 0.5) * scale - 0.5 for axis in ("x", "y"))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_GREYS, width=2)
        text = f"{mark['label']} {mark['score']:.2f}" if several else f"{mark['score']:.2f}"
        left = min(max(x - radius, 0), picture.width - pen.textlength(text) - 1)
        pen.text((left, min(y + radius, picture.height - 12)), text, fill=_GREYS)
    return picture
