"""medpipe score registration"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from medpipe.cli.common import JsonOption, OutputOption
from medpipe.cli.score.common import (
    LevelOption,
    ResamplesOption,
    SeedOption,
    add_comparison,
    bootstrap_of,
    distinct_names,
    working,
    write,
)


class ProtocolChoice(str, Enum):
    """How pairs are measured."""

    medpipe = "medpipe"
    rcn = "rcn"
    l2r = "l2r"


def run(
    fields: Annotated[
        Path,
        typer.Argument(help="Table of pairs with a column 'field', or a folder of fields (disp_FFFF_MMMM.nii.gz)."),
    ],
    output: OutputOption,
    truth: Annotated[
        Path | None,
        typer.Argument(
            help="Table that describes the pairs, or a Learn2Reg dataset file; without it the first table does."
        ),
    ] = None,
    protocol: Annotated[
        ProtocolChoice,
        typer.Option(help="medpipe: millimetres; rcn: as recursive cascaded networks; l2r: as Learn2Reg's evaluation."),
    ] = ProtocolChoice.medpipe,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Structures to compare: 1=anterior,2=posterior, or a table with label and name. Default: all."
        ),
    ] = None,
    compare: Annotated[
        Path | None, typer.Option("--compare", "--baseline", help="Fields of another method on the same pairs.")
    ] = None,
    pictures: Annotated[bool, typer.Option(help="Pictures of the worst, the median and the best pair.")] = True,
    bootstrap: ResamplesOption = 2000,
    seed: SeedOption = 0,
    level: LevelOption = 0.95,
    as_json: JsonOption = False,
) -> None:
    """Accuracy of deformable registration, from anybody's displacement fields.

    Overlap and surface distance of every structure, landmark errors, folding, run time and memory; before and after, with
    intervals that resample subjects. One table may hold everything, or fields.csv (pair, field, seconds, memory_mb) beside:

        pair,fixed,moving,fixed_labels,moving_labels,fixed_points,moving_points,fixed_subject,moving_subject
        a-b,a.nii.gz,b.nii.gz,a_seg.nii.gz,b_seg.nii.gz,,,a,b

    Fields: ITK, ANTs and elastix (millimetres), Learn2Reg and VoxelMorph (voxels); they map fixed to moving points.

    Example: [bold]medpipe score registration fields.csv pairs.csv --labels 1=anterior,2=posterior -o out[/bold]
    """
    from medpipe.evaluation.formats.registration_pairs import read_label_names, read_registration_pairs
    from medpipe.evaluation.registration import evaluate_registration, measured_pairs, write_pair_values
    from medpipe.evaluation.registration_pictures import draw_pictures
    from medpipe.io.folders import free_folder

    resampling = bootstrap_of(bootstrap, seed, level)
    names = read_label_names(labels) if labels else {}
    methods = distinct_names(fields, compare) if compare else None
    folder = free_folder(output)
    pairs = read_registration_pairs(fields, truth)
    others = read_registration_pairs(compare, truth) if compare else []

    def scored(listed: Sequence[Any], what: str) -> dict[str, Any]:
        with progress(what, sum("field" in pair.files for pair in listed)) as step:
            measured = []
            for one in measured_pairs(listed, protocol.value, sorted(names) or None):
                measured.append(one)
                step()
        return evaluate_registration(measured, listed, protocol.value, resampling, names)

    results = scored(pairs, "measuring pairs")
    if methods:
        add_comparison(results, scored(others, f"measuring pairs of {methods[1]}"), methods, resampling)
    results["data"] = {"name": (truth or fields).name, "predictions": fields.name}
    files: dict[str, bytes] = {}
    if pictures:
        with working("drawing pictures"):
            results["registration"]["pictures"], files = draw_pictures(pairs, results, protocol.value)
    also: dict[str, Callable[[Path], None]] = {name: _saving(content) for name, content in files.items()}
    also["pair_values.csv"] = lambda path: write_pair_values(path, results)
    write(folder, results, as_json=as_json, also=also)


def _saving(content: bytes) -> Callable[[Path], None]:
    from medpipe.io.atomic import write_bytes

    def save(path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        write_bytes(path, content)

    return save


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar, where someone is watching; the block calls what it is given after each pair."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task(what, total=total)
        yield lambda: shown.advance(task)
