"""What the commands share: options, output, exit codes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from medpipe.errors import RequestError

__all__ = [
    "EXIT",
    "IndexOption",
    "JsonOption",
    "OutputOption",
    "PrintCommandOption",
    "TrustOption",
    "exit_code_of",
    "header_store",
    "output_folder",
    "require_weights",
    "say",
    "show_json",
    "split_arguments",
]

EXIT = {"done": 0, "internal": 1, "request": 2, "some failed": 3, "none done": 4, "interrupted": 130}
"""Exit codes: 0 all done; 1 a fault of ours; 2 wrong request, nothing touched; 3 some cases failed; 4 none could be
done; 130 interrupted, can be resumed."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
OutputOption = Annotated[Path, typer.Option("--output", "-o", help="Output folder (new, or of the same run).")]
PrintCommandOption = Annotated[
    bool, typer.Option("--print-command", help="Print the equal 'python -m monai.bundle run ...' and stop.")
]
IndexOption = Annotated[
    Path | None,
    typer.Option(
        help="File that keeps what headers say, so that the next look reads new and changed files alone. It names patients."
    ),
]
TrustOption = Annotated[bool, typer.Option("--trust", help="Run a foreign bundle's own code.")]

_OVERRIDE = re.compile(r"^[A-Za-z_][\w.#:]*=")


def say(text: str) -> None:
    """A line for a person, on standard error, so that standard output stays a program's."""
    print(text, file=sys.stderr)


def show_json(value: Any) -> None:
    """A result for a program, on standard output."""
    print(json.dumps(value, indent=2))


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part paths from ``key=value`` overrides; a path that exists is a path whatever its name."""
    overrides = [a for a in arguments if _OVERRIDE.match(a) and not Path(a).exists()]
    return [a for a in arguments if a not in overrides], overrides


def exit_code_of(counts: dict[str, int]) -> int:
    """Exit code of a finished batch from its cases by status."""
    if counts["done"] == 0:
        return EXIT["none done"]
    return EXIT["some failed"] if counts["failed"] else EXIT["done"]


def output_folder(output: Path, overrides: dict[str, Any]) -> Path:
    """The absolute output folder.

    Raises:
        RequestError: It is also given as an override, or its path cannot stand in a config.
    """
    from medpipe.bundles import absolute

    if "output_dir" in overrides:
        raise RequestError("output_dir is given by -o; leave the override out")
    return Path(str(absolute([output])))


def header_store(index: Path | None, output: Path | None = None) -> Any:
    """Headers kept from an earlier look, where the request names a file for them.

    Raises:
        RequestError: It would lie in the output folder, or its own does not exist, or it is something else.
    """
    if index is None:
        return None
    if output is not None and output.resolve() in index.resolve().parents:
        raise RequestError("--index names patients; keep it outside the output folder")
    if not index.parent.is_dir():
        raise RequestError(f"folder '{index.parent}' of --index does not exist")
    from medpipe.io.header_store import HeaderStore

    return HeaderStore(index)


def require_weights(bundle: Any, overrides: dict[str, Any]) -> None:
    """Refuse early where a bundle ships no weights and none are given."""
    path = Path(str(overrides.get("weights") or bundle.weights))
    if not path.is_file():
        raise RequestError(f"weight file '{path}' does not exist; train the bundle, or give weights=FILE")
