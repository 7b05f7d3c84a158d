"""medpipe score mrmc"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medpipe.cli.common import JsonOption, OutputOption
from medpipe.cli.score.common import LevelOption, SeedOption, bootstrap_of, working, write


def run(
    study: Annotated[Path, typer.Argument(help="Excel workbook, froc-json/1 file, or CSV of ratings.")],
    output: OutputOption,
    truth: Annotated[Path | None, typer.Argument(help="CSV of the truth, for a CSV of ratings.")] = None,
    fom: Annotated[
        list[str] | None,
        typer.Option("--fom", help="Figure of merit; may be given again. Without it: all that fit the data."),
    ] = None,
    covariance: Annotated[str, typer.Option(help="jackknife, delong (Wilcoxon, HrAuc) or bootstrap.")] = "jackknife",
    holm: Annotated[bool, typer.Option("--holm", help="Add p values adjusted by Holm's method.")] = False,
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=0, help="Resamples of cases, and of cases and readers; 0 for none.")
    ] = 0,
    seed: SeedOption = 0,
    level: LevelOption = 0.95,
    effect: Annotated[
        float, typer.Option("--effect", help="Difference for which a future study's size is planned.")
    ] = 0.05,
    save_study: Annotated[
        Path | None,
        typer.Option("--save-study", help="Also write the study as .xlsx (RJafroc) or .json (froc-json/1)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Reader study (MRMC): Obuchowski-Rockette and Dorfman-Berbaum-Metz, every figure of merit.

    STUDY: the RJafroc/JAFROC Excel workbook (sheets TRUTH, NL, LL), a froc-json/1 file, or two CSV
    tables. Every reader has read every case in every modality. Marks (FROC), an empty lesion being a
    false positive; a case without marks has no row:

        ratings.csv                           truth.csv
        modality,reader,case,lesion,rating    case,lesion,weight
        CT,r1,a,1,4                           a,1,1.0
        CT,r1,b,,2                            b,,

    or one rating per case (ROC):

        modality,reader,case,rating           case,label
        CT,r1,a,4                             a,1
        CT,r1,b,2                             b,0

    A table may also be JSON: a list of objects with these names.

    Examples:

    [bold]medpipe score mrmc study.xlsx -o out[/bold]

    [bold]medpipe score mrmc ratings.csv truth.csv --fom wAFROC --holm -o out[/bold]
    """
    from medpipe.evaluation.formats import read_reader_study, write_reader_study
    from medpipe.evaluation.mrmc import evaluate_reader_study
    from medpipe.io.folders import free_folder

    resampling = bootstrap_of(bootstrap or 2000, seed, level)
    folder = free_folder(output)
    readings = read_reader_study(study, truth)
    with working("analysing"):
        results = evaluate_reader_study(
            readings,
            resampling,
            fom,
            covariance=covariance,  # type: ignore[arg-type]
            holm=holm,
            resample=bootstrap > 0,
            effect=effect,
        )
    results["data"] = {"name": study.name, "predictions": study.name}
    write(folder, results, as_json=as_json)
    if save_study is not None:
        write_reader_study(save_study, readings)
