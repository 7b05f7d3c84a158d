"""Output folders."""

from __future__ import annotations

from pathlib import Path

from medpipe.errors import RequestError

__all__ = ["empty_folder", "free_folder"]


def free_folder(path: str | Path) -> Path:
    """The path of a folder that can be made or is empty; nothing is made yet, so that long work may come first.

    Raises:
        RequestError: Something is in the way: a file, or a folder that holds anything.
    """
    folder = Path(path).expanduser()
    if folder.exists() and not folder.is_dir():
        raise RequestError(f"'{folder}' is a file; name a new or an empty folder")
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise RequestError(f"folder '{folder}' is not empty; name a new one (nothing is ever overwritten)")
    except OSError as error:
        raise RequestError(f"folder '{folder}' cannot be read ({error.strerror or error}); name another") from error
    return folder


def empty_folder(path: str | Path) -> Path:
    """Make a folder, or take an empty one.

    Raises:
        RequestError: Something is in the way (a file, a folder that holds anything), or it cannot be made.
    """
    folder = free_folder(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"folder '{folder}' cannot be made ({error.strerror or error}); name another") from error
    return folder
