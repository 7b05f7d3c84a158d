"""Displacement fields of a teacher, one ``.npz`` a pair, and the conversion of those that were published as pickles.

A record ``<fixed>-<moving>.npz`` holds ``displacement``, (3, x, y, z) float16 in voxels of the grid of both volumes,
which pulls: ``warped[x] = moving[x + u(x)]``; and ``pair``, the two names as published.

The authors of the distillation offered their fields as pickles, ``{"fixed-moving": (x, y, z, 3) float16}``. Opening a
pickle runs what it says; here ``plain_pickles`` reads it, which refuses the file at the first name that is no part of an
array of float16 numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.errors import InputDataError
from medpipe.io.atomic import atomic_writer
from medpipe.io.folders import empty_folder

from .plain_pickles import read_plain_pickle

__all__ = ["convert_pickled_fields", "field_path", "read_pickled_fields", "read_teacher_field", "write_teacher_field"]

Field = NDArray[np.float16]

_HALF = np.dtype(np.float16)


def field_path(folder: str | Path, fixed: str, moving: str) -> Path:
    """Where the field of a pair lies."""
    return Path(folder) / f"{fixed}-{moving}.npz"


def write_teacher_field(path: Path, field: NDArray[Any], pair: str) -> None:
    """Write one record; the file appears only when whole, and equal fields give equal bytes.

    Args:
        path: Ends in .npz.
        field: (3, x, y, z) in voxels; float16 keeps 0.004 of a voxel up to 8 voxels.
        pair: Names of the fixed and the moving scan, joined by "-".
    """
    with atomic_writer(path) as stream:
        np.savez(stream, displacement=np.asarray(field, np.float16), pair=np.array(pair))


def read_teacher_field(path: str | Path) -> Field:
    """The field of one record, (3, x, y, z).

    Raises:
        InputDataError: Missing, damaged, or something else than such a record. A pickle is refused by name.
    """
    path = Path(path)
    if path.suffix in (".pkl", ".pickle"):
        raise InputDataError(
            f"{path}: is a pickle, which could run anything when opened; convert it once with 'medpipe data import-fields'"
        )
    try:
        with np.load(path, allow_pickle=False) as record:
            field = record["displacement"]
    except Exception as fault:  # zipfile and numpy raise many kinds
        raise InputDataError(f"{path}: not readable as a field ({type(fault).__name__}: {str(fault)[:120]})") from fault
    if field.dtype != _HALF or field.ndim != 4 or field.shape[0] != 3:
        raise InputDataError(f"{path}: holds {field.dtype} {field.shape}; expected float16 (3, x, y, z)")
    return np.asarray(field)


def convert_pickled_fields(shards: list[Path], out: Path) -> int:
    """Write the fields of published pickles as records, one at a time, to a new folder.

    Shards are taken in the order of their names; of a pair in several, the last counts, as when they were merged.

    Returns:
        Number of pairs.

    Raises:
        InputDataError: A shard holds anything but fields; records of shards before it are there then.
        RequestError: ``out`` is not empty.
    """
    out, pairs = empty_folder(out), set()
    for shard in sorted(shards):
        for pair, field in read_pickled_fields(shard):
            if "/" in pair or "\\" in pair or pair.startswith("."):
                raise InputDataError(f"{shard}: the pair {pair!r} cannot name a file")
            write_teacher_field(out / f"{pair}.npz", np.moveaxis(field, -1, 0), pair)
            pairs.add(pair)
    return len(pairs)


def read_pickled_fields(path: Path) -> Iterator[tuple[str, Field]]:
    """Pairs and fields (x, y, z, 3) of one pickle, without running anything in it.

    Raises:
        InputDataError: It names anything but numpy arrays, or holds something else than such fields.
    """
    content = read_plain_pickle(path, dtypes=(_HALF.name,))
    if not isinstance(content, dict):
        raise InputDataError(f"{path}: holds a {type(content).__name__}; expected a dictionary of fields")
    for pair, field in content.items():
        if type(pair) is not str or type(field) is not np.ndarray:
            raise InputDataError(f"{path}: {str(pair)[:60]!r} is no array under a text")
        if field.ndim != 4 or field.shape[-1] != 3:
            raise InputDataError(f"{path}: {pair!r} has the shape {field.shape}; expected (x, y, z, 3)")
    for pair, field in content.items():
        yield pair, field
