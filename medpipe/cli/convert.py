"""medpipe convert"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medpipe.cli.common import IndexOption, JsonOption, OutputOption, exit_code_of, header_store, say, show_json
from medpipe.errors import RequestError


def run(
    inputs: Annotated[list[Path], typer.Argument(help="Files, folders, zip archives or DICOMDIRs.")],
    output: OutputOption,
    policy: Annotated[
        str,
        typer.Option(help="What one grid cannot say: strict refuses it, warn converts it, repair resamples it."),
    ] = "strict",
    identified: Annotated[
        bool, typer.Option("--identified", help="Write patients' identities, UIDs and file paths as they are.")
    ] = False,
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Convert DICOM to NIfTI: one volume with a JSON sidecar for each grid, geometry and values unchanged.

    Every file ends as converted, skipped or failed, with its reason, in files.csv; every volume in volumes.csv. SEG and
    RTSTRUCT become masks on the grid of their series. The same command takes up an interrupted conversion.

    Example: [bold]medpipe convert export/ -o nifti[/bold]
    """
    from medpipe.io.convert import convert
    from medpipe.io.findings import POLICIES

    if policy not in POLICIES:
        raise RequestError(f"--policy '{policy}' must be one of {', '.join(POLICIES)}")
    chosen: Any = policy
    store = header_store(index, output)
    result = _with_progress(
        lambda tick: convert(inputs, output, policy=chosen, identified=identified, store=store, progress=tick)
    )
    counts = result.counts
    if as_json:
        show_json(
            {"output": str(result.output), "files": result.files, "volumes": [vars(row) for row in result.volumes]}
        )
    else:
        for row in result.volumes:
            if row.status != "converted":
                say(f"refused {row.volume or row.modality}: {row.reason}")
        parts = ", ".join(f"{result.files.get(status, 0)} {status}" for status in ("converted", "skipped", "failed"))
        say(f"{sum(result.files.values())} files: {parts}. Reasons: {result.output / 'files.csv'}")
        done = sum(row.status == "converted" for row in result.volumes)
        say(f"{done} volumes written, {len(result.volumes) - done} refused: {result.output / 'volumes.csv'}")
        say("For research use. Not a medical device.")
    raise typer.Exit(exit_code_of(counts))


def _with_progress(work: Any) -> Any:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("series", total=None)
        return work(lambda done, total: progress.update(task, completed=done, total=total))
