"""What the score commands share: how intervals are made, and what is written at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medpipe.cli.common import say, show_json
from medpipe.errors import RequestError

if TYPE_CHECKING:
    from medpipe.metrics.intervals import Bootstrap

__all__ = [
    "ByOption",
    "CompareOption",
    "LevelOption",
    "ResamplesOption",
    "SeedOption",
    "add_comparison",
    "bootstrap_of",
    "distinct_names",
    "working",
    "write",
]

ResamplesOption = Annotated[int, typer.Option("--bootstrap", min=1, help="Resamples of patients.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of the resamples.")]
LevelOption = Annotated[float, typer.Option("--level", help="Coverage of the intervals.")]
ByOption = Annotated[
    list[str] | None,
    typer.Option(
        "--by",
        help="Column of the truth to split by; may be given several times. "
        "Without it: sex, age, site, view and manufacturer, where they are there.",
    ),
]
CompareOption = Annotated[
    Path | None, typer.Option("--compare", help="Predictions of another model on the same cases, in the same form.")
]


def bootstrap_of(resamples: int, seed: int, level: float) -> Bootstrap:
    """The bootstrap that the options ask for.

    Raises:
        RequestError: The level is no coverage.
    """
    from medpipe.metrics.intervals import Bootstrap

    try:
        return Bootstrap(n_resamples=resamples, seed=seed, level=level)
    except ValueError as error:
        raise RequestError(f"--level: {error}") from error


def distinct_names(first: Path, second: Path) -> tuple[str, str]:
    """Names of two files or folders; their paths where the names are the same.

    Raises:
        RequestError: The two are the same.
    """
    one, two = first.resolve(), second.resolve()
    if one == two:
        raise RequestError(f"'{second}' is the same as '{first}'; give those of another model")
    return (one.name, two.name) if one.name != two.name else (str(first), str(second))


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say what is being done and for how long, where someone is watching."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.add_task(what, total=None)
        yield


def add_comparison(
    results: dict[str, Any], other: dict[str, Any], names: tuple[str, str], bootstrap: Bootstrap
) -> None:
    """Compare ``results`` with another model's and keep the differences in them."""
    from medpipe.evaluation.comparison import compare_results

    results["comparison"] = compare_results(results, other, names, bootstrap)


def write(
    folder: Path, results: dict[str, Any], *, as_json: bool, also: dict[str, Callable[[Path], None]] | None = None
) -> None:
    """Write results.json, other files by name, and the report into a folder, and say where they are."""
    from medpipe.io.folders import empty_folder
    from medpipe.predictions.results import write_results
    from medpipe.reports.page import write_report

    empty_folder(folder)
    write_results(folder / "results.json", results)
    for name, save in (also or {}).items():
        save(folder / name)
    with working("writing the report"):
        page = write_report(folder)
    if as_json:
        show_json({"results": str(folder / "results.json"), "report": str(page), "headline": results["headline"]})
        return
    for estimate in [*results["headline"], *([results["froc"]["mean"]] if "froc" in results else [])]:
        say(estimate["text"])
    if "statement" in results:
        say(results["statement"])
    if "comparison" in results:
        say(results["comparison"]["statement"])
    say(f"Report: {page}")
