"""answers.csv: what a run answered.

One row per question that was answered or refused: case, file, question, answer (empty where it was refused), probability of
that candidate, calibrated (the probability that the answer is right, where the network is calibrated), then answer_2,
probability_2 and so on for the next most probable ones, and reason. Questions whose image could not be read
stand in cases.csv alone. ``medpipe score vqa`` takes the table.
"""

from __future__ import annotations

from typing import Any

from medpipe.predictions.journal import CaseResult
from medpipe.predictions.persistence import persistently
from medpipe.predictions.run_folder import RunFolder
from medpipe.predictions.tables import write_rows

__all__ = ["write_answers"]

_LEAST = 5


def write_answers(run_folder: RunFolder) -> None:
    """Write answers.csv; before the run folder is finished.

    Raises:
        InterruptedRunError: It cannot be written.
    """
    results = sorted(run_folder.journal.results(), key=lambda result: result.case)
    rows = [_row(result) for result in results if result.facts.get("answers") or result.facts.get("refused")]
    most = max([_LEAST, *(len(result.facts.get("answers") or []) for result in results)])
    ranks = [name for rank in range(2, most + 1) for name in (f"answer_{rank}", f"probability_{rank}")]
    calibrated = ["calibrated"] if any("calibrated" in result.facts for result in results) else []
    columns = ["case", "file", "question", "answer", "probability", *calibrated, *ranks, "reason"]
    persistently(lambda: write_rows(run_folder.path / "answers.csv", columns, rows))


def _row(result: CaseResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "case": result.case,
        "file": result.facts.get("file", ""),
        "question": result.facts.get("question", ""),
        "reason": result.reason,
        **{key: value for key, value in result.facts.items() if key == "calibrated"},
    }
    for rank, (answer, probability) in enumerate(result.facts.get("answers") or [], start=1):
        suffix = "" if rank == 1 else f"_{rank}"
        row |= {f"answer{suffix}": answer, f"probability{suffix}": probability}
    return row
