"""The journal of a run: one SQLite row per case, written when the case is over.

A case is done when its row says so. cases.csv and marks.csv are views of the journal.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medpipe.errors import RequestError

__all__ = ["CaseResult", "Journal"]

_TABLE = """
CREATE TABLE IF NOT EXISTS cases (
    name TEXT PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('done', 'skipped', 'failed')),
    reason TEXT NOT NULL,
    facts TEXT NOT NULL,
    score REAL,
    marks TEXT NOT NULL,
    seconds REAL NOT NULL
)
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
        seconds: Time spent on the case.
    """

    case: str
    status: str
    reason: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    score: float | None = None
    marks: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


class Journal:
    """Reads and writes ``journal.sqlite``; each ``record`` is on disk when it returns.

    Threads may hand it on, but must not use it at the same time.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._db = sqlite3.connect(path, timeout=30, check_same_thread=False)
            self._db.execute(_TABLE)
            self._db.commit()
        except sqlite3.Error as error:
            raise RequestError(
                f"journal '{path}' cannot be used ({error}); if it is damaged, choose another output folder"
            ) from error

    def record(self, result: CaseResult) -> None:
        """Write one result; a second one for the same case replaces the first."""
        row = (
            result.case,
            result.status,
            result.reason,
            json.dumps(result.facts, sort_keys=True),
            result.score,
            json.dumps(result.marks),
            result.seconds,
        )
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO cases VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def names(self) -> set[str]:
        """Names of all cases that have a row."""
        return {name for (name,) in self._db.execute("SELECT name FROM cases")}

    def results(self) -> Iterator[CaseResult]:
        """All results, in the order of their names."""
        query = "SELECT name, status, reason, facts, score, marks, seconds FROM cases ORDER BY name"
        for name, status, reason, facts, score, marks, seconds in self._db.execute(query):
            yield CaseResult(name, status, reason, json.loads(facts), score, json.loads(marks), seconds)

    def close(self) -> None:
        """Release the file."""
        self._db.close()
