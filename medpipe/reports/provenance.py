"""Where the numbers come from: software, machine, command, settings, and the hashes of the files."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import medpipe
from medpipe.predictions.run_folder import sha256_of_file

__all__ = ["provenance_section"]


def provenance_section(
    folder: Path, run: dict[str, Any] | None, results: dict[str, Any] | None
) -> dict[str, list[tuple[str, str]] | str | None]:
    """Rows of the tables, each a name and a value."""
    software = {**((results or {}).get("software") or {}), **((run or {}).get("versions") or {})}
    return {
        "software": [*software.items(), ("this page", f"medpipe {medpipe.__version__}")],
        "run": _run_rows(run) if run else [],
        "evaluation": _evaluation_rows(results) if results else [],
        "files": [
            (name, sha256_of_file(folder / name))
            for name in ("results.json", "run.json", "cases.csv", "marks.csv", "matches.csv", "pair_values.csv")
            if (folder / name).is_file()
        ],
        "format": results["format"] if results else None,
    }


def _run_rows(run: dict[str, Any]) -> list[tuple[str, str]]:
    identity, machine = run["identity"], run.get("machine") or {}
    rows = [
        ("bundle", identity["bundle"]),
        ("weights (SHA-256)", identity["weights_sha256"] or "none"),
        ("inputs (SHA-256 of their list)", identity.get("files_sha256", "")),
        ("options", _settings(identity["options"])),
        ("command", shlex.join(str(part) for part in run.get("command", []))),
        ("machine", f"{machine.get('system', '')} {machine.get('processor', '')}, {machine.get('cpus', '?')} CPUs"),
        ("started", run["started"]),
        ("finished", run["finished"] or "not finished"),
    ]
    return [(name, value) for name, value in rows if value]


def _evaluation_rows(results: dict[str, Any]) -> list[tuple[str, str]]:
    data = {key: value for key, value in results["data"].items() if isinstance(value, str | int | float | bool)}
    rows = [("task", results["task"]), *((f"data: {key}", _plain(value)) for key, value in data.items())]
    rows += [(f"setting: {key}", _plain(value)) for key, value in (results.get("settings") or {}).items()]
    return rows


def _settings(options: dict[str, Any]) -> str:
    return ", ".join(f"{key}={_plain(value)}" for key, value in options.items())


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return _settings(value)
    return ", ".join(_plain(part) for part in value) if isinstance(value, list) else str(value)
