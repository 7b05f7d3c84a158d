"""What has no result, and why; a section that is there also when there is nothing to tell."""

from __future__ import annotations

from typing import Any

from medpipe.reports.cohort import grouped_reasons

__all__ = ["failures_section"]


def failures_section(
    run: dict[str, Any] | None, rows: list[dict[str, str]], results: dict[str, Any] | None
) -> dict[str, Any]:
    """Files that were skipped or failed, cases of the truth without a result, and remarks on cases that were done."""
    not_done = sorted((row for row in rows if row["status"] != "done"), key=lambda row: (row["status"], _name(row)))
    without = (results or {}).get("cohort", {}).get("without_result", [])
    return {
        "not_done": [(_name(row), row["status"], row["reason"]) for row in not_done],
        "without_result": [(row["case"], row["reason"]) for row in without],
        "groups": grouped_reasons([row["reason"] for row in not_done] or [row["reason"] for row in without]),
        "remarks": [(_name(row), row["reason"]) for row in rows if row["status"] == "done" and row["reason"]],
        "unfinished": run is not None and run["finished"] is None,
        "has_run": bool(rows),
    }


def _name(row: dict[str, str]) -> str:
    return row.get("file") or row["case"]
