"""The node: waits until a study is complete, runs the bundles that its routes name, and sends the results.

A bundle runs as ``medpipe infer`` in a process of its own, on the study's folder: what it does to its memory, or a decoder to
its process, does not touch the node. Runs resume, and sending again does no harm; so a study whose run or sending failed is tried
again after a pause that doubles, a limited number of times.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from medpipe.errors import CaseFailedError, RequestError
from medpipe.io.dicom_radiograph import patient_words_of
from medpipe.io.privacy import PatientWords, without_quotes
from medpipe.pacs.receive import Receiver
from medpipe.pacs.routes import Route
from medpipe.pacs.send import send_instances
from medpipe.pacs.spool import Spool, Study

__all__ = ["Node", "Waits", "infer_in_process"]

_log = logging.getLogger(__name__)

_TICK = 0.2
"""Seconds between two looks at the spool."""

_FINISHED = {0, 3, 4}
"""Exit codes of ``medpipe infer`` that end a study: all, some or none of its cases done."""


@dataclass(frozen=True)
class Waits:
    """Seconds and numbers that govern the node.

    Attributes:
        quiet: a study is complete when nothing came for this long.
        retry: pause before the second attempt; it doubles each time.
        attempts: how often a study is tried.
        limit: longest run of one bundle on one study.
    """

    quiet: float = 60.0
    retry: float = 30.0
    attempts: int = 8
    limit: float = 3600.0


class Node:
    """Receives, runs and sends, until it is stopped.

    Args:
        spool: Where studies wait.
        receiver: Listens; None for a node that only works off its spool.
        routes: Rules, in the order in which they are tried; every one that matches is run.
        waits: Times.
        infer: Runs a route's bundle: from the study's folder, the route, the output folder and the limit in seconds; raises
            CaseFailedError where it may be tried again.
    """

    def __init__(
        self,
        spool: Spool,
        receiver: Receiver | None,
        routes: Sequence[Route],
        waits: Waits,
        infer: Callable[[Path, Route, Path, float], None] | None = None,
    ) -> None:
        self.spool, self.receiver, self.routes, self.waits = spool, receiver, list(routes), waits
        self._infer = infer_in_process if infer is None else infer
        self._stop = threading.Event()

    def run(self, idle: float | None = None) -> None:
        """Work until ``stop``, or until nothing was left to do for ``idle`` seconds."""
        if self.receiver is not None:
            port = self.receiver.start()
            _log.info("listening as %s on %s:%s", self.receiver.ae_title, self.receiver.host, port)
        try:
            self._work(idle)
        finally:
            if self.receiver is not None:
                self.receiver.stop()

    def stop(self) -> None:
        """End ``run`` after the study in hand."""
        self._stop.set()

    def _work(self, idle: float | None) -> None:
        busy = time.monotonic()
        while not self._stop.is_set():
            self.spool.settle(self.waits.quiet)
            study = self.spool.take()
            if study is not None:
                self._do(study)
            if study is not None or any(other.state in ("receiving", "ready") for other in self.spool.studies()):
                busy = time.monotonic()
            elif idle is not None and time.monotonic() - busy >= idle:
                return
            if study is None:
                self._stop.wait(_TICK)

    def _do(self, study: Study) -> None:
        """Run and send one study, and note how it ended."""
        try:
            routes = [route for route in self.routes if route.matches(_headers(self.spool.study_folder(study), route))]
            for route in routes:
                self._run_route(study, route)
        except Exception as error:  # whatever it is, it belongs to this study, and the node goes on
            again = study.attempts < self.waits.attempts
            pause = self.waits.retry * 2 ** (study.attempts - 1)
            reason = self._without_names(study, error)
            self.spool.finish(study, "ready" if again else "failed", reason, time.time() + pause)
            _log.warning("study %s: %s%s", study.key, reason, f"; again in {pause:.0f} s" if again else "; given up")
            return
        self.spool.finish(study, "done" if routes else "unrouted", "" if routes else "no route matches")
        _log.info("study %s: %s", study.key, "done" if routes else "no route matches")

    def _without_names(self, study: Study, error: Exception) -> str:
        hide = PatientWords()
        for path in self.spool.study_folder(study).glob("*.dcm"):
            hide.add(patient_words_of(path))
        ours = isinstance(error, CaseFailedError | RequestError)
        return hide(str(error) if ours else without_quotes(f"{type(error).__name__}: {error}"))

    def _run_route(self, study: Study, route: Route) -> None:
        output = self.spool.results_folder(study, route.name)
        output.parent.mkdir(parents=True, exist_ok=True)
        self._infer(self.spool.study_folder(study), route, output, self.waits.limit)
        files = sorted(output.glob("cases/*/*.dcm"))
        for destination in route.send:
            send_instances(files, destination, self.receiver.ae_title if self.receiver else "MEDPIPE")


def infer_in_process(study: Path, route: Route, output: Path, limit: float) -> None:
    """Run ``medpipe infer`` on a study's folder in a process of its own.

    Raises:
        CaseFailedError: It took longer than ``limit`` seconds, or ended with an exit code that is no end of a batch.
    """
    command = [sys.executable, "-m", "medpipe.cli.main", "infer", route.bundle, str(study)]
    command += [f"{key}={value}" for key, value in route.options.items()]
    command += ["-o", str(output), *(["--dicom", ",".join(route.dicom)] if route.dicom else [])]
    try:
        done = subprocess.run(  # noqa: S603 - our own command, with arguments of the routing file
            command, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise CaseFailedError(f"route '{route.name}' took longer than {limit:.0f} s") from error
    if done.returncode not in _FINISHED:
        lines = done.stderr.strip().splitlines()
        raise CaseFailedError(f"route '{route.name}': exit code {done.returncode}: {lines[-1][:200] if lines else ''}")


def _headers(folder: Path, route: Route) -> list[dict[str, str]]:
    """Values of the route's keywords in every instance."""
    from pydicom import dcmread

    headers = []
    for path in sorted(folder.glob("*.dcm")):
        try:
            dataset = dcmread(path, stop_before_pixels=True, specific_tags=list(route.when), force=True)
            headers.append({keyword: str(dataset.get(keyword) or "") for keyword in route.when})
        except Exception:  # a damaged file is the bundle's to name
            _log.warning("instance %s of study %s cannot be read", path.stem, folder.name)
    return headers
