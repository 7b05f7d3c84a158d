"""A worker of a cluster: the bundle's evaluator in a thread, cases in at one end and results out at the other."""

from __future__ import annotations

import json
import queue
import shutil
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from medpipe.bundles import Bundle, build_workflow
from medpipe.errors import MedpipeError
from medpipe.predictions.journal import CaseResult

__all__ = ["ClusterWorker", "Inbox", "Outbox"]

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
    """

    def __init__(self) -> None:
        self.identity: dict[str, Any] = {}
        self.started = datetime.now(timezone.utc)
        self._folder = Path(tempfile.mkdtemp(prefix="medpipe-"))
        self._expected: dict[str, Future[Answer]] = {}
        self._fault: BaseException | None = None

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

    def fail(self, error: BaseException) -> None:
        """No result comes any more."""
        self._fault = error
        for future in self._expected.values():
            if not future.done():
                future.set_exception(error)


class ClusterWorker:
    """The actor: several of its methods run at a time, each for one case.

    Args:
        request: See ``ClusterRun``.
    """

    def __init__(self, request: str) -> None:
        self._problem = ""
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
