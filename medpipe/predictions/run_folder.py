"""The folder that holds a run: OUT of ``medpipe infer`` and ``medpipe evaluate``.

run.json          what was run: bundle, weights hash, inputs, options, versions, times
journal.sqlite    one row per case
cases.csv         one row per case
marks.csv         one row per mark
scores.csv        where images have several classes, one row per done case
cases/<case>/     pictures

A run that is killed at any instant and started again ends with the same files as one that was not, but for the journal
and the times in run.json: files appear when whole and before the row that names them, and ``start`` removes what no row
names.

None of the files says where an image lies, and words that name a patient are hidden in all of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import filelock

import medpipe
from medpipe.errors import RequestError
from medpipe.io.atomic import write_bytes, write_text
from medpipe.io.privacy import PatientWords
from medpipe.predictions.fingerprints import sha256_of_file
from medpipe.predictions.journal import CaseResult, FoundCase, Journal
from medpipe.predictions.persistence import persistently
from medpipe.predictions.question_attention import NAME as ATTENTION
from medpipe.predictions.question_attention import write_question_attention
from medpipe.predictions.tables import write_cases, write_marks, write_scores

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

_NOT_REACHED = "not reached in this run; run the same command again to go on"


class RunFolder:
    """One run's folder: new, or the same run taken up again.

    Nothing is written before ``start``. Two runs are the same when bundle, weights, input paths and options are; files
    may come and go between them.

    Args:
        path: The folder. It may exist if it is empty or holds this very run.
        bundle: Name and version of what is run.
        weights: The weight file, whose hash identifies the run.
        inputs: The input paths as given.
        options: Settings that change results (plain values and dataclasses).
        privacy: Words to hide in all that is written.

    Attributes:
        inputs: The input paths, absolute.
        stopped: Set when the run ends before its time; it is then not finished, though no case may be pending.

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
        options: dict[str, Any] | None = None,
        privacy: PatientWords | None = None,
    ) -> None:
        self.path = Path(path).expanduser()
        given = [inputs] if isinstance(inputs, str | Path) else list(inputs)
        self.inputs = [os.path.abspath(item) for item in given]
        self.hide = PatientWords() if privacy is None else privacy
        self.identity: dict[str, Any] = {
            "bundle": bundle,
            "medpipe": medpipe.__version__,
            "weights_sha256": sha256_of_file(Path(weights)) if weights else "",
            "inputs_sha256": hashlib.sha256("\0".join(self.inputs).encode("utf-8", "surrogateescape")).hexdigest(),
            "options": json.loads(json.dumps(options or {}, default=_plain)),
            "identified": self.hide.identified,
        }
        self.stopped = False
        self._journal: Journal | None = None
        # The lock file stays: a second process could hold one that is removed, a third would make its own.
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

    @property
    def started(self) -> datetime:
        """When the run was begun; resuming does not change it."""
        return datetime.fromisoformat(read_run(self.path)["started"])

    def _check(self) -> None:
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise RequestError(f"output '{self.path}' is a file; name a folder")
        present = {item.name for item in self.path.iterdir()}
        if not (self.path / "run.json").is_file():
            left = {name for name in present if not _is_partial(name)}
            if left <= {".lock", "cases"} and not any((self.path / "cases").glob("*")):
                return  # empty, or of a run that was stopped before it began
            raise RequestError(f"output folder '{self.path}' is not empty and holds no run; name a new folder")
        before = read_run(self.path)["identity"]
        changed = [key for key, value in self.identity.items() if before.get(key) != value]
        if changed:
            raise RequestError(
                f"output folder '{self.path}' holds another run (other {', '.join(map(_option, changed))}); name a new folder, or "
                "undo the change to resume"
            )

    def start(self) -> None:
        """Create the folder and its journal, or open them again; only one process at a time may.

        What a killed run left half done is removed: files without a row, rows whose files are gone.

        Raises:
            RequestError: The folder cannot be written, or another process is using it.
        """
        try:
            (self.path / "cases").mkdir(parents=True, exist_ok=True)
            self._take_lock()
            self._open()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError | sqlite3.Error):
                why = getattr(error, "strerror", None) or error
                raise RequestError(
                    f"output folder '{self.path}' cannot be written ({why}); name another folder"
                ) from error
            raise

    def _open(self) -> None:
        self._sweep_partial_files()
        if not (self.path / "run.json").exists():
            self._write_run({"started": _now(), "finished": None})
        self._journal = Journal(self.path / "journal.sqlite")
        self._mend()

    def _take_lock(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise RequestError(
                f"output folder '{self.path}' is in use by another run; wait for it or name another folder"
            ) from error

    def _sweep_partial_files(self) -> None:
        for folder in (self.path, self.path / "report"):
            for path in folder.glob(".*.part"):
                path.unlink(missing_ok=True)

    def _mend(self) -> None:
        done = dict(self.journal.outputs())
        broken = {name for name, files in done.items() if not all(self._is_whole(*item) for item in files.items())}
        self.journal.register(found for found in self.journal.found() if found.case.get("case") in broken)
        keep = {Path(file).parts[1] for name, files in done.items() if name not in broken for file in files}
        for folder in (self.path / "cases").iterdir():
            if folder.name not in keep and folder.is_dir():
                shutil.rmtree(folder)

    def _is_whole(self, file: str, facts: dict[str, Any]) -> bool:
        with contextlib.suppress(OSError):
            return (self.path / file).stat().st_size == facts["bytes"]
        return False

    def record(self, result: CaseResult) -> None:
        """Put one result into the journal, with the hashes of the files in its folder.

        A case that is not done keeps no files.

        Raises:
            OSError: The files cannot be read.
            sqlite3.Error: The journal cannot be written.
        """
        folder = self.path / "cases" / result.case
        if result.status != "done" and folder.is_dir():
            shutil.rmtree(folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
        outputs = {path.relative_to(self.path).as_posix(): _facts_of(path) for path in files}
        facts = {name: value for name, value in result.facts.items() if name != "image"}
        for name in ("file", "question"):
            if name in facts:
                facts[name] = self.hide(str(facts[name]))
        self.journal.record(replace(result, reason=self.hide(result.reason), facts=facts, outputs=outputs))

    def record_with_files(self, result: CaseResult, files: dict[str, bytes]) -> None:
        """As ``record``, for a case whose files were made on another machine: their content, by name in its folder."""
        for name, content in files.items():
            path = self.case_folder(result.case) / name
            if path.parent != self.path / "cases" / result.case:
                raise ValueError(f"file '{name}' does not lie in the folder of case '{result.case}'")
            if name == ATTENTION:  # the machine that wrote it did not know what names a patient
                write_question_attention(path, json.loads(content), self.hide)
            else:
                write_bytes(path, content)
        self.record(result)

    def forget(self, cases: Sequence[FoundCase]) -> None:
        """Make cases pending, as found now; results and files of an earlier time go.

        Raises:
            InterruptedRunError: The journal cannot be written.
        """
        persistently(lambda: self.journal.register(cases))
        persistently(self._hide_anew)
        for found in cases:
            folder = self.path / "cases" / found.case["case"]
            if folder.is_dir():
                shutil.rmtree(folder)

    def _hide_anew(self) -> None:
        """Hide what was learnt since in what was written before."""
        self.journal.hide(self.hide)
        run = read_run(self.path)
        if any(run[key] != value for key, value in self._origin().items()):
            self._write_run(run)

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
        """Write the tables, note the end in run.json, release the folder, and count the cases by status.

        A case that is still pending stands in cases.csv as skipped, and the run as not finished.

        Raises:
            InterruptedRunError: The tables cannot be written.
        """
        persistently(self._hide_anew)
        results = list(self.journal.results())
        found = {item.case["case"]: item for item in self.journal.found() if item.case}
        pending = [item for item in found.values() if item.status == "pending"]
        results += [CaseResult(item.case["case"], "skipped", _NOT_REACHED, item.case) for item in pending]
        results.sort(key=lambda result: result.case)
        counts = {status: sum(r.status == status for r in results) for status in ("done", "skipped", "failed")}
        listed = json.dumps([found[name].case for name in sorted(found)], sort_keys=True)
        end = {
            "identity": {**self.identity, "files_sha256": hashlib.sha256(listed.encode()).hexdigest()},
            "finished": None if pending or self.stopped else _now(),
            "cases": {**counts, **({"not reached": len(pending)} if pending else {})},
        }
        persistently(lambda: self._write_end(results, end))
        self.close()
        return counts

    def _write_end(self, results: list[CaseResult], end: dict[str, Any]) -> None:
        write_cases(self.path / "cases.csv", results)
        write_marks(self.path / "marks.csv", results)
        write_scores(self.path / "scores.csv", results)
        self._write_run({**read_run(self.path), **end})

    def close(self) -> None:
        """Release the folder; what is recorded stays."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        self._lock.release()

    def _origin(self) -> dict[str, list[str]]:
        """Where the run came from, as it may be shown."""
        program = Path(sys.argv[0]).name
        command = ["medpipe" if program == "__main__.py" else program, *map(_without_query, sys.argv[1:])]
        return {"inputs": list(map(self.hide, self.inputs)), "command": list(map(self.hide, command))}

    def _write_run(self, more: dict[str, Any]) -> None:
        run = {
            "format": "medpipe-run/1",
            "identity": self.identity,
            "versions": package_versions(),
            "machine": {"system": platform.system(), "processor": platform.machine(), "cpus": os.cpu_count()},
            "notice": "For research use. Not a medical device.",
        }
        write_text(self.path / "run.json", json.dumps({**run, **more, **self._origin()}, indent=2) + "\n")


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


def _facts_of(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)}


def _option(key: str) -> str:
    return {"inputs_sha256": "inputs"}.get(key, key)


def _is_partial(name: str) -> bool:
    return name.startswith(".") and name.endswith(".part")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"an option must be a plain value, got {type(value).__name__}")


def _without_query(argument: str) -> str:
    """An argument as it may be kept: what a server was asked for can name a patient."""
    return re.sub(r"^(dicom\w*://[^?]*)\?.*", r"\1?...", argument, flags=re.DOTALL)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
