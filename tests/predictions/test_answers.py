"""answers.csv of a run."""

from __future__ import annotations

from medpipe.predictions.answers import write_answers
from medpipe.predictions.journal import CaseResult
from medpipe.predictions.run_folder import RunFolder


def test_the_table_has_what_was_answered_and_refused_and_nothing_else(tmp_path) -> None:
    run = RunFolder(tmp_path / "run", bundle="b")
    run.start()
    facts = {"file": "a.png", "question": "Is it, or not?"}
    run.record(CaseResult("b", "skipped", "not understood", {**facts, "refused": True}))
    run.record(CaseResult("a", "done", "", {**facts, "answers": [["yes", 0.5], ["no", 0.25]]}, 0.5))
    run.record(CaseResult("c", "failed", "damaged", facts))
    run.record(CaseResult("d", "skipped", "no image", facts))
    write_answers(run)
    run.close()
    assert (tmp_path / "run" / "answers.csv").read_text().splitlines() == [
        "case,file,question,answer,probability,answer_2,probability_2,answer_3,probability_3,"
        "answer_4,probability_4,answer_5,probability_5,reason",
        'a,a.png,"Is it, or not?",yes,0.5,no,0.25,,,,,,,',
        'b,a.png,"Is it, or not?",,,,,,,,,,,not understood',
    ]
