"""Cases through decoding processes, beside whatever the main thread does with the decoded ones."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from medpipe.batch.messages import receive, send
from medpipe.batch.worker import Load, Worker

__all__ = ["DecodingPool"]

_POLL = 0.2
"""Seconds after which a source that had nothing is asked again."""

_STARTS = 5
"""Processes in a row that may end before they are ready."""

_IDLE = 0.05
"""The same, while there is nothing else to do."""

_FRESH = 200
"""Cases after which a worker is replaced: what its libraries leak goes with it."""


@dataclass
class _Job:
    case: dict[str, Any]
    attempts: int = 0


@dataclass
class _Seat:
    """A place for a worker, the job it has, and when that must be over."""

    worker: Worker
    job: _Job | None = None
    deadline: float = float("inf")
    ready: bool = False
    served: int = 0


class _Stopped(Exception):  # noqa: N818 - no error
    """The consumer wants no more."""


class DecodingPool:
    """Loads cases in processes and hands them out as they are finished.

    At most two cases per process are decoded or waiting, so memory is bounded. A process that dies or takes too long is
    replaced; its case, like one whose fault may pass, is tried again after the others, and fails when nothing helps.

    Args:
        load: Loads a case and never raises (``LoadCase``); picklable.
        workers: Number of processes, at least 1.
        time_limit: Seconds for one case.
        memory_limit: GiB for one process.
        retries: Further attempts at a case.
    """

    def __init__(self, load: Load, *, workers: int, time_limit: float, memory_limit: float, retries: int) -> None:
        self._load, self._workers, self._retries = load, workers, retries
        self._time_limit, self._memory_limit = time_limit, memory_limit

    def run(self, cases: Iterable[dict[str, Any] | None]) -> Iterator[dict[str, Any]]:
        """Load cases, in the order in which they are finished.

        Args:
            cases: May give None for "nothing at present, ask again".

        Raises:
            RuntimeError: Workers cannot start.
        """
        source = iter(cases)
        finished: queue.Queue[Any] = queue.Queue(self._workers)
        stop = threading.Event()
        thread = threading.Thread(target=_Supervisor(self, source, finished, stop).run, name="decoding", daemon=True)
        thread.start()
        try:
            while (item := finished.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            thread.join()

    def worker(self) -> Worker:
        """A new process."""
        return Worker(self._load, self._memory_limit)

    def limits(self) -> tuple[int, float, int]:
        """Number of processes, seconds per case, further attempts."""
        return self._workers, self._time_limit, self._retries


class _Supervisor:
    """What the pool's thread does: gives out cases, takes results, replaces processes."""

    def __init__(
        self,
        pool: DecodingPool,
        source: Iterator[dict[str, Any] | None],
        finished: queue.Queue[Any],
        stop: threading.Event,
    ) -> None:
        self._pool, self._source, self._finished, self._stop = pool, source, finished, stop
        self._count, self._time_limit, self._retries = pool.limits()
        self._again: deque[_Job] = deque()
        self._seats: list[_Seat] = []
        self._exhausted = False
        self._failed_starts = 0

    def run(self) -> None:
        try:
            with contextlib.suppress(_Stopped):
                while self._give_out():
                    self._take()
                self._put(None)
        except BaseException as error:  # goes to the consumer's thread
            with contextlib.suppress(_Stopped):
                self._put(error)
        finally:
            for seat in self._seats:
                seat.worker.stop()

    def _put(self, item: Any) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._finished.put(item, timeout=0.1)
                return
        raise _Stopped

    def _give_out(self) -> bool:
        """Give every free worker a case; says whether anything is left to wait for."""
        while len(self._busy()) < self._count and (job := self._next()) is not None:
            self._seat_for(job)
        return bool(self._busy()) or not self._exhausted

    def _busy(self) -> list[_Seat]:
        return [seat for seat in self._seats if seat.job is not None]

    def _next(self) -> _Job | None:
        while not self._exhausted:
            try:
                case = next(self._source)
            except StopIteration:
                self._exhausted = True
                break
            if case is None:
                break
            if case["status"] == "pending":
                return _Job(case)
            self._put({**case, "seconds": {}, "attempts": 1})  # known to be no image: no process is needed
        return self._again.popleft() if self._again else None

    def _seat_for(self, job: _Job) -> None:
        free = next((seat for seat in self._seats if seat.job is None), None)
        if free is None:
            free = _Seat(self._pool.worker())
            self._seats.append(free)
        free.job = job
        job.attempts += 1
        if free.ready:
            self._hand_over(free)

    def _hand_over(self, seat: _Seat) -> None:
        seat.deadline = time.monotonic() + self._time_limit
        with contextlib.suppress(OSError):  # it died meanwhile: its connection says so next
            send(seat.worker.connection, seat.job.case)  # type: ignore[union-attr]

    def _take(self) -> None:
        """Wait for results, deaths and deadlines, and for new cases where there may be some."""
        if self._stop.is_set():
            raise _Stopped
        busy = self._busy()
        pause = min([_POLL, *(seat.deadline - time.monotonic() for seat in busy)])
        ready = wait([seat.worker.connection for seat in busy], max(pause, 0)) if busy else self._stop.wait(_IDLE) or []
        for seat in busy:
            if seat.worker.connection in ready:  # type: ignore[operator]
                self._hear(seat)
            elif time.monotonic() > seat.deadline and not seat.worker.connection.poll():
                self._seats.remove(seat)
                seat.worker.stop()
                self._over(seat.job, f"took longer than the {self._time_limit:g} s that one case may take (time_limit)")

    def _hear(self, seat: _Seat) -> None:
        try:
            message = receive(seat.worker.connection)
        except (EOFError, OSError):
            self._seats.remove(seat)
            how = seat.worker.how_it_died()
            if seat.ready:
                self._over(seat.job, f"the process that decoded it {how}")
            else:
                self._stillborn(seat, how)
            return
        if not seat.ready:
            seat.ready, self._failed_starts = True, 0
            self._hand_over(seat)
            return
        job, seat.job, seat.deadline = seat.job, None, float("inf")
        seat.served += 1
        if seat.served >= _FRESH or "memory_limit" in message["reason"]:
            self._seats.remove(seat)
            seat.worker.stop()
        if message.pop("transient", False):
            self._over(job, message["reason"])
        else:
            self._put({**message, "attempts": job.attempts})  # type: ignore[union-attr]

    def _stillborn(self, seat: _Seat, how: str) -> None:
        self._failed_starts += 1
        if self._failed_starts > _STARTS:
            raise RuntimeError(
                f"decoding processes end before they are ready (the last {how}); a program that loads cases by functions "
                "of its own must start its work under 'if __name__ == \"__main__\":'; else try num_workers=0"
            )
        seat.job.attempts -= 1  # type: ignore[union-attr]
        self._again.append(seat.job)  # type: ignore[arg-type]

    def _over(self, job: _Job | None, reason: str) -> None:
        """An attempt was in vain."""
        assert job is not None
        if job.attempts <= self._retries:
            self._again.append(job)
        else:
            failure = {"status": "failed", "reason": reason, "seconds": {}, "attempts": job.attempts}
            self._put({**job.case, **failure})
