"""A data set that never raises: a case that cannot be loaded comes out with its reason instead of its image."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from torch.utils.data import Dataset

from medpipe.errors import CaseError

__all__ = ["CaseDataset", "collate_cases", "failure_of"]


class CaseDataset(Dataset[dict[str, Any]]):
    """Cases as dictionaries, transformed where they are pending.

    A transform that raises turns the case's "status" and "reason" into the error's; the other keys stay. "seconds"
    is the time that loading took.

    Args:
        data: Cases with at least "case", "status" and the keys that the transform reads.
        transform: MONAI dictionary transform.
    """

    def __init__(self, data: Sequence[dict[str, Any]], transform: Callable[[dict[str, Any]], Any]) -> None:
        self.data, self.transform = data, transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        case, start = dict(self.data[index]), time.perf_counter()
        if case["status"] == "pending":
            try:
                case = dict(self.transform(case))
            except Exception as error:  # whatever a damaged file provokes belongs to its case alone
                case["status"], case["reason"] = failure_of(error)
        case["seconds"] = time.perf_counter() - start
        return case


def collate_cases(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep a batch as a list: cases without an image have nothing to stack."""
    return cases


def failure_of(error: BaseException) -> tuple[str, str]:
    """Status and reason of an error: those of the ``CaseError`` it came from, else "failed" and where it arose."""
    cause: BaseException | None = error
    root = error
    while cause is not None:
        if isinstance(cause, CaseError):
            return cause.status, str(cause)
        root, cause = cause, cause.__cause__ or cause.__context__
    frames = traceback.extract_tb(root.__traceback__)
    where = f" in {frames[-1].name}" if frames else ""
    text = str(root).split("\n", 1)[0][:200]
    return "failed", f"processing failed{where}: {type(root).__name__}: {text}"
