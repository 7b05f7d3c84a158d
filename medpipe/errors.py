"""The exceptions that users of medpipe catch.

    MedpipeError                 base of all of them
    ├── RequestError             the request itself is wrong; raised before anything is touched
    │   ├── AlreadyDoneError     what is asked for is there already
    │   ├── InputDataError       a table, data set or manifest that was handed in is wrong
    │   └── UntrustedBundleError a foreign bundle names code outside the allow-list
    ├── InterruptedRunError      a run had to stop; the same command goes on with it
    └── CaseError                one case cannot be done; the batch goes on
        ├── CaseSkippedError     the file is sound, but it is no image for this bundle
        └── CaseFailedError      the file is damaged, or its processing failed

Messages say what was found, what was expected, which file, case or key, and what to do.
"""

from __future__ import annotations

__all__ = [
    "AlreadyDoneError",
    "CaseError",
    "CaseFailedError",
    "CaseSkippedError",
    "InputDataError",
    "InterruptedRunError",
    "MedpipeError",
    "RequestError",
    "UntrustedBundleError",
]


class MedpipeError(Exception):
    """Base of all errors that medpipe raises on purpose."""


class RequestError(MedpipeError, ValueError):
    """The request is wrong (an option, a path, an override); nothing has been touched."""


class AlreadyDoneError(RequestError):
    """What is asked for is there already: a training that has reached its end."""


class InputDataError(RequestError):
    """A table, data set, datalist or manifest that was handed in does not follow its format."""


class UntrustedBundleError(RequestError):
    """A bundle from outside names code that is not on the allow-list."""


class InterruptedRunError(MedpipeError):
    """A run had to stop, for a full disk or a failing one; what is recorded stays, and the same command goes on."""


class CaseError(MedpipeError):
    """One case cannot be done. ``status`` is the word that cases.csv shows.

    ``words`` are those of the patient that the file's header gave, where it could be read; never shown.
    """

    status = "failed"
    words: tuple[str, ...] = ()


class CaseSkippedError(CaseError):
    """The file is sound, but it is no image for this bundle (wrong modality, lateral view, no pixels)."""

    status = "skipped"


class CaseFailedError(CaseError):
    """The file is damaged or cannot be decoded, or processing it failed."""
