"""The process that decodes: one case after the other, within its memory, killed from outside when it takes too long.

Decoders of medical images crash and hang on damaged files. Here that costs one case and one process, which is replaced.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import multiprocessing.forkserver
import os
import pickle
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from medpipe.batch.messages import receive, send
from medpipe.bundles import hush

__all__ = ["Worker", "prepare_workers"]

_PRELOAD = ["torch", "monai.transforms", "monai.data", "scipy.ndimage", "pydicom", "PIL.Image"]
"""What takes seconds to import, once, in the process from which all workers are forked. Absent ones do not matter."""

_PR_SET_PDEATHSIG = 1

Load = Callable[[dict[str, Any]], dict[str, Any]]


def _context() -> ForkServerContext:
    # Not fork: locks that another thread of this process holds (OpenMP, CUDA, logging) would never open in the child.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    return context


def prepare_workers() -> None:
    """Begin to load, beside this process, what workers need; called early, they start in no time later."""
    _context()
    multiprocessing.forkserver.ensure_running()


@contextlib.contextmanager
def _main_hidden() -> Iterator[None]:
    """Keep multiprocessing from running the user's program in a new process, which would start all over there."""
    main = vars(sys.modules["__main__"])
    hidden: dict[str, Any] = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main.pop("__file__", None)
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(hidden)


class Worker:
    """One decoding process, and this end of the connection to it.

    Args:
        load: What it does with a case; must be picklable.
        memory_limit: GiB that it may take on top of what it has when it starts.
    """

    def __init__(self, load: Load, memory_limit: float) -> None:
        context = _context()
        self.connection, other = context.Pipe()
        self._process: BaseProcess = context.Process(  # type: ignore[attr-defined]
            target=_serve, args=(other, load, memory_limit), daemon=True
        )
        # What the program itself defines can only be had by running it anew.
        with contextlib.nullcontext() if b"__main__" in pickle.dumps(load) else _main_hidden():
            self._process.start()
        other.close()  # so that the end of the process is the end of the connection

    def stop(self) -> str:
        """End the process, and say how it had ended before, "" where it was alive."""
        code = self._process.exitcode
        self._process.kill()
        self._process.join()
        self.connection.close()
        return "" if code is None else _how(code)

    def how_it_died(self) -> str:
        """In words, once its connection is at its end."""
        self._process.join(5)
        return self.stop() or "closed its connection"


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    with contextlib.suppress(ValueError):
        return f"died of {signal.Signals(-code).name}"
    return f"died of signal {-code}"


def _serve(connection: Connection, load: Load, memory_limit: float) -> None:
    _confine(memory_limit)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)  # the machine's cores are shared out among processes, not inside them
    hush()
    with contextlib.suppress(EOFError, OSError):  # the run is over, or gone
        send(connection, "ready")
        while True:
            case = receive(connection)
            try:
                send(connection, load(case))
            except MemoryError:
                reason = "needs more memory than one case may take (memory_limit)"
                send(connection, {**case, "status": "failed", "reason": reason, "seconds": {}})


def _confine(memory_limit: float) -> None:
    """Bound the memory, end with the parent, and be the first to go where memory runs out all the same."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the run's own decides
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + int(memory_limit * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("900")
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
