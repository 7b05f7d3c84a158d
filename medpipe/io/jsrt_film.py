"""Digitized films of the JSRT database (.IMG): a square of 12-bit film densities without any header.

Such a file is known by its name, JPCLN001.IMG or JPCNN001.IMG; its side follows from its size.
"""

from __future__ import annotations

import os
from math import isqrt
from typing import BinaryIO

import numpy as np

from medpipe.errors import CaseFailedError
from medpipe.io.radiograph import Radiograph, check_pixel_count, scale_to_unit

__all__ = ["PUBLISHED_SIDE", "PUBLISHED_SPACING_MM", "decode_jsrt_film", "film_side"]

PUBLISHED_SIDE = 2048
"""Rows and columns of the published films; positions of their nodules are pixels of this grid."""

PUBLISHED_SPACING_MM = 0.175
"""Distance of neighbouring pixels of that grid."""

_LEVELS = 4096


def film_side(size: int) -> int:
    """Rows, and columns, of a film of ``size`` bytes: two for each pixel of a square.

    Raises:
        CaseFailedError: That many bytes are no square, or an absurdly large one.
    """
    side = isqrt(size // 2)
    if 2 * side * side != size:
        raise CaseFailedError(
            f"{size:,} bytes are no square of 16-bit values (a whole JSRT film has {2 * PUBLISHED_SIDE**2:,}); "
            "copy it again from its source"
        )
    check_pixel_count(side, side)
    return side


def decode_jsrt_film(stream: BinaryIO) -> Radiograph:
    """Decode one film to display values: big-endian densities v, dense film is dark, so 1 - v/4096.

    A smaller copy shows the same field, so that its pixels are larger.

    Raises:
        CaseFailedError: The size is that of no film, or the values have more than 12 bits.
    """
    side = film_side(stream.seek(0, os.SEEK_END))
    stream.seek(0)
    densities = np.frombuffer(stream.read(2 * side * side), ">u2").reshape(side, side).astype(np.float32)
    highest, lowest = float(densities.max()), float(densities.min())
    if highest >= _LEVELS:
        raise CaseFailedError(f"holds the value {highest:.0f}; expected 12-bit values, most significant byte first")
    if highest == lowest:
        raise CaseFailedError(f"every pixel has the same value ({highest:.0f}): there is nothing to read")
    spacing = PUBLISHED_SPACING_MM * PUBLISHED_SIDE / side
    return Radiograph(scale_to_unit(densities, 0, _LEVELS, invert=True), (spacing, spacing), "JSRT")
