"""medpipe report"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medpipe.cli.common import JsonOption, say, show_json
from medpipe.cli.score.common import LevelOption, ResamplesOption, SeedOption, bootstrap_of, distinct_names, working
from medpipe.errors import RequestError


def run(
    source: Annotated[Path, typer.Argument(help="Run folder, folder of scores, or a results.json.")],
    compare: Annotated[
        Path | None,
        typer.Option("--compare", help="Results of another model on the same cases: folder or results.json."),
    ] = None,
    bootstrap: ResamplesOption = 2000,
    seed: SeedOption = 0,
    level: LevelOption = 0.95,
    as_json: JsonOption = False,
) -> None:
    """Make the report again from files alone, with another model beside it where one is given.

    The page is written to report/index.html beside results.json.

    Examples:

    [bold]medpipe report out[/bold]

    [bold]medpipe report new/results.json --compare old/results.json[/bold]
    """
    folder = _folder(source)
    comparison = None
    from medpipe.reports.page import write_report

    if compare is not None:
        from medpipe.evaluation.comparison import compare_results
        from medpipe.predictions.results import read_results

        one, two = (read_results(_folder(path) / "results.json") for path in (source, compare))
        names = distinct_names(_folder(source), _folder(compare))
        with working("comparing"):
            comparison = compare_results(one, two, names, bootstrap_of(bootstrap, seed, level))
    with working("writing the report"):
        path = write_report(folder, comparison)
    if as_json:
        show_json({"report": str(path), **({"comparison": comparison["statement"]} if comparison else {})})
        return
    if comparison:
        say(comparison["statement"])
    say(f"Report: {path}")


def _folder(source: Path) -> Path:
    if source.is_dir():
        return source
    if source.is_file() and source.name == "results.json":
        return source.parent
    if source.is_file():
        raise RequestError(f"'{source}' is neither a folder nor a file called results.json")
    raise RequestError(f"'{source}' does not exist; give a run folder, a folder of scores, or a results.json")
