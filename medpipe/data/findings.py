"""What a check of a data set found: plain records for the command line to show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "error", "info", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    An ``error`` keeps the data set from being prepared, a ``warning`` says what is left out or doubtful, an
    ``info`` is for the record.
    """

    code: str  # a short fixed word, e.g. "missing_images"
    severity: Literal["error", "warning", "info"]
    message: str  # names files and counts


def error(code: str, message: str) -> Finding:
    """A finding that keeps the data set from being prepared."""
    return Finding(code, "error", message)


def warning(code: str, message: str) -> Finding:
    """A finding on something left out or doubtful."""
    return Finding(code, "warning", message)


def info(code: str, message: str) -> Finding:
    """A finding for the record."""
    return Finding(code, "info", message)
