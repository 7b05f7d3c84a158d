"""results.json: the border between numbers and pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medpipe.errors import RequestError
from medpipe.io.atomic import write_text

__all__ = ["FORMAT", "read_results", "write_results"]

FORMAT = "medpipe-results/1"


def write_results(path: Path, results: dict[str, Any]) -> None:
    """Write results.json atomically, at full precision."""
    write_text(path, json.dumps({"format": FORMAT, **results}, indent=1, allow_nan=False) + "\n")


def read_results(path: Path) -> dict[str, Any]:
    """Read a results.json.

    Raises:
        RequestError: It is missing, or not what medpipe writes.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(f"results '{path}' cannot be read ({error})") from error
    found = results.get("format") if isinstance(results, dict) else None
    if found != FORMAT:
        raise RequestError(f"results '{path}' have the format {found!r}; expected '{FORMAT}'")
    return dict(results)
