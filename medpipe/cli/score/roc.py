"""medpipe score roc"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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


def run(
    predictions: Annotated[Path, typer.Argument(help="CSV of scores, or a run folder.")],
    truth: Annotated[Path, typer.Argument(help="CSV with case, label (0 or 1) and, where known, patient.")],
    output: OutputOption,
    threshold: Annotated[
        list[float] | None,
        typer.Option("--threshold", help="Threshold fixed before, shown as an operating point; may be given again."),
    ] = None,
    by: ByOption = None,
    compare: CompareOption = None,
    bootstrap: ResamplesOption = 2000,
    seed: SeedOption = 0,
    level: LevelOption = 0.95,
    as_json: JsonOption = False,
) -> None:
    """ROC and precision-recall curves, operating points and calibration of image scores.

    PREDICTIONS: a CSV with case and score, such as a run's cases.csv. Further columns of TRUTH can be split by.

        case,score            case,label,patient,sex,age
        a,0.91                a,1,p1,F,63
        b,0.20                b,0,p2,M,41

    A table may also be JSON: a list of objects with these names, [{"case": "a", "score": 0.91}, ...].

    Examples:

    [bold]medpipe score roc scores.csv labels.csv -o out[/bold]

    [bold]medpipe score roc new.csv labels.csv --compare old.csv --by sex --threshold 0.5 -o out[/bold]
    """
    from medpipe.evaluation.image_scores import evaluate_image_scores, scores_from_table
    from medpipe.evaluation.truth import labels_from_table
    from medpipe.io.folders import free_folder

    resampling = bootstrap_of(bootstrap, seed, level)
    names = distinct_names(predictions, compare) if compare else None
    folder = free_folder(output)
    labels = labels_from_table(truth)

    def scored(path: Path) -> dict[str, Any]:
        scores = scores_from_table(path / "cases.csv" if path.is_dir() else path)
        return evaluate_image_scores(scores, labels, resampling, thresholds=threshold or [], variables=by)

    with working("scoring"):
        results = scored(predictions)
        if compare and names:
            add_comparison(results, scored(compare), names, resampling)
    results["data"] = {"name": truth.name, "predictions": predictions.name}
    write(folder, results, as_json=as_json)
