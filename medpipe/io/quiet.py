"""Silence for libraries whose warnings, log lines and errors quote the header: the patient's name must reach no log."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet_headers", "quiet_libraries"]

_LIBRARIES = ("pydicom", "highdicom", "pynetdicom", "dicomweb_client", "nibabel", "PIL")
_LOGGERS = (*_LIBRARIES, "nibabel.global")


@contextmanager
def quiet_headers() -> Iterator[None]:
    """Drop all warnings, and the libraries' log lines; errors pass, and their text must not be shown."""
    with quiet_libraries():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Drop warnings and log lines of the libraries that read images and headers, and of no others."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger.disabled, logger.level) for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True  # pydicom sets its level when it is imported
            logger.setLevel(logging.CRITICAL + 1)  # the loggers below have this one's level
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=rf"({'|'.join(_LIBRARIES)})(\.|$)")
            yield
    finally:
        for logger, (disabled, level) in zip(loggers, before, strict=True):
            logger.disabled = disabled
            logger.setLevel(level)
