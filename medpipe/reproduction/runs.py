"""Do the runs of a reproduction: each command in a process of its own, what is done is kept, what fails is told."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Protocol

import filelock

from medpipe.errors import InterruptedRunError
from medpipe.reproduction.commands import Data, Request, commands, stage_command
from medpipe.reproduction.folder import ReproductionFolder, configs_digest
from medpipe.reproduction.plan import Run, Stage

__all__ = ["Outcome", "Processes", "Runner", "do_runs", "runs_done"]

_INTERRUPTED = 130
_SOME_FAILED = 3
_ALLOWED = {"train": (0,), "evaluate": (0, _SOME_FAILED)}
_STOP_WITHIN = 20.0
"""Seconds that a command has to end after it was told to."""


@dataclass(frozen=True)
class Outcome:
    """How a run went.

    Attributes:
        run: Which one.
        reason: Why it failed; None where it is done.
        log: What its commands said.
        seconds: That it took this time; None where it was done before.
    """

    run: Run
    reason: str | None
    log: Path
    seconds: float | None = None


class Runner(Protocol):
    """Runs one command to its end and returns its exit code."""

    def __call__(self, words: Sequence[str], log: Path) -> int:
        """Run ``words``, with all that the command says added to the file ``log``."""

    def stop(self) -> None:
        """End all commands that run; none is begun any more."""


class Processes:
    """A runner that starts processes.

    Args:
        threads: Of numerical libraries in each process: another number gives other last digits.
    """

    def __init__(self, threads: int) -> None:
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        self._environment = {**os.environ, **dict.fromkeys(names, str(threads))}
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped, self._lock = Event(), Lock()

    def __call__(self, words: Sequence[str], log: Path) -> int:
        """Run ``words`` in a process of its own session, so that Ctrl-C is this program's to pass on."""
        with log.open("ab") as stream:
            with self._lock:
                if self._stopped.is_set():
                    return _INTERRUPTED
                process = subprocess.Popen(  # noqa: S603 - our own command
                    list(words),
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    env=self._environment,
                    start_new_session=True,
                )
                self._running.add(process)
            code = process.wait()
            with self._lock:
                self._running.discard(process)
        return code

    def stop(self) -> None:
        """Ask all processes to end, which lets them keep what they have; end those that do not."""
        self._stopped.set()
        with self._lock:
            running = list(self._running)
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(timeout=_STOP_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()


def do_runs(
    runs: Sequence[Run],
    request: Request,
    data: Data,
    folder: ReproductionFolder,
    runner: Runner,
    *,
    jobs: int = 1,
    each: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Do what of the runs is not done yet; a failed one does not stop the others.

    Args:
        runs: In the order in which they are begun.
        request: What they have in common.
        data: To train and evaluate on.
        folder: Theirs.
        runner: Runs commands.
        jobs: Runs at one time.
        each: Called after every run, in this thread; not for those that were done before.

    Returns:
        One outcome a run, in their order.

    Raises:
        RequestError: The folder holds a run of other options; nothing is begun then.
        InterruptedRunError: A run had to stop, for a full disk for instance.
        KeyboardInterrupt: As raised while runs are under way; what is done stays.
    """
    found = {_key(run): Outcome(run, None, _log(folder, run)) for run in runs_done(runs, folder)}
    todo = [run for run in runs if _key(run) not in found]
    work = _Work(request, data, folder, runner)
    with _workers(jobs, runner) as pool:
        pending: set[Future[Outcome]] = {pool.submit(work.run, run) for run in todo}
        while pending:
            ended, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in ended:
                outcome = future.result()
                found[_key(outcome.run)] = outcome
                each(outcome)
    return [found[_key(run)] for run in runs]


def runs_done(runs: Sequence[Run], folder: ReproductionFolder) -> list[Run]:
    """Those of the runs that need not be done again.

    Raises:
        RequestError: The folder holds a run of other options.
    """
    return [run for run in runs if folder.record(run) is not None]


@contextmanager
def _workers(jobs: int, runner: Runner) -> Iterator[ThreadPoolExecutor]:
    """Threads that wait for commands; where anything goes wrong the commands are stopped before it goes on."""
    pool = ThreadPoolExecutor(jobs)
    try:
        yield pool
    except BaseException:
        runner.stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Work:
    """Does runs, each after its stages; a stage is done once for all that start from it.

    Args:
        request: What all runs have in common.
        data: Theirs.
        folder: Theirs.
        runner: Runs commands.
    """

    def __init__(self, request: Request, data: Data, folder: ReproductionFolder, runner: Runner) -> None:
        self.request, self.data, self.folder, self.runner = request, data, folder, runner
        self._lock = Lock()
        self._stages: dict[tuple[str, int], tuple[Lock, list[str | None]]] = {}

    def run(self, run: Run) -> Outcome:
        """Do a run's stages, its training and its evaluation."""
        began = time.monotonic()
        stages = self.request.stages_of(run)
        for stage in stages:
            reason = self._stage(stage, run.seed)
            if reason:
                return Outcome(run, reason, _log(self.folder, _run_of(stage, self.request, self.data, run.seed)))
        starts = self.folder.starts(stages, run.seed)
        words = commands(self.request, run, self.data, self.folder.of(run), starts)
        reason = self._do(run, words)
        return Outcome(run, reason, _log(self.folder, run), time.monotonic() - began)

    def _stage(self, stage: Stage, seed: int) -> str | None:
        """Do a stage unless it is done; the reason why it failed, which is not tried again."""
        with self._lock:
            lock, said = self._stages.setdefault((stage.name, seed), (Lock(), []))
        with lock:
            if not said:
                run = _run_of(stage, self.request, self.data, seed)
                done = self.folder.record(run, f"train/{stage.file}") is not None
                words = stage_command(self.request, stage, seed, self.data, self.folder.of(run))
                reason = None if done else self._do(run, {"train": words})
                said.append(reason and f"stage {stage.name}: {reason}")
            return said[0]

    def _do(self, run: Run, words: dict[str, list[str]]) -> str | None:
        """Run commands one after the other and note that all have ended well; else the reason."""
        place, log, began = self.folder.of(run), _log(self.folder, run), time.monotonic()
        place.mkdir(parents=True, exist_ok=True)
        for mode in words:
            _wait_for(place / mode)
            with log.open("a", encoding="utf-8") as stream:
                stream.write(f"$ {' '.join(words[mode])}\n")
            code = self.runner(words[mode], log)
            if code == _INTERRUPTED:
                raise InterruptedRunError(f"{run.name}, seed {run.seed}: {_last_words(log)}")
            if code not in _ALLOWED[mode]:
                return f"{mode} ended with code {code}: {_last_words(log)}"
        seconds = round(time.monotonic() - began, 1)
        said = {mode: words[mode][1:] for mode in words}
        digest = configs_digest(self.request.plan.bundle, self.request.plan.stages.values())
        self.folder.note(run, {"seconds": seconds, "configs": digest, "commands": said})
        return None


def _run_of(stage: Stage, request: Request, data: Data, seed: int) -> Run:
    return Run(stage.name, request.stage_options(stage, data), seed)


def _wait_for(folder: Path) -> None:
    """Wait until no process of a reproduction that was killed works in the folder any more."""
    if (folder / ".lock").is_file():
        with filelock.FileLock(folder / ".lock"):
            pass


def _log(folder: ReproductionFolder, run: Run) -> Path:
    return folder.of(run) / "log.txt"


def _key(run: Run) -> tuple[str, int]:
    return run.name, run.seed


def _last_words(log: Path) -> str:
    """The line of a log that says what went wrong: the last that begins with an error, else the last."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 20_000))
        lines = [line.strip() for line in stream.read().decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("error:", "internal error:", "interrupted"))]
    return (errors or lines or ["it said nothing"])[-1][:300]
