"""The folder that holds a run: OUT of ``medpipe infer`` and ``medpipe evaluate``.

run.json          what was run: bundle, weights hash, inputs, options, versions, times
journal.sqlite    one row per case
cases.csv         one row per case
marks.csv         one row per mark
cases/<case>/     pictures
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import filelock

import medpipe
from medpipe.errors import RequestError
from medpipe.io.atomic import write_text
from medpipe.predictions.journal import CaseResult, Journal
from medpipe.predictions.tables import write_cases, write_marks

__all__ = ["RunFolder", "package_versions", "read_run", "sha256_of_file"]

_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "monai",
    "pytorch-ignite",
    "numpy",
    "scipy",
    "pydicom",
    "nibabel",
    "pillow",
)


class RunFolder:
    """One run's folder: new, or the same run taken up again.

    Nothing is written before ``start``. Two runs are the same when bundle, weights, inputs and options are.

    Args:
        path: The folder. It may exist if it is empty or holds this very run.
        bundle: Name and version of what is run.
        weights: The weight file, whose hash identifies the run.
        inputs: The input paths as given.
        cases: The cases found there; if files come, go or change, it is another run.
        options: Settings that change results (plain values).

    Raises:
        RequestError: The folder holds something else, or cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        bundle: str,
        weights: str | Path | None = None,
        inputs: str | Path | Sequence[str | Path] = (),
        cases: Sequence[dict[str, Any]] = (),
        options: dict[str, Any] | None = None,
    ) -> None:
        self.path = Path(path).expanduser()
        given = [inputs] if isinstance(inputs, str | Path) else list(inputs)
        self.identity = {
            "bundle": bundle,
            "medpipe": medpipe.__version__,
            "weights_sha256": sha256_of_file(Path(weights)) if weights else "",
            "inputs": [os.path.abspath(item) for item in given],
            "files_sha256": hashlib.sha256(json.dumps(list(cases), sort_keys=True).encode()).hexdigest(),
            "options": options or {},
        }
        self._journal: Journal | None = None
        self._lock = filelock.FileLock(self.path / ".lock")
        self._check()

    @property
    def journal(self) -> Journal:
        """The journal; ``start`` opens it.

        Raises:
            RuntimeError: Before ``start``.
        """
        if self._journal is None:
            raise RuntimeError("the run folder is not started")
        return self._journal

    def _check(self) -> None:
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise RequestError(f"output '{self.path}' is a file; name a folder")
        if not any(self.path.iterdir()):
            return
        present = {item.name for item in self.path.iterdir()}
        if not (self.path / "run.json").is_file():
            if present <= {".lock", "cases"}:  # a run that was stopped before it began
                return
            raise RequestError(f"output folder '{self.path}' is not empty and holds no run; name a new folder")
        before = read_run(self.path)["identity"]
        if before != json.loads(json.dumps(self.identity)):
            changed = [key for key in self.identity if before.get(key) != self.identity[key]]
            raise RequestError(
                f"output folder '{self.path}' holds another run (other {', '.join(changed)}); name a new folder, or "
                "undo the change to resume"
            )

    def start(self) -> None:
        """Create the folder and its journal, or open them again; only one process at a time may.

        Raises:
            RequestError: The folder cannot be written, or another process is using it.
        """
        try:
            (self.path / "cases").mkdir(parents=True, exist_ok=True)
            self._take_lock()
        except OSError as error:
            raise RequestError(
                f"output folder '{self.path}' cannot be written ({error.strerror or error}); name another folder"
            ) from error
        if not (self.path / "run.json").exists():
            self._write_run({"started": _now(), "finished": None})
        self._journal = Journal(self.path / "journal.sqlite")

    def _take_lock(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise RequestError(
                f"output folder '{self.path}' is in use by another run; wait for it or name another folder"
            ) from error

    def pending(self, cases: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """The cases that have no result yet."""
        done = self.journal.names()
        return [case for case in cases if case["case"] not in done]

    def record(self, result: CaseResult) -> None:
        """Put one result into the journal."""
        self.journal.record(result)

    def case_folder(self, case: str) -> Path:
        """The folder for a case's pictures, made when asked for.

        Raises:
            ValueError: The name is no single name of a folder.
        """
        if case in ("", ".", "..") or Path(case).name != case:
            raise ValueError(f"case '{case}' cannot name a folder")
        folder = self.path / "cases" / case
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def finish(self) -> dict[str, int]:
        """Write the tables, note the end in run.json, and count the cases by status."""
        results = list(self.journal.results())
        write_cases(self.path / "cases.csv", results)
        write_marks(self.path / "marks.csv", results)
        counts = {status: sum(r.status == status for r in results) for status in ("done", "skipped", "failed")}
        self._write_run({**read_run(self.path), "finished": _now(), "cases": counts})
        self.journal.close()
        self._lock.release()
        (self.path / ".lock").unlink(missing_ok=True)
        return counts

    def _write_run(self, more: dict[str, Any]) -> None:
        run = {
            "format": "medpipe-run/1",
            "identity": self.identity,
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "versions": package_versions(),
            "machine": {"system": platform.system(), "processor": platform.machine(), "cpus": os.cpu_count()},
            "notice": "For research use. Not a medical device.",
        }
        write_text(self.path / "run.json", json.dumps({**run, **more}, indent=2) + "\n")


def package_versions() -> dict[str, str]:
    """Versions of Python, medpipe and the packages whose behaviour shapes results; absent packages are left out."""
    versions = {"python": platform.python_version(), "medpipe": medpipe.__version__}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def read_run(path: Path) -> dict[str, Any]:
    """Read run.json of a run folder.

    Raises:
        RequestError: There is none, or it is not what medpipe writes.
    """
    try:
        run = json.loads((path / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(f"'{path}' is no run folder: run.json is missing or unreadable ({error})") from error
    found = run.get("format") if isinstance(run, dict) else None
    if found != "medpipe-run/1":
        raise RequestError(f"run.json in '{path}' has the format {found!r}; expected 'medpipe-run/1'")
    return run


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file as hexadecimal digits.

    Raises:
        RequestError: The file is missing or unreadable.
    """
    try:
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()
    except OSError as error:
        raise RequestError(f"file '{path}' cannot be read ({error.strerror or error})") from error


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
