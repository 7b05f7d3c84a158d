"""medpipe score multilabel"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medpipe.cli.common import JsonOption, OutputOption
from medpipe.cli.score.common import (
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
    predictions: Annotated[Path, typer.Argument(help="CSV with case and a column of scores per class.")],
    truth: Annotated[Path, typer.Argument(help="CSV with case and the same classes: 0, 1, or empty where unknown.")],
    output: OutputOption,
    compare: CompareOption = None,
    bootstrap: ResamplesOption = 2000,
    seed: SeedOption = 0,
    level: LevelOption = 0.95,
    as_json: JsonOption = False,
) -> None:
    """Area under the ROC curve of several labels, and their mean.

    A class without a positive or without a negative case has no area; it is listed and left out of the mean.

        case,Effusion,Nodule            case,patient,Effusion,Nodule
        a,0.91,0.10                     a,p1,1,0
        b,0.20,0.85                     b,p2,0,

    A table may also be JSON: a list of objects with these names.

    Example: [bold]medpipe score multilabel scores.csv labels.csv -o out[/bold]
    """
    from medpipe.evaluation.multilabel import evaluate_multilabel, multilabel_from_tables
    from medpipe.io.folders import free_folder

    resampling = bootstrap_of(bootstrap, seed, level)
    names = distinct_names(predictions, compare) if compare else None
    folder = free_folder(output)

    def scored(path: Path) -> dict[str, Any]:
        return evaluate_multilabel(multilabel_from_tables(path, truth), resampling)

    with working("scoring"):
        results = scored(predictions)
        if compare and names:
            add_comparison(results, scored(compare), names, resampling)
    results["data"] = {"name": truth.name, "predictions": predictions.name}
    write(folder, results, as_json=as_json)
