"""What a run has to do: the cases found now, or those that arrive while it watches a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from medpipe.batch.register import register
from medpipe.batch.watch import FolderWatch
from medpipe.predictions.run_folder import RunFolder

__all__ = ["cases_to_do", "find_now"]

Find = Callable[[], list[dict[str, Any]]]


def find_now(find: Find, *, watch: bool = False) -> list[dict[str, Any]]:
    """The cases at the start of a run; none yet where a folder is watched, which may still be empty."""
    return [] if watch else find()


def cases_to_do(
    cases: list[dict[str, Any]],
    run_folder: RunFolder,
    *,
    limit: int | None = None,
    retry_failed: bool = False,
    watch: bool = False,
    watch_settle: float = 5,
    watch_idle: float | None = None,
    find: Find | None = None,
) -> Iterable[dict[str, Any] | None]:
    """Enter the cases into the run's journal and give those that have no result.

    Args:
        cases: As found at the start.
        run_folder: Started.
        limit: Most pending cases of this run; the others stay pending for a later one.
        retry_failed: Do the cases again that failed in an earlier run.
        watch: Go on with what arrives in the inputs.
        watch_settle: See ``FolderWatch``.
        watch_idle: See ``FolderWatch``.
        find: Searches the inputs; with ``watch``.

    Raises:
        ValueError: ``limit`` is negative, or ``find`` is missing.
    """
    if limit is not None and limit < 0:
        raise ValueError(f"limit must not be negative, got {limit}")
    if watch:
        if find is None:
            raise ValueError("watch needs find")
        return FolderWatch(
            find, run_folder, settle=watch_settle, idle=watch_idle, limit=limit, retry_failed=retry_failed
        )
    return register(run_folder, cases, retry_failed=retry_failed)[:limit]
