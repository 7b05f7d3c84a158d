"""Public pickles of plain data, read without running what they say.

Opening a pickle runs it. The unpickler here knows texts, numbers and plain containers, and, where it is asked for them,
arrays of numbers, whatever numpy release wrote them; at the first other name the file is refused, and not even numpy's
functions are run on what it says. There is no way around it: what is refused has to be made again from the originals.
"""

from __future__ import annotations

import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.errors import InputDataError

__all__ = ["read_plain_pickle"]

_NUMBERS = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248])")
_NAMES = {"bool": "b1", "uint8": "u1", "int64": "i8", "float16": "f2", "float32": "f4", "float64": "f8"}


def read_plain_pickle(path: str | Path, dtypes: tuple[str, ...] | None = None) -> Any:
    """The content of one pickle: texts, bytes, numbers, true, false, None, and lists, tuples, sets and dictionaries of them.

    Args:
        path: The file.
        dtypes: Which arrays of numbers it may hold besides, such as ("float16",); () for none, None for all.

    Returns:
        The content; an array is one of numpy in the byte order of this machine.

    Raises:
        InputDataError: It names anything else, is damaged, or holds itself; the message says which name was refused.
    """
    path = Path(path)
    try:
        _check_memo(path)
        with path.open("rb") as stream:
            return _finished(_PlainUnpickler(stream, dtypes).load())
    except InputDataError as fault:
        raise InputDataError(f"{path}: {fault}") from fault
    except Exception as fault:  # damaged pickles raise many kinds
        raise InputDataError(
            f"{path}: not readable as a pickle ({type(fault).__name__}: {str(fault)[:120]})"
        ) from fault


def _check_memo(path: Path) -> None:
    """Refuse places in the memo beyond the file's length, for which the unpickler would reserve gigabytes."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        for operation, argument, _ in pickletools.genops(stream):
            if "PUT" in operation.name and int(argument or 0) > size:
                raise InputDataError(f"refused: it asks for {argument:,} places of memory, but has {size:,} bytes")


class _PlainUnpickler(pickle.Unpickler):
    """Puts stand-ins of our own for the few names in a pickled array of numbers."""

    def __init__(self, stream: Any, dtypes: tuple[str, ...] | None) -> None:
        super().__init__(stream, encoding="latin1")
        self._dtypes = dtypes

    def find_class(self, module: str, name: str) -> _StandIn:
        """The stand-in for one name.

        Raises:
            InputDataError: The name has none.
        """
        if self._dtypes == () or (module, name) not in _KNOWN:
            part = "of plain data" if self._dtypes == () else "of an array of numbers"
            raise InputDataError(f"refused: it names '{module}.{name}', which is no part {part}")
        return _StandIn(name, self._dtypes)


_KNOWN = {
    ("__builtin__", "bytes"),  # of an empty array
    ("_codecs", "encode"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
}


class _StandIn:
    """One name of a pickle; calling it gives bytes, a dtype or an array that is still to be filled."""

    __slots__ = ("_dtypes", "_name")

    def __init__(self, name: str, dtypes: tuple[str, ...] | None) -> None:
        self._name, self._dtypes = name, dtypes

    def __call__(self, *arguments: Any) -> Any:
        if self._name == "encode" and arguments[1:] == ("latin1",):
            return str(arguments[0]).encode("latin1")
        if self._name == "bytes" and not arguments:
            return b""
        if self._name == "dtype":
            return _Dtype(self._dtypes, *arguments)
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
    """A kind of number; others could hold objects."""

    __slots__ = ("kind", "order")

    def __init__(self, allowed: tuple[str, ...] | None, name: Any = None, *_: Any) -> None:
        text = _NAMES.get(name, name) if isinstance(name, str) else ""
        if not _NUMBERS.fullmatch(text) or (allowed is not None and np.dtype(text).name not in allowed):
            expected = "numbers" if allowed is None else " or ".join(allowed)
            raise InputDataError(f"holds arrays of dtype {str(name)[:40]!r}; expected {expected}")
        self.kind, self.order = text[-2:], ">" if text[0] == ">" else "<"

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", ">", "|"):
            raise InputDataError(f"holds arrays of byte order {str(state[1])[:40]!r}; expected < or >")
        self.order = ">" if state[1] == ">" else "<"


class _Array:
    """An array that takes its values from plain bytes."""

    __slots__ = ("values",)
    values: NDArray[Any]

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        content = raw.encode("latin1") if isinstance(raw, str) else raw
        if type(dtype) is not _Dtype or type(content) is not bytes or not all(type(size) is int for size in shape):
            raise InputDataError("holds an array whose content is no plain bytes")
        values = np.frombuffer(content, dtype.order + dtype.kind)
        self.values = values.astype(dtype.kind).reshape(shape, order="F" if fortran else "C")


def _finished(content: Any) -> Any:
    """The content with arrays of numpy in the place of stand-ins; what several places share stays shared."""
    done: dict[int, Any] = {}
    pending: set[int] = set()

    def finish(part: Any) -> Any:
        make = _MAKERS.get(type(part))
        if make is None:
            return _leaf(part)
        if id(part) in done:
            return done[id(part)]
        if id(part) in pending:
            raise InputDataError("refused: it holds itself")
        pending.add(id(part))
        done[id(part)] = make(part, finish)
        return done[id(part)]

    return finish(content)


def _leaf(part: Any) -> Any:
    if isinstance(part, _Array):
        return part.values
    if part is None or isinstance(part, str | bytes | bytearray | int | float | complex):
        return part
    raise InputDataError(f"holds a {type(part).__name__.strip('_')} that belongs to no array")


_MAKERS: dict[type, Callable[[Any, Callable[[Any], Any]], Any]] = {
    list: lambda part, finish: [finish(value) for value in part],
    tuple: lambda part, finish: tuple(finish(value) for value in part),
    set: lambda part, finish: {finish(value) for value in part},
    frozenset: lambda part, finish: frozenset(finish(value) for value in part),
    dict: lambda part, finish: {finish(key): finish(value) for key, value in part.items()},
}
