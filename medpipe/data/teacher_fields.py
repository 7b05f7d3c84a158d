"""Displacement fields of a teacher, one ``.npz`` a pair, and the conversion of those that were published as pickles.

A record ``<fixed>-<moving>.npz`` holds ``displacement``, (3, x, y, z) float16 in voxels of the grid of both volumes,
which pulls: ``warped[x] = moving[x + u(x)]``; and ``pair``, the two names as published.

The authors of the distillation offered their fields as pickles, ``{"fixed-moving": (x, y, z, 3) float16}``. Opening a
pickle runs what it says; here it is opened by an unpickler that knows nothing but arrays of float16 numbers and plain
texts, tuples and dictionaries, and refuses the file at the first other name in it.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.errors import InputDataError
from medpipe.io.atomic import atomic_writer
from medpipe.io.folders import empty_folder

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
    try:
        with Path(path).open("rb") as stream:
            content = _FieldUnpickler(stream, encoding="latin1").load()
    except InputDataError as fault:
        raise InputDataError(f"{path}: {fault}") from fault
    except Exception as fault:  # damaged pickles raise many kinds
        raise InputDataError(
            f"{path}: not readable as a pickle ({type(fault).__name__}: {str(fault)[:120]})"
        ) from fault
    if not isinstance(content, dict):
        raise InputDataError(f"{path}: holds a {type(content).__name__}; expected a dictionary of fields")
    for pair, field in content.items():
        if type(pair) is not str or type(field) is not _Array:
            raise InputDataError(f"{path}: {str(pair)[:60]!r} is no array under a text")
        if field.values.ndim != 4 or field.values.shape[-1] != 3:
            raise InputDataError(f"{path}: {pair!r} has the shape {field.values.shape}; expected (x, y, z, 3)")
    for pair, field in content.items():
        yield pair, field.values


class _FieldUnpickler(pickle.Unpickler):
    """Puts stand-ins of our own for the few names in a pickled float16 array, whatever numpy release wrote it; not even
    numpy's functions are run on what the file says."""

    def find_class(self, module: str, name: str) -> _StandIn:
        """The stand-in for one name.

        Raises:
            InputDataError: The name has none.
        """
        if (module, name) not in _KNOWN:
            raise InputDataError(f"refused: it names '{module}.{name}', which is no part of an array of numbers")
        return _StandIn(name)


_KNOWN = {
    ("_codecs", "encode"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
}


class _StandIn:
    """One name of a pickle; calling it gives bytes, a dtype or an array that is still to be filled."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *arguments: Any) -> Any:
        if self._name == "encode" and arguments[1:] == ("latin1",):
            return str(arguments[0]).encode("latin1")
        if self._name == "dtype":
            return _Dtype(*arguments)
        if self._name == "_reconstruct" and arguments[1:] == ((0,), b"b"):
            return _Array()
        if self._name == "_frombuffer" and len(arguments) == 4:
            buffer, dtype, shape, order = arguments
            array = _Array()
            array.__setstate__((1, shape, dtype, order == "F", bytes(buffer)))
            return array
        raise InputDataError(f"refused: it calls {self._name} in a way that no array of numbers does")

    def __setstate__(self, state: Any) -> None:
        raise InputDataError(f"refused: it changes {self._name}")


class _Dtype:
    """Half precision, the only one taken: others could hold objects."""

    __slots__ = ("order",)

    def __init__(self, name: Any = None, *_: Any) -> None:
        if name not in ("f2", "<f2", ">f2", "float16"):
            raise InputDataError(f"holds arrays of dtype {str(name)[:40]!r}; expected float16")
        self.order = ">" if name == ">f2" else "<"

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", ">"):
            raise InputDataError(f"holds arrays of byte order {str(state[1])[:40]!r}; expected < or >")
        self.order = state[1]


class _Array:
    """An array that takes its values from plain bytes."""

    __slots__ = ("values",)

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        content = raw.encode("latin1") if isinstance(raw, str) else raw
        if type(dtype) is not _Dtype or type(content) is not bytes or not all(type(size) is int for size in shape):
            raise InputDataError("holds an array whose content is no plain bytes")
        values = np.frombuffer(content, f"{dtype.order}f2").astype(_HALF)
        self.values = values.reshape(shape, order="F" if fortran else "C")
