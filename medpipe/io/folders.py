"""Output folders."""

from __future__ import annotations

from pathlib import Path

from medpipe.errors import RequestError

__all__ = ["empty_folder"]


def empty_folder(path: str | Path) -> Path:
    """Make a folder, or take an empty one.

    Raises:
        RequestError: Something is in the way (a file, a folder that holds anything), or it cannot be made.
    """
    folder = Path(path).expanduser()
    if folder.exists() and not folder.is_dir():
        raise RequestError(f"'{folder}' is a file; name a new or an empty folder")
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise RequestError(f"folder '{folder}' is not empty; name a new one (nothing is ever overwritten)")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"folder '{folder}' cannot be made ({error.strerror or error}); name another") from error
    return folder
