"""medpipe reproduce"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medpipe.bundle_check import require_trust
from medpipe.bundles import Bundle, find_bundle, parse_overrides
from medpipe.cli.batch_options import terminable
from medpipe.cli.common import (
    EXIT,
    JsonOption,
    OutputOption,
    TrustOption,
    output_folder,
    say,
    show_json,
    split_arguments,
)
from medpipe.cli.train import resolve_datalist
from medpipe.errors import RequestError

if TYPE_CHECKING:
    from medpipe.reproduction.commands import Data, Request
    from medpipe.reproduction.folder import ReproductionFolder
    from medpipe.reproduction.plan import Plan, Run, Table
    from medpipe.reproduction.runs import Outcome


def run(
    name: Annotated[str, typer.Argument(help="Bundle name or folder.")],
    output: OutputOption,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key=value; dataset_dir and datalist say on what, other options hold for all runs."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Draw a small data set and train small networks: no data needed.")
    ] = False,
    table: Annotated[
        list[str] | None, typer.Option("--table", help="Table of the paper, such as modules; may be given again.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Runs of every setting (default: the bundle says how many).")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Runs at one time.")] = 1,
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="Of the network on a CPU; another number gives other last digits.")
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, print the runs, and write nothing.")
    ] = False,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run the comparisons of a bundle's paper on one data set, and show them beside the published numbers.

    Every setting is trained and evaluated with several seeds, each as medpipe train and medpipe evaluate do it. The same
    command takes up what was interrupted and keeps what is done; tables and seeds can be added later. A run that fails is
    told with its log, and the others go on (exit code 3).

    Writes results.json, tables.md, tables.csv and index.html: mean and standard deviation over seeds, the difference from
    each table's reference with its interval, and tests for other seeds and other cases.

    Examples:

    [bold]medpipe reproduce cxr_pneumothorax_acm --quick -o out[/bold]

    [bold]medpipe reproduce cxr_pneumothorax_acm --quick --table modules --seeds 5 --jobs 4 -o out[/bold]

    [bold]medpipe reproduce cxr_pneumothorax_acm dataset_dir=siim datalist=siim/datalist.json --table parts -o out[/bold]

    Pretrainings that a paper compares are stages, trained once a seed; their own options are stage.key=value:

    [bold]medpipe reproduce radiology_vqa_mevf dataset_dir=rad maml.max_epochs=5 -o out[/bold]
    """
    from medpipe.reproduction.plan import load_plan

    bundle = find_bundle(name)
    plan = load_plan(bundle)
    tables = plan.chosen(table or [])
    texts, stages = _of_stages(plan, overrides or [])
    given, data = _given(bundle, texts, quick)
    request = replace(_request(plan, tables, given, quick, threads, trust), given_stages=stages)
    folder = _folder(request, data, output_folder(output, {}))
    runs = plan.runs(tables, request.base, seeds or plan.seeds)
    folder.check()
    if data is not None:
        request.check_stages(runs, data)
    require_trust(bundle, trust=trust)
    if dry_run:
        _show_plan(request, runs, folder, data)
        return
    content = _reproduce(request, tables, runs, folder, data, jobs)
    _conclude(folder.path, content, as_json=as_json)


def _of_stages(plan: Plan, arguments: Sequence[str]) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Apart from the other arguments, options of stages: stage.key=value."""
    rest: list[str] = []
    texts: dict[str, list[str]] = {}
    for argument in arguments:
        name, dot, option = argument.partition(".")
        if dot and name in plan.stages and "=" in option:
            texts.setdefault(name, []).append(option)
        else:
            rest.append(argument)
    found = {}
    for name, options in texts.items():
        stage = plan.stages[name]
        values = parse_overrides(options, stage.training(plan.bundle))
        found[name] = {key.replace("::", "."): _from_here(value) for key, value in values.items()}
        for key in found[name]:
            if key in ("seed", "output_dir"):
                raise RequestError(f"'{name}.{key}' is set by reproduce itself; leave it out")
            if key in stage.shares:
                raise RequestError(f"'{name}.{key}' is the same as in the training; give {key}= alone")
    return rest, found


def _from_here(value: Any) -> Any:
    """An existing path as an absolute one: the commands of runs may start elsewhere."""
    return str(Path(value).absolute()) if isinstance(value, str) and value and Path(value).exists() else value


def _given(bundle: Bundle, arguments: Sequence[str], quick: bool) -> tuple[dict[str, Any], Data | None]:
    """Options by their keys, and the data set; None with --quick."""
    from medpipe.reproduction.commands import Data

    paths, texts = split_arguments(arguments)
    if paths:
        raise RequestError(f"'{paths[0]}' is not of the form key=value; write dataset_dir={paths[0]}")
    both = {**bundle.config("evaluate"), **bundle.config("train")}
    values = {key.replace("::", "."): value for key, value in parse_overrides(texts, both).items()}
    place: dict[str, Any] = {key: values.pop(key) for key in ("dataset_dir", "datalist") if key in values}
    if quick:
        if place:
            raise RequestError(f"--quick draws its own data; leave --quick or {next(iter(place))}= out")
        return values, None
    if "dataset_dir" not in place:
        raise RequestError("which data? give dataset_dir=ROOT (and datalist=FILE), or --quick to draw a small data set")
    found = resolve_datalist(place)
    return values, Data(Path(found["dataset_dir"]), Path(found["datalist"]))


def _request(
    plan: Any, tables: Sequence[Table], given: dict[str, Any], quick: bool, threads: int, trust: bool
) -> Request:
    from medpipe.reproduction.commands import Request, check_given
    from medpipe.reproduction.generated import check_recipe

    compared = {key for table in tables for setting in table.settings for key in setting.options}
    check_given(plan, given, compared)
    if quick:
        if plan.quick is None:
            raise RequestError(f"bundle '{plan.bundle.name}' has no quick recipe; give dataset_dir=ROOT")
        check_recipe(plan.quick)
    return Request(plan, quick, given, threads, trust)


def _folder(request: Request, data: Data | None, path: Path) -> ReproductionFolder:
    from medpipe.data.any_datalist import is_about_questions, load_any_datalist
    from medpipe.predictions.fingerprints import sha256_of_file
    from medpipe.reproduction.folder import ReproductionFolder
    from medpipe.reproduction.summary import check_figures

    # What is wrong with it is told before the first run.
    if data is not None and is_about_questions(load_any_datalist(data.datalist)):
        check_figures(request, data.datalist)
    recipe = request.plan.quick if request.quick else None
    identity = {
        "bundle": request.plan.bundle.name,
        "quick": None if recipe is None else {key: value for key, value in vars(recipe).items() if key != "chosen"},
        "datalist_sha256": None if data is None else sha256_of_file(data.datalist),
        "options": {**request.plan.options, **request.given},
        **_stages_entry(request, data),
        "evaluate": dict(request.plan.evaluate),
        "threads": request.threads,
    }
    return ReproductionFolder(path, identity)


def _stages_entry(request: Request, data: Data | None) -> dict[str, Any]:
    """What decides on the stages; the folder of generated data is the reproduction's own."""
    from medpipe.reproduction.commands import Data

    if not request.plan.stages:
        return {}
    place = data or Data(Path("data"), Path("data/datalist.json"))
    return {"stages": {name: request.stage_options(stage, place) for name, stage in request.plan.stages.items()}}


def _show_plan(request: Request, runs: Sequence[Run], folder: ReproductionFolder, data: Data | None) -> None:
    from medpipe.reproduction.commands import Data, commands, stage_command
    from medpipe.reproduction.runs import runs_done

    place = data or Data(folder.data, folder.data / "datalist.json")
    done = {(run.name, run.seed) for run in runs_done(runs, folder)}
    for name, stage in request.plan.stages.items():
        if any(name in one.after for one in runs):
            options = " ".join(f"{key}={value}" for key, value in request.stage_options(stage, place).items())
            print(f"stage  {name}, once a seed: {options}")
    for one in runs:
        state = "done" if (one.name, one.seed) in done else "to do"
        options = " ".join(f"{key}={value}" for key, value in one.options.items())
        after = f" (after {', '.join(one.after)})" if one.after else ""
        print(f"{state:5}  {one.name}, seed {one.seed}: {options}{after}")
    first = next((one for one in runs if (one.name, one.seed) not in done), None)
    if first is not None:
        print("The first of them:")
        stages = request.stages_of(first)
        each = [stage_command(request, stage, first.seed, place, folder.stage(stage, first.seed)) for stage in stages]
        starts = folder.starts(stages, first.seed)
        for words in [*each, *commands(request, first, place, folder.of(first), starts).values()]:
            print("  " + " ".join(["medpipe", *words[3:]]))
    say(f"{len(runs)} runs, {len(done)} of them done. Nothing was written.")


def _reproduce(
    request: Request,
    tables: Sequence[Table],
    runs: Sequence[Run],
    folder: ReproductionFolder,
    data: Data | None,
    jobs: int,
) -> dict[str, Any]:
    """Do the runs; the tables are written after every one of them, so that an interruption leaves what is known."""
    from medpipe.io.folder_lock import locked
    from medpipe.reproduction.runs import Processes, do_runs, runs_done

    folder.start()
    seeds = len({run.seed for run in runs})
    with locked(folder.path), terminable():
        place = data or _drawn(request, folder, jobs)
        tried: list[Outcome] = []
        done = len(runs_done(runs, folder))
        if done:
            say(f"{done} of {len(runs)} runs are done already")
        with _progress(len(runs), done) as advance:

            def each(outcome: Outcome) -> None:
                tried.append(outcome)
                content = _write(request, tables, seeds, folder, tried)
                advance(_line(outcome, content))

            do_runs(runs, request, place, folder, Processes(request.threads), jobs=jobs, each=each)
        return _write(request, tables, seeds, folder, tried)


def _drawn(request: Request, folder: ReproductionFolder, jobs: int) -> Data:
    from rich.console import Console
    from rich.progress import Progress

    from medpipe.reproduction.generated import draw_data

    recipe = request.plan.quick
    assert recipe is not None
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("images drawn", total=None)
        return draw_data(
            recipe,
            folder.data,
            workers=jobs,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )


@contextmanager
def _progress(total: int, done: int) -> Iterator[Any]:
    """A bar over the runs with the time left, and a line for each."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"))
    # Runs take minutes: the rate is that of the last hours, not of the last half minute.
    bar = Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        speed_estimate_period=8 * 3600,
    )
    with bar:
        task = bar.add_task("runs", total=total, completed=done)

        def advance(line: str) -> None:
            console.print(line, markup=False, soft_wrap=True)
            bar.advance(task)

        yield advance


def _line(outcome: Outcome, content: dict[str, Any]) -> str:
    head = f"{outcome.run.name}, seed {outcome.run.seed}"
    if outcome.reason:
        return f"{head}: failed, {outcome.reason} (see {outcome.log})"
    found = next(s for t in content["tables"] for s in t["settings"] if s["run"] == outcome.run.name)
    values = []
    for name, figure in found["figures"].items():
        known = [one["value"] for one in figure["values"] if one["seed"] == outcome.run.seed]
        values.append(f"{name} {known[0]:.3f}" if known else f"{name} undefined")
    return f"{head}: {', '.join(values)} ({outcome.seconds or 0:.0f} s)"


def _write(
    request: Request, tables: Sequence[Table], seeds: int, folder: ReproductionFolder, tried: Sequence[Outcome]
) -> dict[str, Any]:
    from medpipe.reports.reproduction import write_reproduction_page
    from medpipe.reproduction.summary import summarise, write_summary
    from medpipe.reproduction.tables import analysis_lines, write_tables

    content = summarise(request, tables, seeds, folder, tried)
    write_summary(folder.path / "results.json", content)
    write_tables(folder.path, content)
    lines = {table["name"]: list(analysis_lines(table)) for table in content["tables"]}
    write_reproduction_page(folder.path / "index.html", content, lines)
    return content


def _conclude(path: Path, content: dict[str, Any], *, as_json: bool) -> None:
    counts = content["runs"]
    if as_json:
        show_json(
            {
                "output": str(path),
                "runs": counts,
                "results": str(path / "results.json"),
                "failures": content["failures"],
            }
        )
    else:
        _print_tables(content)
        for failure in content["failures"]:
            say(f"failed: {failure['run']}, seed {failure['seed']}: {failure['reason']} (see {path / failure['log']})")
        say(f"{counts['done']} of {counts['wanted']} runs done, {counts['failed']} failed.")
        say(f"Tables: {path / 'tables.md'}; page: {path / 'index.html'}; numbers: {path / 'results.json'}")
    if counts["done"] < counts["wanted"]:
        raise typer.Exit(EXIT["some failed" if counts["done"] else "none done"])


_FILE_WIDTH = 200
"""Columns of tables that no terminal shows, so that their cells are not broken."""


def _print_tables(content: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table as Grid

    from medpipe.reproduction.tables import analysis_lines, header, reference_title, rows

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    for table in content["tables"]:
        title = f"{table['title']}, each compared with: {reference_title(table)}"
        grid = Grid(*header(content), title=title, title_justify="left", title_style="bold", box=None)
        for cells in rows(content, table):
            grid.add_row(*cells)
        console.print(grid)
        for line in analysis_lines(table):
            console.print(line, markup=False, soft_wrap=True)
        console.print()
    console.print(f"Published numbers: on {content['published_on']}; not comparable.", markup=False, soft_wrap=True)
    for line in (*content["statements"], *content["cautions"]):
        console.print(line, markup=False, soft_wrap=True)
