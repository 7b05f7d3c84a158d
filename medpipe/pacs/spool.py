"""The folder where received instances wait, and the record of each study.

SPOOL/studies/<study>/<instance>.dcm    names are hashes of the UIDs: what a sender calls things never names a file
SPOOL/results/<study>/<route>/          output folder of each bundle
SPOOL/spool.sqlite                      one row per study: when it last grew, its state, attempts, reason

A study is "receiving" until nothing came for a while, then "ready", then "running", and in the end "done", "failed" or
"unrouted". An instance that comes later makes it "receiving" again. Every change is on disk before the sender is answered, so
that a node that was killed takes up where it was.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import filelock

from medpipe.errors import CaseFailedError, RequestError

__all__ = ["Spool", "Study", "file_key"]

_TABLE = """
CREATE TABLE IF NOT EXISTS studies (
    key TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    instances INTEGER NOT NULL,
    grew REAL NOT NULL,
    sender TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due REAL NOT NULL,
    reason TEXT NOT NULL
)
"""


def file_key(uid: str) -> str:
    """A name for a file or folder from a UID: 32 hexadecimal digits, whatever the UID holds."""
    return hashlib.sha256(uid.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True)
class Study:
    """One row of the record.

    Attributes:
        key: name of its folder.
        state: "receiving", "ready", "running", "done", "failed" or "unrouted".
        instances: number of instances on disk.
        grew: when the last one came, seconds since 1970.
        sender: application entity title that sent the last one.
        attempts: how often it was run.
        due: not to be run before this time.
        reason: why it failed or waits.
    """

    key: str
    state: str
    instances: int
    grew: float
    sender: str
    attempts: int
    due: float
    reason: str


class Spool:
    """The spool folder, for one process at a time; its methods may be called from several threads.

    Args:
        path: The folder; made where it is missing.

    Raises:
        RequestError: It cannot be written, or another node has it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser().absolute()
        self._own = filelock.FileLock(self.path / ".lock")
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)  # what comes in names patients
            self._own.acquire(timeout=0)
            for name in ("studies", "results", "incoming"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
            for left in self.incoming.iterdir():  # of a node that was killed; the sender got no answer
                left.unlink()
            self._db = sqlite3.connect(self.path / "spool.sqlite", timeout=30, check_same_thread=False)
            self._db.execute(_TABLE)
            self._db.commit()
        except filelock.Timeout as error:
            raise RequestError(
                f"spool '{self.path}' is in use by another node; stop it or name another folder"
            ) from error
        except (OSError, sqlite3.Error) as error:
            raise RequestError(f"spool '{self.path}' cannot be used ({error}); name another folder") from error
        self._lock = threading.Lock()
        with self._lock, self._db:
            self._db.execute("UPDATE studies SET state = 'ready' WHERE state = 'running'")

    def store(self, file: Path, study_uid: str, instance_uid: str, sender: str) -> bool:
        """Take a received file over; the same instance again replaces nothing.

        Args:
            file: A file in ``incoming``; it is moved.
            study_uid: StudyInstanceUID.
            instance_uid: SOPInstanceUID.
            sender: Application entity title of the sender.

        Returns:
            Whether the instance is new.

        Raises:
            CaseFailedError: Another instance of the same UID is there already.
        """
        key = file_key(study_uid)
        target = self.path / "studies" / key / f"{file_key(instance_uid)}.dcm"
        with self._lock:
            if target.exists():
                same = target.stat().st_size == file.stat().st_size and target.read_bytes() == file.read_bytes()
                file.unlink()
                if not same:
                    raise CaseFailedError("another instance with the same SOPInstanceUID was received before")
                return False
            target.parent.mkdir(exist_ok=True)
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
            os.replace(file, target)
            _sync_folder(target.parent)
            with self._db:
                self._db.execute(
                    "INSERT INTO studies VALUES (?, 'receiving', 1, ?, ?, 0, 0, '') ON CONFLICT (key) DO UPDATE SET "
                    "state = 'receiving', instances = instances + 1, grew = excluded.grew, sender = excluded.sender, "
                    "attempts = 0, due = 0, reason = ''",
                    (key, time.time(), sender),
                )
        return True

    def settle(self, quiet: float) -> None:
        """Call every study ready to which nothing came for ``quiet`` seconds."""
        with self._lock, self._db:
            self._db.execute(
                "UPDATE studies SET state = 'ready' WHERE state = 'receiving' AND grew <= ?", (time.time() - quiet,)
            )

    def take(self) -> Study | None:
        """The ready study that waits longest, now running; None where none is due."""
        with self._lock, self._db:
            query = "SELECT * FROM studies WHERE state = 'ready' AND due <= ? ORDER BY grew, key LIMIT 1"
            row = self._db.execute(query, (time.time(),)).fetchone()
            if row is None:
                return None
            self._db.execute("UPDATE studies SET state = 'running', attempts = attempts + 1 WHERE key = ?", (row[0],))
        study = Study(*row)
        return replace(study, state="running", attempts=study.attempts + 1)

    def finish(self, study: Study, state: str, reason: str = "", due: float = 0.0) -> None:
        """Note how a run ended. A study that grew meanwhile stays "receiving"."""
        with self._lock, self._db:
            self._db.execute(
                "UPDATE studies SET state = ?, reason = ?, due = ? WHERE key = ? AND state = 'running' AND instances = ?",
                (state, reason, due, study.key, study.instances),
            )

    def retry_failed(self) -> int:
        """Give every study that was given up its attempts again; returns how many."""
        with self._lock, self._db:
            change = "UPDATE studies SET state = 'ready', attempts = 0, due = 0 WHERE state = 'failed'"
            return self._db.execute(change).rowcount

    def studies(self) -> list[Study]:
        """All studies, in the order in which they last grew."""
        with self._lock:
            return [Study(*row) for row in self._db.execute("SELECT * FROM studies ORDER BY grew, key")]

    def study_folder(self, study: Study) -> Path:
        """Where its instances are."""
        return self.path / "studies" / study.key

    def results_folder(self, study: Study, route: str) -> Path:
        """Where a route's results go."""
        return self.path / "results" / study.key / route

    @property
    def incoming(self) -> Path:
        """Where files are put together before they are taken over."""
        return self.path / "incoming"

    def room(self) -> int:
        """Bytes that are free on the spool's disk."""
        return shutil.disk_usage(self.path).free

    def close(self) -> None:
        """Release the record."""
        with self._lock:
            self._db.close()
            self._own.release()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
