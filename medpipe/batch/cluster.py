"""A run spread over the machines of a Ray cluster, or over processes of this one.

Each worker loads the model once and runs the bundle's own evaluator on the cases that it is handed. The run folder stays
here: results come back with the content of their files, and this process alone writes them, so that a worker that was
given up cannot disturb a run, and the folder is that of a local run. Workers must see bundle, weights and inputs under
the paths that they have here.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass, field
from typing import Any

from medpipe.errors import RequestError
from medpipe.predictions.journal import CaseResult
from medpipe.predictions.persistence import persistently
from medpipe.predictions.run_folder import RunFolder

__all__ = ["ClusterRun", "connect", "require_ray"]

_DEPTH = 8
"""Cases that a worker has at a time: decoding, decoded, in the network, being written, on their way here and there."""

_LOSSES = 5
"""Workers that may be lost under a case before it counts as the cause."""

_POLL = 0.2
"""Seconds after which a source that had nothing is asked again."""

_FAREWELL = 3
"""Seconds that workers have to remove their files before they are killed."""

_ANSWER = 2**20
"""Bytes up to which an answer comes back by itself; larger ones take the way through Ray's store, a tenth of a case."""

_END: dict[str, Any] = {}


def require_ray() -> Any:
    """Import Ray.

    Raises:
        RequestError: It is not installed; the message names the extra.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise RequestError("--executor ray needs Ray, which is not installed: pip install 'medpipe[ray]'") from error
    return ray


def connect(address: str | None = None) -> None:
    """Join a Ray cluster.

    Args:
        address: Of a running one; None takes RAY_ADDRESS, or starts one on this machine where that is not set.

    Raises:
        RequestError: There is none at the address.
    """
    # Not None: Ray would then look for the last cluster of this machine, and wait minutes where that is gone.
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    own = {"include_dashboard": False, "_system_config": {"max_direct_call_object_size": _ANSWER}}
    try:
        require_ray().init(address, log_to_driver=False, **(own if address == "local" else {}))
    except (ConnectionError, ValueError, TimeoutError) as error:
        text = str(error).strip().split("\n", 1)[0]
        raise RequestError(f"no Ray cluster at '{address}' ({text}); start one with 'ray start'") from error


@dataclass
class _Job:
    case: dict[str, Any]
    losses: int = 0


@dataclass
class _Worker:
    actor: Any
    ready: Any
    jobs: dict[Any, _Job] = field(default_factory=dict)


class ClusterRun:
    """Stands in the place of a bundle's evaluator.

    Args:
        run_folder: Started before ``run``, finished afterwards.
        cases: What to do; may give None for "nothing at present".
        request: JSON with "bundle" (its folder), "mode" and "overrides", from which a worker builds the evaluator.
        workers: Their number; None takes the cluster's GPUs, or its CPUs where it has none.
        address: Of a running cluster; None takes RAY_ADDRESS, or starts a cluster on this machine where that is not set.
    """

    def __init__(
        self,
        run_folder: RunFolder,
        cases: Iterable[dict[str, Any] | None],
        request: str,
        *,
        workers: int | None = None,
        address: str | None = None,
    ) -> None:
        self._run_folder, self._cases, self._request = run_folder, cases, request
        self._count, self._address = workers, address
        self._workers: list[_Worker] = []
        self._again: deque[_Job] = deque()

    def run(self) -> None:
        """Do all cases.

        Raises:
            RequestError: There is no cluster at the address, or the evaluator cannot be built there.
            InterruptedRunError: Results cannot be written.
        """
        from medpipe.batch.cluster_worker import sweep_remains

        ray = self._ray = require_ray()
        mine = not ray.is_initialized()
        if mine:
            connect(self._address)
        try:
            self._spread()
        finally:
            self._dismiss(self._workers)
            sweep_remains()
            if mine:
                ray.shutdown()

    def _new_worker(self) -> _Worker:
        from medpipe.batch.cluster_worker import ClusterWorker

        gpus = 1 if self._ray.cluster_resources().get("GPU") else 0
        remote = self._ray.remote(num_cpus=1, num_gpus=gpus, max_concurrency=_DEPTH + 1)(ClusterWorker)
        run = {"identity": self._run_folder.identity, "started": self._run_folder.started.isoformat()}
        actor = remote.remote(json.dumps({**json.loads(self._request), "run": run}))
        return _Worker(actor, actor.ready.remote())

    def _dismiss(self, workers: list[_Worker]) -> None:
        farewells = [worker.actor.close.remote() for worker in workers if worker.ready is None]
        if farewells:
            self._ray.wait(farewells, num_returns=len(farewells), timeout=_FAREWELL)
        for worker in workers:
            self._ray.kill(worker.actor)

    def _spread(self) -> None:
        if isinstance(self._cases, Sized) and not len(self._cases):
            return
        self._workers = [self._new_worker() for _ in range(self._size())]
        source, exhausted = iter(self._cases), False
        with _progress(self._cases) as advance:
            while not exhausted or self._again or any(worker.jobs for worker in self._workers):
                exhausted = self._hand_out(source) or exhausted
                for worker, reference in self._answers():
                    advance(self._take(worker, reference))

    def _hand_out(self, source: Iterator[dict[str, Any] | None]) -> bool:
        """Give cases to the workers that have room; says whether there are no more."""
        while (worker := self._emptiest()) is not None:
            if self._again:
                if worker.jobs:
                    return False  # what lost a worker may be the cause, and is done alone
                job = self._again.popleft()
            else:
                case = next(source, _END)
                if case is None or case is _END:
                    return case is _END
                job = _Job(case)
            worker.jobs[worker.actor.infer.remote(job.case)] = job
        return False

    def _emptiest(self) -> _Worker | None:
        free = [
            worker
            for worker in self._workers
            if worker.ready is None
            and len(worker.jobs) < _DEPTH
            and not any(job.losses for job in worker.jobs.values())
        ]
        return min(free, key=lambda worker: len(worker.jobs), default=None)

    def _size(self) -> int:
        resources = self._ray.cluster_resources()
        return self._count or int(resources.get("GPU") or resources.get("CPU") or 1)

    def _answers(self) -> list[tuple[_Worker, Any]]:
        owner = {reference: worker for worker in self._workers for reference in worker.jobs}
        owner |= {worker.ready: worker for worker in self._workers if worker.ready is not None}
        done, _ = self._ray.wait(list(owner), num_returns=1, timeout=_POLL) if owner else ([], None)
        return [(owner[reference], reference) for reference in done]

    def _take(self, worker: _Worker, reference: Any) -> int:
        """Take one answer; returns the number of cases that are over by it."""
        if reference == worker.ready:
            self._check_ready(worker)
            return 0
        try:
            result, files = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return self._give_up(worker, error)
        del worker.jobs[reference]
        persistently(lambda: self._run_folder.record_with_files(result, files))
        return 1

    def _check_ready(self, worker: _Worker) -> None:
        try:
            problem = self._ray.get(worker.ready)
        except self._ray.exceptions.RayError as error:
            self._give_up(worker, error)
            return
        worker.ready = None
        if problem:
            raise RequestError(f"a cluster's worker cannot build the bundle: {problem}")

    def _give_up(self, worker: _Worker, error: Exception) -> int:
        """Replace a worker that is lost; its cases go elsewhere."""
        self._dismiss([worker])
        over = 0
        for job in worker.jobs.values():
            job.losses += 1
            if job.losses <= _LOSSES:
                self._again.append(job)
                continue
            facts = {key: value or None for key, value in job.case.items()}
            reason = f"lost {_LOSSES + 1} workers of the cluster ({type(error).__name__})"
            result = CaseResult(job.case["case"], "failed", reason, facts, attempts=job.losses)
            persistently(lambda result=result: self._run_folder.record(result))  # type: ignore[misc]
            over += 1
        self._workers[self._workers.index(worker)] = self._new_worker()
        return over


class _progress:  # noqa: N801 - reads as a function
    """Cases done, rate and time left on a terminal."""

    def __init__(self, cases: Any) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (
            "cases",
            BarColumn(),
            MofNCompleteColumn(),
            TaskProgressColumn(show_speed=True),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("cases", total=len(cases) if isinstance(cases, Sized) else None)

    def __enter__(self) -> Any:
        self._bar.start()
        return lambda count: self._bar.advance(self._task, count)

    def __exit__(self, *error: object) -> None:
        self._bar.stop()
