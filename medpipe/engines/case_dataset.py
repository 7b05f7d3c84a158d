"""A data set that never raises: a case that cannot be loaded comes out with its reason instead of its image."""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch.utils.data import Dataset

from medpipe.errors import CaseError
from medpipe.predictions.fingerprints import digest_of

__all__ = ["CaseDataset", "LoadCase", "collate_cases", "failure_of"]

_TRANSIENT = {
    getattr(errno, name)
    for name in (
        *("EIO", "EAGAIN", "EBUSY", "EINTR", "ESTALE", "ETIMEDOUT", "ENOLCK", "ENOBUFS", "ENFILE", "EMFILE"),
        *("ECONNRESET", "ECONNABORTED", "ECONNREFUSED", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH"),
        *("ENOTCONN", "EREMOTEIO"),
    )
    if hasattr(errno, name)
}
"""Faults of disks and networks that may be gone at the next attempt."""


class LoadCase:
    """Transform one case; whatever goes wrong becomes its "status" and "reason", and the other keys stay.

    Adds "seconds" ({"read": time}), "input_sha256" of the bytes behind "image", and "transient": whether the failure may
    be gone at another attempt.

    Args:
        transform: MONAI dictionary transform.
    """

    def __init__(self, transform: Callable[[dict[str, Any]], Any]) -> None:
        self.transform = transform

    def __call__(self, case: dict[str, Any]) -> dict[str, Any]:
        """Load a case whose status is "pending"; others are only timed."""
        start = time.perf_counter()
        loaded = {**case, "transient": False}
        if case["status"] == "pending":
            loaded["input_sha256"] = digest_of(case.get("image"))
            try:
                loaded |= self.transform(dict(case))
            except Exception as error:  # whatever a damaged file provokes belongs to its case alone
                loaded["status"], loaded["reason"] = failure_of(error)
                loaded["transient"] = any(isinstance(e, OSError) and e.errno in _TRANSIENT for e in _chain(error))
        loaded["seconds"] = {"read": time.perf_counter() - start}
        return loaded


class CaseDataset(Dataset[dict[str, Any]]):
    """Cases as dictionaries, transformed where they are pending; see ``LoadCase``.

    Args:
        data: Cases with at least "case", "status" and the keys that the transform reads.
        transform: MONAI dictionary transform.
    """

    def __init__(self, data: Sequence[dict[str, Any]], transform: Callable[[dict[str, Any]], Any]) -> None:
        self.data, self.load = data, LoadCase(transform)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.load(self.data[index])


def collate_cases(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep a batch as a list: cases without an image have nothing to stack."""
    return cases


def failure_of(error: BaseException) -> tuple[str, str]:
    """Status and reason of an error: those of the ``CaseError`` it came from, else "failed" and where it arose."""
    root = error
    for root in _chain(error):
        if isinstance(root, CaseError):
            return root.status, str(root)
        if isinstance(root, MemoryError) or "can't allocate memory" in str(root):
            return "failed", "needs more memory than one case may take (memory_limit)"
    frames = traceback.extract_tb(root.__traceback__)
    where = f" in {frames[-1].name}" if frames else ""
    text = str(root).split("\n", 1)[0][:200]
    return "failed", f"processing failed{where}: {type(root).__name__}: {text}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
