"""The journal of a run: one SQLite row per case, from the moment it is found.

A row is "pending" until the case is over, and a case is done only when its row says so. cases.csv and marks.csv are
views of the journal. Every commit is whole or absent after a kill at any instant; after a loss of power the last rows
may be pending again, and their cases are then done again.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medpipe.errors import RequestError
from medpipe.predictions.fingerprints import without_place

__all__ = ["CaseResult", "FoundCase", "Journal"]

_VERSION = 3

_TABLE = """
CREATE TABLE IF NOT EXISTS cases (
    name TEXT PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('pending', 'done', 'skipped', 'failed')),
    reason TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0,
    facts TEXT NOT NULL DEFAULT '{}',
    score REAL,
    marks TEXT NOT NULL DEFAULT '[]',
    seconds TEXT NOT NULL DEFAULT '{}',
    input_sha256 TEXT NOT NULL DEFAULT '',
    outputs TEXT NOT NULL DEFAULT '{}',
    found TEXT NOT NULL DEFAULT '{}',
    stamp TEXT NOT NULL DEFAULT ''
)
"""

_RESULT = "name, status, reason, facts, score, marks, seconds, attempts, input_sha256, outputs"

_RECORD = f"""
INSERT INTO cases ({_RESULT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET
    status = excluded.status, reason = excluded.reason, facts = excluded.facts, score = excluded.score,
    marks = excluded.marks, seconds = excluded.seconds, attempts = attempts + excluded.attempts,
    input_sha256 = excluded.input_sha256, outputs = excluded.outputs
"""  # noqa: S608 - our own column names

_REGISTER = """
INSERT INTO cases (name, status, found, stamp) VALUES (?, 'pending', ?, ?)
ON CONFLICT (name) DO UPDATE SET
    status = 'pending', reason = '', facts = '{}', score = NULL, marks = '[]', seconds = '{}', input_sha256 = '',
    outputs = '{}', found = excluded.found, stamp = excluded.stamp
"""


@dataclass(frozen=True)
class CaseResult:
    """What became of one case.

    Attributes:
        case: Its name, unique in the run.
        status: "done", "skipped" or "failed".
        reason: Why it was skipped or failed; a remark where it was done.
        facts: Descriptive values for cases.csv (file, patient number, sex, age, view, rows, ...).
        score: The image's score, None where there is none.
        marks: One dictionary per mark with the columns of marks.csv except "case".
        seconds: Time spent on the case, by stage ("read", "network", "write").
        attempts: How often it was tried this time; the journal adds them up.
        input_sha256: Hash of the bytes that were read; empty where none were.
        outputs: For each file of the case's folder its "bytes" and "sha256", by its path in the run folder.
    """

    case: str
    status: str
    reason: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    score: float | None = None
    marks: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    attempts: int = 1
    input_sha256: str = ""
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class FoundCase:
    """A case as the journal knows it.

    Attributes:
        case: The dictionary that the search gave; from a journal without its "image", with its "key".
        stamp: Sizes and times of its files when they were found, see ``predictions.fingerprints``.
        status: Of its row.
        input_sha256: Of the bytes that were read, empty before.
    """

    case: dict[str, Any]
    stamp: str
    status: str = "pending"
    input_sha256: str = ""


class Journal:
    """Reads and writes ``journal.sqlite``.

    The file is held alone (another process that opens it is refused), so that it needs no shared memory and works on
    network file systems. Threads may share it.

    Raises:
        RequestError: The file is damaged, in use, or of another version of medpipe.
    """

    def __init__(self, path: Path) -> None:
        self._alone = threading.RLock()
        try:
            self._db = sqlite3.connect(path, timeout=1, check_same_thread=False)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA secure_delete = ON")  # what was hidden later must not linger in free pages
            self._create(path)
        except sqlite3.Error as error:
            raise RequestError(
                f"journal '{path}' cannot be used ({error}); if it is damaged, choose another output folder"
            ) from error

    def _create(self, path: Path) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and version != _VERSION:
            raise RequestError(f"journal '{path}' is of another version of medpipe; choose another output folder")
        with self._db:
            self._db.execute("BEGIN")
            self._db.execute(_TABLE)
            self._db.execute(f"PRAGMA user_version = {_VERSION}")

    def register(self, cases: Iterable[FoundCase]) -> None:
        """Write pending rows; a case that has a row loses its result."""
        rows = [(item.case["case"], json.dumps(without_place(item.case), sort_keys=True), item.stamp) for item in cases]
        self._write(_REGISTER, rows)

    def restamp(self, stamps: dict[str, str]) -> None:
        """Note new stamps of files whose content is the same."""
        self._write("UPDATE cases SET stamp = ? WHERE name = ?", [(s, n) for n, s in stamps.items()])

    def record(self, *results: CaseResult) -> None:
        """Write results in one commit; a second one for the same case replaces the first."""
        self._write(_RECORD, [_row(result) for result in results])

    def hide(self, hidden: Callable[[str], str]) -> None:
        """Write reasons and paths anew as ``hidden`` gives them."""
        rows = []
        for name, *before in self._read("SELECT name, reason, facts, found FROM cases"):
            facts, found = ({**row, **_hidden(row, hidden)} for row in map(json.loads, before[1:]))
            after = [hidden(before[0]), json.dumps(facts, sort_keys=True), json.dumps(found, sort_keys=True)]
            if after != before:
                rows.append((*after, name))
        self._write("UPDATE cases SET reason = ?, facts = ?, found = ? WHERE name = ?", rows)

    def _write(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        with self._alone, self._db:
            self._db.executemany(statement, rows)

    def _read(self, query: str) -> list[tuple[Any, ...]]:
        with self._alone:
            return self._db.execute(query).fetchall()

    def names(self) -> set[str]:
        """Names of all cases that have a result."""
        return {name for (name,) in self._read("SELECT name FROM cases WHERE status != 'pending'")}

    def found(self) -> Iterator[FoundCase]:
        """All cases as they were found, in the order of finding."""
        for found, *others in self._read("SELECT found, stamp, status, input_sha256 FROM cases ORDER BY rowid"):
            yield FoundCase(json.loads(found), *others)

    def results(self) -> Iterator[CaseResult]:
        """All results, in the order of their names."""
        query = f"SELECT {_RESULT} FROM cases WHERE status != 'pending' ORDER BY name"  # noqa: S608
        for name, status, reason, facts, score, marks, seconds, attempts, digest, outputs in self._read(query):
            yield CaseResult(
                *(name, status, reason, json.loads(facts), score, json.loads(marks), json.loads(seconds)),
                *(attempts, digest, json.loads(outputs)),
            )

    def outputs(self) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
        """Names of the done cases with their files."""
        for name, outputs in self._read("SELECT name, outputs FROM cases WHERE status = 'done'"):
            yield name, json.loads(outputs)

    def close(self) -> None:
        """Release the file."""
        with contextlib.suppress(sqlite3.Error):  # a full disk: what is committed stays
            self._db.close()


def _hidden(row: dict[str, Any], hidden: Callable[[str], str]) -> dict[str, str]:
    return {key: hidden(row[key]) for key in ("file", "reason") if isinstance(row.get(key), str)}


def _row(result: CaseResult) -> tuple[Any, ...]:
    return (
        result.case,
        result.status,
        result.reason,
        json.dumps(result.facts, sort_keys=True),
        result.score,
        json.dumps(result.marks),
        json.dumps(result.seconds),
        result.attempts,
        result.input_sha256,
        json.dumps(result.outputs, sort_keys=True),
    )
