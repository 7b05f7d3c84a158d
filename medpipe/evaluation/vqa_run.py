"""How well a run of a bundle answered the questions of a datalist."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from medpipe.data.vqa_text import AnswerVocabulary
from medpipe.errors import InputDataError
from medpipe.evaluation.vqa import answered_questions, evaluate_vqa, most_frequent_answer
from medpipe.metrics.intervals import Bootstrap
from medpipe.predictions.answer_calibration import question_digest
from medpipe.predictions.results import write_results
from medpipe.predictions.tables import read_table

__all__ = ["score_vqa_run"]


def score_vqa_run(
    folder: str | Path,
    datalist: str | Path,
    section: str,
    candidates: AnswerVocabulary,
    bootstrap: int = 2000,
    seed: int = 0,
    fitted: Collection[str] = (),
) -> Path:
    """Score a run folder against a datalist of questions; writes results.json into it.

    A question that was refused counts as answered wrongly; one whose image could not be read has no result.

    Args:
        folder: A finished run on the questions of the datalist, with cases.csv and answers.csv.
        datalist: The truth.
        section: Which part of it was run.
        candidates: The answers that the network can give, for their upper bound.
        bootstrap: Number of resamples, of images.
        seed: Of the resamples.
        fitted: Digests of the questions that the calibration was fitted on; where some of them are scored, that is said.

    Returns:
        The path of results.json.

    Raises:
        InputDataError: The run answered no question of the section.
    """
    folder = Path(folder)
    data = answered_questions(folder / "answers.csv", Path(datalist), section)
    if not data.questions:
        raise InputDataError(f"run '{folder}' has no answers to questions in section '{section}' of '{datalist}'")
    constant = most_frequent_answer(Path(datalist))
    results = evaluate_vqa(data, Bootstrap(n_resamples=bootstrap, seed=seed), candidates, constant)
    rows = read_table(folder / "cases.csv", ["case", "status", "reason"])
    reasons = {row["case"]: f"{row['status']}: {row['reason']}" for row in rows}
    for row in results["cohort"]["without_result"]:
        row["reason"] = reasons.get(row["case"], "not among the cases of the run")
    again = sum(question_digest(question.case, question.question) in fitted for question in data.questions)
    if again and data.calibrated and "calibration" in results:
        results["calibration"]["reason"] = (
            f"the calibration was fitted on {again} of these {len(data.questions)} questions, so that these figures are too "
            "good; calibration.json beside the weights has those of curves that had not seen the image"
        )
    results["data"] = data.data
    write_results(folder / "results.json", results)
    return folder / "results.json"
