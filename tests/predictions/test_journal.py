from __future__ import annotations

import pytest

from medpipe.errors import RequestError
from medpipe.predictions.journal import CaseResult, Journal


def test_results_come_back_as_they_were_in_the_order_of_names(tmp_path) -> None:
    results = [
        CaseResult(
            "b", "done", "", {"view": "PA"}, 0.1 + 0.2, [{"label": "x", "score": 1 / 3, "x": 2.0}], {"read": 0.5}
        ),
        CaseResult("a", "failed", "cut short", {"view": ""}),
    ]
    journal = Journal(tmp_path / "journal.sqlite")
    for result in results:
        journal.record(result)
    journal.close()
    again = Journal(tmp_path / "journal.sqlite")
    assert list(again.results()) == [results[1], results[0]]
    assert again.names() == {"a", "b"}


def test_a_second_result_of_a_case_replaces_the_first(tmp_path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    journal.record(CaseResult("a", "failed", "once"))
    journal.record(CaseResult("a", "done"))
    assert [result.status for result in journal.results()] == ["done"]


def test_a_damaged_journal_says_what_to_do(tmp_path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"no database, only words" * 100)
    with pytest.raises(RequestError, match="choose another output folder"):
        Journal(tmp_path / "journal.sqlite")
