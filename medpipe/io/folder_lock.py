"""One run at a time in an output folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from medpipe.errors import RequestError

__all__ = ["locked"]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder that exists for this process alone; a process that dies lets go of it.

    Files that a killed run left half written are removed first.

    Raises:
        RequestError: Another process has it, or it cannot be written.
    """
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise RequestError("the output folder is in use by another run; wait for it or name another folder") from error
    except OSError as error:
        raise RequestError(f"the output folder cannot be written ({error.strerror or error})") from error
    held = (folder / ".lock").stat()
    try:
        for half in folder.rglob(".*.part"):
            half.unlink(missing_ok=True)
        yield
    finally:
        # While it is ours: released, it may be another run's already, as where the folder was renamed and made anew.
        if (folder / ".lock").is_file() and os.path.samestat(held, (folder / ".lock").stat()):
            (folder / ".lock").unlink(missing_ok=True)
        lock.release()
