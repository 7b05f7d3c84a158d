"""Files that appear under their final name only when whole: written beside, fsynced, renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_UMASK = os.umask(0o077)  # it can only be read by setting it: once, before there are threads
os.umask(_UMASK)

__all__ = ["atomic_writer", "write_bytes", "write_text"]


@contextmanager
def atomic_writer(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Open a binary file that takes the name ``path`` when the block ends without an error.

    Until then the bytes are in a hidden temporary file of the same folder, which an error removes. ``mode`` says who may
    read it then, less what the process's umask forbids.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, mode & ~_UMASK)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write ``content`` to ``path`` atomically; ``mode`` says who may read it."""
    with atomic_writer(path, mode) as stream:
        stream.write(content)


def write_text(path: Path, content: str) -> None:
    """Write ``content`` to ``path`` atomically, as UTF-8 with line feeds."""
    write_bytes(path, content.encode("utf-8"))
