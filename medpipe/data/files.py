"""Files that appear under their name only when they are whole."""

from __future__ import annotations

import os
from pathlib import Path

from medpipe.errors import RequestError

__all__ = ["empty_folder", "write_text"]


def write_text(path: Path, text: str) -> None:
    """Write a text file: beside its place first, flushed to disk, then renamed into it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def empty_folder(path: Path) -> Path:
    """Make the folder ``path`` if it is not there yet.

    Raises:
        RequestError: something is in the way: a file of that name, or a folder that holds anything.
    """
    if path.exists() and not path.is_dir():
        raise RequestError(f"{path} is a file; give a new or an empty folder")
    if path.is_dir() and any(path.iterdir()):
        raise RequestError(
            f"{path} is not empty; give a new or an empty folder (nothing is ever overwritten)"
        )
    path.mkdir(parents=True, exist_ok=True)
    return path
