"""medpipe deidentify"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from medpipe.cli.common import EXIT, JsonOption, say, show_json
from medpipe.errors import RequestError


def run(
    inputs: Annotated[list[str], typer.Argument(help="DICOM files, folders, zip archives or DICOMDIRs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Output folder (new, or of the same run).")],
    profile: Annotated[str, typer.Option(help="basic: PS3.15 annex E, Basic Profile.")] = "basic",
    retain_uids: Annotated[bool, typer.Option("--retain-uids", help="Keep UIDs as they are.")] = False,
    shift_dates: Annotated[
        bool, typer.Option("--shift-dates", help="Shift dates, by the same days for all of a patient's files.")
    ] = False,
    clean_descriptors: Annotated[
        bool, typer.Option("--clean-descriptors", help="Keep the harmless words of descriptions.")
    ] = False,
    keep_private: Annotated[
        list[str] | None,
        typer.Option(help="A private attribute to keep: GROUP:CREATOR:ELEMENT, as 0019:SIEMENS MR HEADER:0c."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Key file of the pseudonyms; made if absent. Default: OUTPUT.key beside OUTPUT.")
    ] = None,
    accept_burned_in: Annotated[
        bool, typer.Option("--accept-burned-in", help="Also write images that may show text; look at them first.")
    ] = False,
    linkage: Annotated[
        Path | None, typer.Option(help="Also write which input became which output. It identifies patients.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Take the patient's identity out of DICOM files: header, sequences, private data, file names.

    Every file found ends as done, held back, skipped or failed, with its reason, in OUTPUT/deidentification.csv. Images that
    may have the patient's name burned into their pixels are held back. Keep the key, and never hand it on with the data.

    Example: [bold]medpipe deidentify export/ -o shared/ --shift-dates --clean-descriptors[/bold]
    """
    from medpipe.io.deidentify.pseudonyms import read_or_make_key
    from medpipe.io.deidentify.run import deidentify_folder
    from medpipe.io.deidentify.table import Profile

    if profile != "basic":
        raise RequestError(f"--profile '{profile}' is unknown; there is basic")
    chosen = Profile(retain_uids, shift_dates, clean_descriptors, frozenset(map(_private, keep_private or [])))
    key = key or output.with_name(output.name + ".key")
    if output.resolve() in key.resolve().parents:
        raise RequestError("the key must not lie in the output folder, which is made to be handed on")
    for number, path in enumerate(inputs, start=1):
        if not Path(path).exists():
            raise RequestError(f"input {number} does not exist")
    secret, new = read_or_make_key(key)
    if new:
        say(f"new key: {key}. Keep it safe and apart from the data: without it no pseudonym can be made again.")
    counts = _with_progress(
        lambda progress: deidentify_folder(
            inputs,
            output,
            profile=chosen,
            key=secret,
            accept_burned_in=accept_burned_in,
            linkage=linkage,
            workers=workers,
            progress=progress,
        )
    )
    raise typer.Exit(_summarise(output, counts, as_json))


def _private(text: str) -> tuple[int, str, int]:
    match = re.fullmatch(r"([0-9A-Fa-f]{4}):(.+):(?:xx)?([0-9A-Fa-f]{2})", text)
    if match is None or int(match[1], 16) % 2 == 0:
        raise RequestError(f"--keep-private '{text}' must be GROUP:CREATOR:ELEMENT, as '0019:SIEMENS MR HEADER:0c'")
    return int(match[1], 16), match[2], int(match[3], 16)


def _with_progress(work: Callable[[Callable[[int, int], None]], dict[str, int]]) -> dict[str, int]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("files", total=None)
        return work(lambda done, total: bar.update(task, completed=done, total=total))


def _summarise(output: Path, counts: dict[str, int], as_json: bool) -> int:
    table = output / "deidentification.csv"
    if as_json:
        show_json({"output": str(output), "files": counts, "table": str(table)})
    else:
        parts = ", ".join(f"{number} {status}" for status, number in counts.items())
        say(f"{sum(counts.values())} files: {parts}. Reasons: {table}")
        say("Look through a sample of the files before you hand them on: no program finds every name.")
    if counts["done"] == 0:
        return EXIT["none done"]
    return EXIT["some failed"] if counts["failed"] or counts["held back"] else EXIT["done"]
