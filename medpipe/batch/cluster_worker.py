"""A worker of a cluster: the bundle's evaluator in a thread, cases in at one end and results out at the other."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import filelock

from medpipe.bundles import Bundle, build_workflow
from medpipe.errors import MedpipeError
from medpipe.predictions.journal import CaseResult

__all__ = ["ClusterWorker", "Inbox", "Outbox", "sweep_remains"]

_PREFIX = "medpipe-worker-"

Answer = tuple[CaseResult, dict[str, bytes]]


class Inbox:
    """The cases of an evaluator that waits for more: what "todo" is on a worker."""

    def __init__(self) -> None:
        self._cases: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def put(self, case: dict[str, Any]) -> None:
        """Add a case."""
        self._cases.put(case)

    def __iter__(self) -> Iterator[dict[str, Any] | None]:
        while True:
            try:
                yield self._cases.get(timeout=0.02)
            except queue.Empty:
                yield None


class Outbox:
    """What a run folder is to a recorder, without the folder: results with the content of their files.

    Attributes:
        identity: Of the run, as in run.json.
        started: When it was begun.

    A case's files lie in this machine's folder of temporary files until they are handed in. What a worker that was killed
    left there is removed by the next one.
    """

    def __init__(self) -> None:
        self.identity: dict[str, Any] = {}
        self.started = datetime.now(timezone.utc)
        sweep_remains()
        self._folder, self._lock = _own_folder()
        self._expected: dict[str, Future[Answer]] = {}
        self._fault: BaseException | None = None

    @staticmethod
    def hide(text: str) -> str:
        """The text as it is: the run folder that it comes to hides what it knows of patients."""
        return text

    def expect(self, case: str) -> Future[Answer]:
        """The result of a case that is going to be handed in."""
        future: Future[Answer] = Future()
        self._expected[case] = future
        if self._fault is not None:
            future.set_exception(self._fault)
        return future

    def case_folder(self, case: str) -> Path:
        """A folder for the case's files."""
        folder = self._folder / case
        folder.mkdir(exist_ok=True)
        return folder

    def record(self, result: CaseResult) -> None:
        """Hand in a result with the files of its folder."""
        folder = self._folder / result.case
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder.is_dir() else {}
        shutil.rmtree(folder, ignore_errors=True)
        self._expected.pop(result.case).set_result((result, files if result.status == "done" else {}))

    def close(self) -> None:
        """Remove what is in the folder; nothing can be handed in any more."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.release()

    def fail(self, error: BaseException) -> None:
        """No result comes any more."""
        self._fault = error
        for future in self._expected.values():
            if not future.done():
                future.set_exception(error)


def _own_folder() -> tuple[Path, filelock.BaseFileLock]:
    """A new folder, and the lock in it that tells a living worker's from remains."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = filelock.FileLock(folder / ".lock")
        with contextlib.suppress(OSError):  # another worker took it for remains before it was locked
            lock.acquire(timeout=1)
            if (folder / ".lock").exists():
                return folder, lock
            lock.release()


def sweep_remains() -> None:
    """Remove the files that killed workers of this user left on this machine."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # a living worker holds it, or another removes it as well
            if folder.stat().st_uid != os.getuid() or not (folder / ".lock").exists():
                continue
            with filelock.FileLock(folder / ".lock").acquire(timeout=0):
                shutil.rmtree(folder, ignore_errors=True)


class ClusterWorker:
    """The actor: several of its methods run at a time, each for one case.

    Args:
        request: See ``ClusterRun``.
    """

    def __init__(self, request: str) -> None:
        self._problem = ""
        self._outbox: Any = None
        try:
            self._start(json.loads(request))
        except MedpipeError as error:
            self._problem = str(error)
        except (ValueError, TypeError, RuntimeError, OSError) as error:
            while error.__cause__ is not None:
                error = error.__cause__  # type: ignore[assignment]
            self._problem = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"

    def _start(self, request: dict[str, Any]) -> None:
        home = "medpipe.batch.cluster_worker"
        ends = {"todo": {"_target_": f"{home}.Inbox"}, "run_folder": {"_target_": f"{home}.Outbox"}}
        workflow = build_workflow(Bundle(Path(request["bundle"])), request["mode"], {**request["overrides"], **ends})
        self._inbox, self._outbox = (workflow.parser.get_parsed_content(name) for name in ends)
        if run := request.get("run"):
            self._outbox.identity, self._outbox.started = run["identity"], datetime.fromisoformat(run["started"])
        self._evaluator = workflow.parser.get_parsed_content("evaluator")
        threading.Thread(target=self._run, name="evaluator", daemon=True).start()

    def _run(self) -> None:
        try:
            self._evaluator.run()
        except BaseException as error:  # the callers of ``infer`` wait for it
            self._outbox.fail(error)

    def ready(self) -> str:
        """What keeps it from working; empty where nothing does."""
        return self._problem

    def infer(self, case: dict[str, Any]) -> Answer:
        """Do one case, beside others; returns its result and its files by name.

        Raises:
            Exception: The evaluator has stopped; this worker is of no more use.
        """
        future = self._outbox.expect(case["case"])
        self._inbox.put(case)
        return future.result()

    def close(self) -> None:
        """Leave no file behind; for a worker that is killed next."""
        if self._outbox is not None:
            self._outbox.close()
