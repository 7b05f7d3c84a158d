"""Writing results although a disk or a network stumbles."""

from __future__ import annotations

import errno
import sqlite3
import time
from collections.abc import Callable

from medpipe.errors import InterruptedRunError

__all__ = ["is_fault_of_disk", "persistently"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
_LASTING = _FULL | {errno.EACCES, errno.ENOENT}
_PAUSES = (0.1, 1.0)
"""Seconds before the second and the third attempt."""


def is_fault_of_disk(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that a disk is full or fails."""
    while error is not None:
        if isinstance(error, sqlite3.OperationalError) or getattr(error, "errno", None) in (_FULL | {errno.EIO}):
            return True
        error = error.__cause__
    return False


def persistently(write: Callable[[], None]) -> None:
    """Write, and try again where the fault may pass.

    What cannot be written is no fault of its case: it stops the run, and the same command goes on with it.

    Raises:
        InterruptedRunError: The disk is full, or still fails at the last attempt.
    """
    for pause in (*_PAUSES, None):
        try:
            write()
            return
        except (OSError, sqlite3.Error) as error:
            if pause is None or getattr(error, "errno", None) in _LASTING or "is full" in str(error):
                raise InterruptedRunError(
                    f"results cannot be written ({error}); when that is mended, run the same command again to go on"
                ) from error
        time.sleep(pause)
