"""results.json: the border between numbers and pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medpipe.errors import InputDataError, RequestError
from medpipe.io.atomic import write_text
from medpipe.predictions.run_folder import package_versions

__all__ = ["FORMAT", "read_results", "write_results"]

FORMAT = "medpipe-results/1"

_CASES_CHECKED = 2000
"""Rows of cases that are held against the whole schema; the others only need to have their keys."""

_COMPUTED_WITH = ("python", "medpipe", "numpy", "scipy")


def write_results(path: Path, results: dict[str, Any]) -> None:
    """Write results.json atomically, at full precision, with the versions of what computed it.

    The file follows results.schema.json, which lies beside this module.
    """
    software = {name: version for name, version in package_versions().items() if name in _COMPUTED_WITH}
    content = {"format": FORMAT, "software": software, **results}
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_results(path: Path) -> dict[str, Any]:
    """Read a results.json.

    Raises:
        RequestError: It is missing, or of another format.
        InputDataError: It is not laid out as results.schema.json says.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(f"results '{path}' cannot be read ({error})") from error
    found = results.get("format") if isinstance(results, dict) else None
    if found != FORMAT:
        raise RequestError(f"results '{path}' have the format {found!r}; expected '{FORMAT}'")
    _check(results, path)
    return dict(results)


def _check(results: dict[str, Any], path: Path) -> None:
    """Raise InputDataError where results are not as the schema says, naming the place."""
    from jsonschema import Draft202012Validator

    cases = results.get("cases")
    if isinstance(cases, list) and len(cases) > _CASES_CHECKED:  # a million rows would take minutes
        results = {**results, "cases": cases[:_CASES_CHECKED]}
        for number, row in enumerate(cases[_CASES_CHECKED:], start=_CASES_CHECKED):
            if not (isinstance(row, dict) and {"case", "diseased", "score"} <= row.keys()):
                raise InputDataError(
                    f"results '{path}', cases/{number}: lacks case, diseased or score; make the results anew"
                )
    schema = json.loads(Path(__file__).with_name("results.schema.json").read_text("utf-8"))
    errors = sorted(Draft202012Validator(schema).iter_errors(results), key=lambda found: list(map(str, found.path)))
    if errors:
        place = "/".join(str(part) for part in errors[0].absolute_path) or "the whole"
        raise InputDataError(f"results '{path}', {place}: {errors[0].message[:200]}; make the results anew")
