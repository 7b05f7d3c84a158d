"""The run-length code of the SIIM-ACR masks: relative, counted from 0, down the columns.

The text is pairs of numbers "offset length offset length ...". The first offset counts the pixels before the
first run, each later one the pixels between the end of one run and the start of the next. Pixels run down the
first column, then down the second. ``-1`` is the empty mask. (The run-length code of other Kaggle
competitions has absolute positions counted from 1.) Found by decoding the published masks of the SIIM-ACR
Pneumothorax Segmentation challenge, 2019.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medpipe.errors import InputDataError

__all__ = ["EMPTY", "decode_relative_rle", "encode_relative_rle"]

EMPTY = "-1"
"""How the tables write a mask without any pixel."""


def decode_relative_rle(text: str, rows: int, columns: int) -> NDArray[np.bool_]:
    """Decode one run-length code.

    Args:
        text: the code; blanks around it do not matter.
        rows: height of the mask in pixels.
        columns: width of the mask in pixels.

    Returns:
        the mask, (rows, columns).

    Raises:
        InputDataError: the code is empty, holds something else than whole numbers, an odd count of them, a
            negative one, or runs past the end of the image.
    """
    if rows < 1 or columns < 1:
        raise ValueError(f"a mask of {rows} rows and {columns} columns; expected at least 1 of each")
    if text.strip() == EMPTY:
        return np.zeros((rows, columns), bool)
    numbers = _numbers(text)
    covered, size = sum(numbers), rows * columns
    if covered > size:
        raise InputDataError(f"run-length code runs to pixel {covered:,}; the image has {size:,}")
    runs = np.array([*numbers, size - covered], np.int64)
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(pixels.reshape(columns, rows).T)


def encode_relative_rle(mask: NDArray[np.bool_]) -> str:
    """Encode a mask of shape (rows, columns); the exact inverse of :func:`decode_relative_rle`.

    Raises:
        ValueError: the mask is not two-dimensional.
    """
    if mask.ndim != 2:
        raise ValueError(f"a mask of shape {mask.shape}; expected (rows, columns)")
    pixels = np.concatenate([[False], mask.astype(bool).T.ravel(), [False]])
    edges = np.flatnonzero(pixels[1:] != pixels[:-1])  # start, end, start, end, ...
    if len(edges) == 0:
        return EMPTY
    return " ".join(map(str, np.diff(edges, prepend=0).tolist()))


def _numbers(text: str) -> list[int]:
    tokens = text.split()
    if not tokens:
        raise InputDataError("run-length code is empty; an empty mask is written as -1")
    strange = next((token for token in tokens if not token.removeprefix("-").isdecimal()), None)
    if strange is not None:
        raise InputDataError(f"run-length code holds {strange!r}; expected whole numbers with blanks between")
    numbers = [int(token) for token in tokens]
    if min(numbers) < 0:
        raise InputDataError(f"run-length code holds {min(numbers)}; expected numbers from 0, or -1 alone")
    if len(numbers) % 2:
        raise InputDataError(f"run-length code holds {len(numbers)} numbers; expected pairs of offset and length")
    return numbers
