"""attention.npz: the attention maps of one case, as a network made them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medpipe.io.atomic import write_bytes

__all__ = ["write_attention"]


def write_attention(path: Path, maps: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write an archive of arrays, atomically; ``numpy.load`` reads it.

    Args:
        path: The file.
        maps: "key" and "query" to (groups, rows, columns) over the network's input; each sums to 1.
    """
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **{name: np.asarray(values) for name, values in maps.items()})
    write_bytes(path, content.getvalue())
