"""Output folders."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from medpipe.errors import RequestError

__all__ = ["empty_folder", "free_folder", "sweep_partial_files"]


def free_folder(path: str | Path, *, but: Collection[str] = ()) -> Path:
    """The path of a folder that can be made or is empty; nothing is made yet, so that long work may come first.

    Args:
        path: The folder.
        but: Names that it may hold all the same; what ``atomic_writer`` leaves when it is killed counts for nothing.

    Raises:
        RequestError: Something is in the way: a file, or a folder that holds anything.
    """
    folder = Path(path).expanduser()
    if folder.exists() and not folder.is_dir():
        raise RequestError(f"'{folder}' is a file; name a new or an empty folder")
    try:
        if folder.is_dir() and any(item.name not in but and not _is_partial(item.name) for item in folder.iterdir()):
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


def sweep_partial_files(folder: Path) -> None:
    """Remove what ``atomic_writer`` leaves when it is killed."""
    for path in folder.iterdir():
        if _is_partial(path.name):
            path.unlink(missing_ok=True)


def _is_partial(name: str) -> bool:
    return name.startswith(".") and name.endswith(".part")
