"""Silence for libraries whose warnings, log lines and errors quote the header: the patient's name must reach no log."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet_headers"]

_LOGGERS = ("pydicom", "highdicom")


@contextmanager
def quiet_headers() -> Iterator[None]:
    """Drop warnings and log lines of pydicom and highdicom; errors pass, and their text must not be shown."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
