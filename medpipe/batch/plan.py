"""What a run would do, said before it is done."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from medpipe.predictions.run_folder import RunFolder, read_run

__all__ = ["print_plan"]

_LITTLE_SPACE = 1 << 30


def print_plan(
    cases: list[dict[str, Any]],
    run_folder: RunFolder,
    *,
    device: Any,
    limit: int | None = None,
    retry_failed: bool = False,
) -> None:
    """Print bundle, inputs, device, output folder and free space; nothing is written.

    Args:
        cases: As found.
        run_folder: Not started.
        device: Where the network would run.
        limit: Most cases of the run.
        retry_failed: Whether failed cases would be done again.
    """
    identity = run_folder.identity
    for name, value in {
        "bundle": f"{identity['bundle']}, weights {identity['weights_sha256'][:12] or 'none'}",
        "options": json.dumps(identity["options"], sort_keys=True),
        "inputs": ", ".join(map(run_folder.hide, run_folder.inputs)),
        "files": _files(cases, limit),
        "device": str(device),
        "output": _output(run_folder.path, retry_failed),
        "free space": _space(run_folder.path),
    }.items():
        print(f"{name:>10}: {value}")
    reasons = Counter((case["status"], case["reason"]) for case in cases if case["status"] != "pending")
    for (status, reason), count in reasons.most_common(10):
        print(f"{'':>12}{count} {status}: {reason}")


def _files(cases: list[dict[str, Any]], limit: int | None) -> str:
    counts = Counter(case["status"] for case in cases)
    parts = [f"{counts['pending']} to do", f"{counts['skipped']} skipped", f"{counts['failed']} failed"]
    return f"{len(cases)} found: {', '.join(parts)}" + (f"; at most {limit} now" if limit is not None else "")


def _output(path: Path, retry_failed: bool) -> str:
    if not (path / "run.json").is_file():
        return f"{path}, new"
    counts = read_run(path).get("cases")
    state = ", ".join(f"{count} {status}" for status, count in counts.items()) if counts else "interrupted"
    return f"{path}, takes up a run ({state})" + (", failed cases again" if retry_failed else "")


def _space(path: Path) -> str:
    while not path.exists():
        path = path.parent
    free = shutil.disk_usage(path).free
    notes = [f"{free / 2**30:.1f} GiB"]
    if free < _LITTLE_SPACE:
        notes.append("little for a batch")
    if not os.access(path, os.W_OK):
        notes.append("the folder cannot be written")
    return "; ".join(notes)
