"""A folder that is watched: its files become cases when they are complete."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from medpipe.batch.register import register
from medpipe.errors import RequestError
from medpipe.io.sources import Source
from medpipe.predictions.fingerprints import stamp_of
from medpipe.predictions.run_folder import RunFolder

__all__ = ["FolderWatch"]

_UNFINISHED = re.compile(r"(^\.)|(~$)|\.(part|partial|tmp|temp|crdownload|filepart|download)$", re.IGNORECASE)
"""Names that copying programs, browsers and DICOM receivers give to files that they are still writing."""

_LOOK = 0.5
"""Least seconds between two looks at the folder."""

_SHARE = 10
"""Looks and searches are followed by pauses of so many times their duration: they take a tenth of a core at most."""


class FolderWatch:
    """Gives the cases of a run as their files arrive: iterate over it once.

    A file is complete when neither it nor anything else in its folder has changed for ``settle`` seconds, so that a
    series is not cut in two by a pause between its slices; when its name is none that stands for a file in the making;
    and when no process on this machine has it open for writing. When the watch has been idle for long enough, all that
    is there is taken as it is, so that every file ends with a row.

    The first SIGINT or SIGTERM ends the watch: cases that were given are finished, and the run can be resumed. The
    second has its usual effect.

    Args:
        find: Searches the inputs, and takes the same order each time.
        run_folder: Started; cases are entered into its journal.
        settle: Seconds.
        idle: Seconds without a new case after which the watch ends; None watches until it is stopped.
        limit: Most pending cases that are given.
        retry_failed: Do the cases again that failed in an earlier run.
    """

    def __init__(
        self,
        find: Callable[[], list[dict[str, Any]]],
        run_folder: RunFolder,
        *,
        settle: float = 5,
        idle: float | None = None,
        limit: int | None = None,
        retry_failed: bool = False,
    ) -> None:
        if settle < 0 or (idle is not None and idle <= 0):
            raise ValueError(f"watch_settle >= 0 and watch_idle > 0 expected, got {settle} and {idle}")
        self._find, self._run_folder = find, run_folder
        self._settle, self._idle, self._limit, self._retry_failed = settle, idle, limit, retry_failed
        self._seen: dict[str, tuple[str, float]] = {}
        self._given: set[tuple[str, str]] = set()
        self._stopped = threading.Event()

    def __iter__(self) -> Iterator[dict[str, Any] | None]:
        """Cases, and None where there is none at present."""
        if threading.current_thread() is threading.main_thread():
            self._stop_by_signal()
        return self._cases()

    def stop(self) -> None:
        """Give no further cases, and leave the run unfinished."""
        self._run_folder.stopped = True
        self._stopped.set()

    def _stop_by_signal(self) -> None:
        usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def handle(number: int, frame: Any) -> None:
            for each, handler in usual.items():
                signal.signal(each, handler)
            self.stop()

        for number in usual:
            signal.signal(number, handle)

    def _cases(self) -> Iterator[dict[str, Any] | None]:
        count, last = 0, time.monotonic()
        for case in self._arrivals():
            if case is None and self._idle is not None and time.monotonic() - last > self._idle:
                break
            if case is not None:
                count, last = count + (case["status"] == "pending"), time.monotonic()
            if self._stopped.is_set() or (self._limit is not None and count > self._limit):
                return
            yield case
        yield from self._new(None)

    def _arrivals(self) -> Iterator[dict[str, Any] | None]:
        done: set[str] = set()
        look_after = search_after = 0.0
        while True:
            start = time.monotonic()
            if start >= look_after:
                complete = self._complete()
                look_after = max(start + _LOOK, time.monotonic() + _SHARE * (time.monotonic() - start))
                if start >= search_after and complete != done:
                    yield from self._new(complete)
                    done, search_after = complete, time.monotonic() + _SHARE * (time.monotonic() - start)
            yield None

    def _new(self, complete: set[str] | None) -> list[dict[str, Any]]:
        try:
            found = self._find()
        except RequestError:  # an input folder that is empty, or was removed: it may come
            return []
        cases = [case for case in found if complete is None or _file_of(case) in complete]
        retry, self._retry_failed = self._retry_failed, False
        to_do = register(self._run_folder, cases, retry_failed=retry, gone=complete is None)
        stamped = [(case["case"], stamp_of(case.get("image"))) for case in to_do]
        new = [case for case, stamp in zip(to_do, stamped, strict=True) if stamp not in self._given]
        self._given.update(stamped)
        return new

    def _complete(self) -> set[str]:
        """Paths of the files that can be read now; remembers when each was last seen to change."""
        now, seen, unsettled = time.monotonic(), {}, set()
        for path, stamp in _files(self._run_folder):
            before = self._seen.get(path)
            seen[path] = before if before is not None and before[0] == stamp else (stamp, now)
            if now - seen[path][1] < self._settle:
                unsettled.add(os.path.dirname(path))
        self._seen = seen
        settled = [path for path in seen if os.path.dirname(path) not in unsettled]
        return {
            path for path in settled if not _UNFINISHED.search(os.path.basename(path)) and not _is_being_written(path)
        }


def _file_of(case: dict[str, Any]) -> str:
    return os.path.realpath(Source.parse(case["image"]).path)


def _files(run_folder: RunFolder) -> Iterator[tuple[str, str]]:
    out = run_folder.path.resolve()
    for root in run_folder.inputs:
        for folder, folders, names in os.walk(root, followlinks=True):
            folders[:] = [name for name in folders if Path(folder, name).resolve() != out]
            for name in names:
                path = os.path.join(folder, name)
                with suppress(OSError):
                    facts = os.stat(path)
                    yield os.path.realpath(path), f"{facts.st_size}:{facts.st_mtime_ns}"


def _is_being_written(path: str) -> bool:
    """Linux grants a read lease on a file only while nobody has it open for writing; where it cannot say, False."""
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    with suppress(OSError), open(path, "rb") as stream:
        try:
            fcntl.fcntl(stream, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        fcntl.fcntl(stream, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
