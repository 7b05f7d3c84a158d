"""Reading JSON files that others wrote: every value is checked, and every fault names its file and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from medpipe.errors import InputDataError

__all__ = ["entries", "finite", "name", "numbers", "part", "read_json", "shown", "whole"]

_LARGEST_FILE = 1 << 30
_LARGEST_NUMBER = 1e100  # sums and products of a few such numbers are still finite


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        InputDataError: It is missing, larger than 1 GiB, no JSON, or holds NaN or Infinity.
    """
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise InputDataError(f"'{path}' has {size} bytes; expected a JSON file of at most {_LARGEST_FILE}")
        return json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=_refuse)
    except FileNotFoundError as error:
        raise InputDataError(f"'{path}' does not exist") from error
    except InputDataError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise InputDataError(f"'{path}' cannot be read as JSON ({error})") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no finite number; leave out what has no value")


def part(value: Any, key: str, where: str) -> Any:
    """``value[key]`` of a JSON object.

    Raises:
        InputDataError: It is no object, or has no such key.
    """
    if not isinstance(value, dict):
        raise InputDataError(f"{where}: found {shown(value)}, expected an object with the key '{key}'")
    if key not in value:
        raise InputDataError(f"{where}: the key '{key}' is missing; found {_listed(value)}")
    return value[key]


def entries(value: Any, where: str, length: int | None = None) -> list[Any]:
    """A JSON list, of ``length`` entries where that is given.

    Raises:
        InputDataError: It is none.
    """
    if not isinstance(value, list):
        raise InputDataError(f"{where}: found {shown(value)}, expected a list")
    if length is not None and len(value) != length:
        raise InputDataError(f"{where}: a list of {len(value)}, expected {length}")
    return value


def finite(value: Any, where: str) -> float:
    """A finite number, of at most 1e100.

    Raises:
        InputDataError: It is none; numbers in quotes are none either.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputDataError(f"{where}: found {shown(value)}, expected a number without quotes")
    if not abs(value) <= _LARGEST_NUMBER:
        raise InputDataError(f"{where}: a number beyond all bounds, expected a finite one")
    return float(value)


def numbers(value: Any, where: str, length: int) -> list[float]:
    """A list of ``length`` finite numbers.

    Raises:
        InputDataError: It is none.
    """
    return [finite(item, f"{where}[{index}]") for index, item in enumerate(entries(value, where, length))]


def whole(value: Any, where: str, limit: int) -> int:
    """A whole number from 0 to ``limit`` - 1.

    Raises:
        InputDataError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < limit:
        raise InputDataError(f"{where}: found {shown(value)}, expected a whole number from 0 to {limit - 1}")
    return value


def name(value: Any, where: str) -> str:
    """A name: printable text that is not empty, or a whole number as text.

    Raises:
        InputDataError: It is none.
    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        return str(value)
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise InputDataError(f"{where}: found {shown(value)}, expected a name")
    return value.strip()


def shown(value: Any) -> str:
    """The value in at most 60 characters."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = ascii(value) if not isinstance(value, int) or abs(value) < 10**18 else "a huge number"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _listed(value: dict[str, Any]) -> str:
    return ", ".join(ascii(key)[:40] for key in list(value)[:10]) or "an empty object"
