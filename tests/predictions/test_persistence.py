from __future__ import annotations

import errno
import os
import sqlite3

import pytest

from medpipe.errors import InterruptedRunError
from medpipe.predictions import persistence
from medpipe.predictions.persistence import is_fault_of_disk, persistently


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch) -> None:
    monkeypatch.setattr(persistence, "_PAUSES", (0, 0))


def writer(*errors: Exception):
    left = list(errors)

    def write() -> None:
        calls.append(1)
        if left:
            raise left.pop(0)

    calls: list[int] = []
    return write, calls


def io_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    "fault", [io_error(errno.EIO), io_error(errno.ESTALE), sqlite3.OperationalError("disk I/O error")]
)
def test_a_fault_that_passes_is_passed_over(fault) -> None:
    write, calls = writer(fault, fault)
    persistently(write)
    assert len(calls) == 3


def test_a_fault_that_stays_interrupts_the_run() -> None:
    write, calls = writer(*[io_error(errno.EIO)] * 9)
    with pytest.raises(InterruptedRunError, match="Input/output error.*run the same command again"):
        persistently(write)
    assert len(calls) == 3


@pytest.mark.parametrize("fault", [io_error(errno.ENOSPC), sqlite3.OperationalError("database or disk is full")])
def test_a_full_disk_is_not_tried_again(fault) -> None:
    write, calls = writer(fault)
    with pytest.raises(InterruptedRunError):
        persistently(write)
    assert len(calls) == 1


def test_other_errors_are_no_fault_of_the_disk() -> None:
    write, _ = writer(ValueError("x"))
    with pytest.raises(ValueError, match="x"):
        persistently(write)
    wrapped = RuntimeError("wrapped")
    wrapped.__cause__ = io_error(errno.ENOSPC)
    assert is_fault_of_disk(wrapped)
    assert not is_fault_of_disk(io_error(errno.ENOENT))
    assert not is_fault_of_disk(ValueError("x"))
    assert not is_fault_of_disk(None)
