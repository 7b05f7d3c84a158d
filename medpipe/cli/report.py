"""medpipe report"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medpipe.cli.common import JsonOption, say, show_json
from medpipe.errors import RequestError


def run(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, or of scores (with results.json).")],
    as_json: JsonOption = False,
) -> None:
    """Make the report of a run again from its files alone.

    Example: [bold]medpipe report out[/bold]
    """
    if not folder.is_dir():
        raise RequestError(f"'{folder}' is not a folder")
    from medpipe.reports.page import write_report

    path = write_report(folder)
    if as_json:
        show_json({"report": str(path)})
    else:
        say(f"Report: {path}")
