"""Ways in which loading a case goes wrong, for the decoding processes of the tests."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.engines.case_dataset import LoadCase


def act(case: dict[str, Any]) -> dict[str, Any]:
    """Do what the case's "image" says."""
    kind, _, detail = case["image"].partition(":")
    if kind == "kill":
        os.kill(os.getpid(), int(detail))
    elif kind == "segfault":
        ctypes.string_at(0)
    elif kind == "exit":
        os._exit(int(detail))
    elif kind == "hang":
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        while True:
            time.sleep(1)
    elif kind == "memory":
        return {**case, "image": np.ones(int(float(detail) * 2**30), np.uint8)}
    elif kind == "once":
        if not Path(detail).exists():
            Path(detail).touch()
            os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "io-once":
        if not Path(detail).exists():
            Path(detail).touch()
            raise OSError(5, "Input/output error")
    elif kind == "raise":
        raise ValueError(detail)
    elif kind == "pid":
        return {**case, "pid": os.getpid()}
    return {**case, "array": np.full((3, 4), len(case["case"]), np.float32)}


load = LoadCase(act)


def see(case: dict[str, Any]) -> dict[str, Any]:
    """A transform that leaves a trace."""
    return {**case, "seen": 1}
