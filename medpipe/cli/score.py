"""medpipe score roc and froc"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medpipe.cli.common import JsonOption, OutputOption, say, show_json

app = typer.Typer(help="Score anybody's predictions against truth, with intervals and a report.", no_args_is_help=True)

_Predictions = Annotated[Path, typer.Argument(help="CSV of predictions, or a run folder.")]
_Resamples = Annotated[int, typer.Option("--bootstrap", min=1, help="Resamples of patients.")]
_Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the resamples.")]


@app.command()
def roc(
    predictions: _Predictions,
    truth: Annotated[Path, typer.Argument(help="CSV with case, label (0 or 1) and, where known, patient.")],
    output: OutputOption,
    bootstrap: _Resamples = 2000,
    seed: _Seed = 0,
    as_json: JsonOption = False,
) -> None:
    """ROC curve and AUC of image scores.

    PREDICTIONS: a CSV with case and score, such as a run's cases.csv.

        case,score            case,label,patient
        a,0.91                a,1,p1
        b,0.20                b,0,p2

    Example: [bold]medpipe score roc scores.csv labels.csv -o out[/bold]
    """
    from medpipe.evaluation.image_scores import evaluate_image_scores, scores_from_table
    from medpipe.evaluation.truth import labels_from_table
    from medpipe.metrics.intervals import Bootstrap

    path = predictions / "cases.csv" if predictions.is_dir() else predictions
    results = evaluate_image_scores(
        scores_from_table(path), labels_from_table(truth), Bootstrap(n_resamples=bootstrap, seed=seed)
    )
    results["data"] = {"name": truth.name, "predictions": path.name}
    _write(output, results, as_json=as_json)


@app.command()
def froc(
    predictions: _Predictions,
    truth: Annotated[Path, typer.Argument(help="CSV of lesions, or a datalist (JSON).")],
    output: OutputOption,
    criterion: Annotated[str, typer.Option(help="radius, containment, mask_distance or iou.")] = "mask_distance",
    tolerance: Annotated[float | None, typer.Option(help="Largest distance, or overlap to reach with iou.")] = None,
    unit: Annotated[str, typer.Option(help="Of the tolerance: px, mm or fraction (of the longer side).")] = "px",
    section: Annotated[str, typer.Option(help="Section of a datalist.")] = "test",
    minimum_lesion: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out a datalist's mask components below this part of the image.")
    ] = 0.0,
    bootstrap: _Resamples = 2000,
    seed: _Seed = 0,
    as_json: JsonOption = False,
) -> None:
    """FROC, AFROC and weighted AFROC of marks.

    PREDICTIONS: a CSV with case, x, y, score (pixels), or a run folder. TRUTH: a CSV with a row per lesion (x, y and
    radius, or x, y, width, height) and a row with empty cells per case without lesions, or a datalist.

        case,x,y,score        case,x,y,radius,patient
        a,103,220,0.91        a,100,222,15,p1
        b,400,51,0.20         b,,,,p2

    Example: [bold]medpipe score froc marks.csv lesions.csv --criterion radius -o out[/bold]
    """
    from medpipe.errors import RequestError
    from medpipe.evaluation.localization import (
        evaluate_localization,
        predictions_from_run,
        predictions_from_table,
        write_matches,
    )
    from medpipe.evaluation.truth import truth_from_datalist, truth_from_table
    from medpipe.metrics.intervals import Bootstrap
    from medpipe.metrics.matching import HitRule

    if criterion == "mask_distance" and tolerance is None:
        tolerance = 0.0
    try:
        rule = HitRule(criterion, tolerance, unit)  # type: ignore[arg-type]
    except ValueError as error:
        raise RequestError(f"hit rule: {error}") from error
    missing = None
    if predictions.is_dir():
        predicted, missing = predictions_from_run(predictions)
    else:
        predicted = predictions_from_table(predictions)
    if truth.suffix == ".json":
        cases, head = truth_from_datalist(truth, section, minimum_lesion=minimum_lesion)
    else:
        cases, head = truth_from_table(truth), {"name": truth.name}
    results, audit = evaluate_localization(
        predicted, cases, rule, Bootstrap(n_resamples=bootstrap, seed=seed), missing=missing
    )
    results["data"] = {**head, "predictions": predictions.name}
    _write(output, results, as_json=as_json)
    write_matches(output / "matches.csv", audit)


def _write(output: Path, results: dict[str, Any], *, as_json: bool) -> None:
    from medpipe.io.folders import empty_folder
    from medpipe.predictions.results import write_results
    from medpipe.reports.page import write_report

    folder = empty_folder(output)
    write_results(folder / "results.json", results)
    page = write_report(folder)
    if as_json:
        show_json({"results": str(folder / "results.json"), "report": str(page), "headline": results["headline"]})
        return
    for estimate in results["headline"]:
        say(estimate["text"])
    say(f"Report: {page}")
