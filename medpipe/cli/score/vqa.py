"""medpipe score vqa"""

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
    predictions: Annotated[Path, typer.Argument(help="CSV or JSON with case and answer.")],
    truth: Annotated[Path, typer.Argument(help="Datalist of questions, or a table with case and answer.")],
    output: OutputOption,
    section: Annotated[str, typer.Option(help="Part of a datalist that was answered.")] = "test",
    candidates: Annotated[
        Path | None,
        typer.Option("--candidates", help="Answers that the network can give (JSON), for their upper bound."),
    ] = None,
    compare: CompareOption = None,
    bootstrap: ResamplesOption = 2000,
    seed: SeedOption = 0,
    level: LevelOption = 0.95,
    as_json: JsonOption = False,
) -> None:
    """Accuracy of answers to questions about images: overall, closed and open, by type of question and organ.

    An answer is right when it equals the true one after normalising (case, articles, punctuation, number words). Where
    questions have phrase types, as in VQA-RAD, both conventions of the papers are given: A, the free-form questions alone,
    and B, all of them. Intervals resample images.

        case,answer          case,answer,image,answer_type,question_type,phrase_type
        17,left lung         17,Left lung,synpic1.jpg,open,POS,freeform
        18,yes               18,No,synpic1.jpg,closed,"PRES, SIZE",para

    Several annotators' answers are joined by "|"; ten of them are scored as in VQA 2.0. Where answers have a column
    calibrated or probability (that the answer is right), how far it comes true is given, too.

    Example: [bold]medpipe score vqa answers.csv rad/datalist.json -o out[/bold]
    """
    from medpipe.data.vqa_text import AnswerVocabulary
    from medpipe.evaluation.vqa import answered_questions, evaluate_vqa
    from medpipe.io.folders import free_folder

    resampling = bootstrap_of(bootstrap, seed, level)
    names = distinct_names(predictions, compare) if compare else None
    folder = free_folder(output)
    possible = AnswerVocabulary.load(candidates) if candidates else None

    def scored(path: Path) -> dict[str, Any]:
        data = answered_questions(path, truth, section)
        return {**evaluate_vqa(data, resampling, possible), "data": {**data.data, "predictions": path.name}}

    with working("scoring"):
        results = scored(predictions)
        if compare and names:
            add_comparison(results, scored(compare), names, resampling)
    write(folder, results, as_json=as_json)
