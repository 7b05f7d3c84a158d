"""What the readers of data sets share: gathering findings step by step, and refusing a folder with errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from medpipe.errors import InputDataError

from .findings import Finding, error, info
from .lookalikes.marker import read_marker

__all__ = ["Survey", "note_look_alike", "refuse_errors", "run_survey"]


class Survey(Protocol):
    """What lies in a folder: everything that both the check and the datalist are made from."""

    findings: list[Finding]
    marker: dict[str, Any] | None  # of a look-alike


AnySurvey = TypeVar("AnySurvey", bound=Survey)


def run_survey(
    root: Path, survey: AnySurvey, steps: Sequence[Callable[[Path, AnySurvey], Iterable[Finding]]]
) -> AnySurvey:
    """Fill ``survey`` step by step; a table that cannot be read is a finding, and the other steps go on."""
    for step in steps:
        try:
            survey.findings += step(root, survey)
        except InputDataError as fault:
            survey.findings.append(error("table", str(fault)))
    return survey


def note_look_alike(root: Path, survey: Survey) -> Iterator[Finding]:
    """A step that says where a folder is generated."""
    survey.marker = read_marker(root)
    if survey.marker is not None:
        yield info("look_alike", f"{root} is a look-alike: {survey.marker['statement']}")


def refuse_errors(root: Path, findings: Sequence[Finding]) -> None:
    """Refuse to make a datalist of a folder in which the check found errors.

    Raises:
        InputDataError: There are some; the message lists them.
    """
    errors = [finding.message for finding in findings if finding.severity == "error"]
    if errors:
        raise InputDataError(f"{root} cannot be prepared; mend this first:\n  " + "\n  ".join(errors))
