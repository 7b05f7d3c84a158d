"""medpipe score froc"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medpipe.cli.common import JsonOption, OutputOption
from medpipe.cli.score.common import (
    ByOption,
    CompareOption,
    LevelOption,
    ResamplesOption,
    SeedOption,
    add_comparison,
    bootstrap_of,
    distinct_names,
    working,
    write,
)
from medpipe.errors import RequestError

if TYPE_CHECKING:
    from medpipe.metrics.conventions import Convention
    from medpipe.metrics.matching import HitRule


def run(
    predictions: Annotated[
        Path, typer.Argument(help="Marks: CSV, LUNA16 CSV, grand-challenge or COCO JSON, run folder.")
    ],
    truth: Annotated[Path, typer.Argument(help="Lesions: CSV, LUNA16 CSV, COCO JSON, or a datalist (JSON).")],
    output: OutputOption,
    convention: Annotated[
        str | None,
        typer.Option(help="luna16, camelyon16 or node21: hit rule and false positives per image of that challenge."),
    ] = None,
    criterion: Annotated[str | None, typer.Option(help="radius, containment, mask_distance or iou.")] = None,
    tolerance: Annotated[float | None, typer.Option(help="Largest distance, or overlap to reach with iou.")] = None,
    unit: Annotated[str, typer.Option(help="Of the tolerance: px, mm or fraction (of the longer side).")] = "px",
    duplicates: Annotated[
        str, typer.Option(help="Further marks on a found lesion: drop them, or count them as false positives (nl).")
    ] = "drop",
    assignment: Annotated[
        str, typer.Option(help="With iou: greedy (strongest mark first) or optimal (most lesions found).")
    ] = "greedy",
    interpolation: Annotated[str, typer.Option(help="Between operating points: linear or step.")] = "linear",
    excluded: Annotated[
        Path | None, typer.Option("--excluded", help="LUNA16: CSV of findings to ignore (annotations_excluded.csv).")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", help="LUNA16: CSV of all scans (seriesuids.csv), those without nodules too."),
    ] = None,
    category: Annotated[str | None, typer.Option("--category", help="COCO: name or id of the category.")] = None,
    stacked: Annotated[
        bool, typer.Option("--stacked", help="NODE21: the slices of one box file are images of their own.")
    ] = False,
    section: Annotated[str, typer.Option(help="Section of a datalist.")] = "test",
    minimum_lesion: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out a datalist's mask components below this part of the image.")
    ] = 0.0,
    by: ByOption = None,
    compare: CompareOption = None,
    bootstrap: ResamplesOption = 2000,
    seed: SeedOption = 0,
    level: LevelOption = 0.95,
    as_json: JsonOption = False,
) -> None:
    """FROC, AFROC and weighted AFROC of marks.

    PREDICTIONS: a CSV with case, x, y, score (pixels), or a run folder. TRUTH: a CSV with a row per
    lesion (x, y and radius, or x, y, width, height) and a row with empty cells per case without
    lesions, or a datalist. A column z makes it three-dimensional.

        case,x,y,score        case,x,y,radius,patient
        a,103,220,0.91        a,100,222,15,p1
        b,400,51,0.20         b,,,,p2

    A table may also be JSON: a list of objects with these names. The files of LUNA16, NODE21
    (grand-challenge "Multiple 2D bounding boxes") and COCO are read as they are.

    Examples:

    [bold]medpipe score froc marks.csv lesions.csv --criterion radius -o out[/bold]

    [bold]medpipe score froc candidates.csv annotations.csv --convention luna16 -o out[/bold]
    """
    from medpipe.evaluation.formats import read_detection_truth, read_detections
    from medpipe.evaluation.localization import evaluate_localization, write_matches
    from medpipe.io.folders import free_folder

    resampling = bootstrap_of(bootstrap, seed, level)
    names = distinct_names(predictions, compare) if compare else None
    folder = free_folder(output)
    counting, rule = _rules(convention, criterion, tolerance, unit, duplicates, assignment, interpolation)
    cases, head = read_detection_truth(
        truth,
        section=section,
        minimum_lesion=minimum_lesion,
        excluded=excluded,
        images=images,
        category=category,
        stacked=stacked,
    )

    def scored(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        predicted, missing = read_detections(path, category=category, truth=truth, stacked=stacked)
        return evaluate_localization(
            predicted, cases, rule, resampling, missing=missing, convention=counting, variables=by
        )

    with working("matching and scoring"):
        results, audit = scored(predictions)
        if compare and names:
            add_comparison(results, scored(compare)[0], names, resampling)
    results["data"] = {**head, "predictions": predictions.name}
    write(folder, results, as_json=as_json, also={"matches.csv": lambda path: write_matches(path, audit)})


def _rules(
    name: str | None,
    criterion: str | None,
    tolerance: float | None,
    unit: str,
    duplicates: str,
    assignment: str,
    interpolation: str,
) -> tuple[Convention, HitRule]:
    """The convention for rates, and the hit rule: the convention's with what else is given, unless a criterion is."""
    from dataclasses import replace

    from medpipe.metrics.conventions import CONVENTIONS
    from medpipe.metrics.matching import HitRule

    if name is not None and name not in CONVENTIONS:
        raise RequestError(f"unknown convention '{name}'; choose from {', '.join(CONVENTIONS)}")
    if interpolation not in ("linear", "step"):
        raise RequestError(f"--interpolation is linear or step, found '{interpolation}'")
    counting = replace(CONVENTIONS[name or "luna16"], interpolation=interpolation)  # type: ignore[arg-type]
    own = counting.hit_rule if name is not None and criterion is None else None
    criterion = own.criterion if own else criterion or "mask_distance"
    if tolerance is None:
        tolerance = own.tolerance if own else 0.0 if criterion == "mask_distance" else None
    strict = own.strict if own else None
    try:
        rule = HitRule(criterion, tolerance, unit, strict, duplicates, assignment)  # type: ignore[arg-type]
    except ValueError as error:
        raise RequestError(f"hit rule: {error}") from error
    return counting, rule
