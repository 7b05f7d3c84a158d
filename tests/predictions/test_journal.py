from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from medpipe.errors import RequestError
from medpipe.predictions.journal import CaseResult, FoundCase, Journal


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


def found(name: str, stamp: str = "1:2") -> FoundCase:
    return FoundCase({"case": name, "file": f"{name}.dcm"}, stamp)


def test_a_case_is_pending_until_it_has_a_result(tmp_path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    journal.register([found("b"), found("a")])
    assert journal.names() == set()
    assert list(journal.results()) == []
    journal.record(CaseResult("b", "done", input_sha256="abc"))
    assert journal.names() == {"b"}
    assert [(item.case["case"], item.status, item.input_sha256) for item in journal.found()] == [
        ("b", "done", "abc"),
        ("a", "pending", ""),
    ]


def test_a_case_that_is_registered_again_loses_its_result_but_not_its_attempts(tmp_path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    journal.register([found("a")])
    journal.record(CaseResult("a", "failed", "why", {"x": 1}, 0.5, [{"y": 1}], {"read": 1.0}, 3, "abc", {"f": {}}))
    journal.register([found("a", "3:4")])
    assert [item.stamp for item in journal.found()] == ["3:4"]
    journal.record(CaseResult("a", "done"))
    assert list(journal.results()) == [CaseResult("a", "done", attempts=4)]


def test_several_results_are_written_in_one_commit_or_not_at_all(tmp_path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    with pytest.raises(sqlite3.IntegrityError):
        journal.record(CaseResult("a", "done"), CaseResult("b", "unheard of"))
    assert journal.names() == set()


def test_a_second_process_cannot_open_it(tmp_path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    with pytest.raises(RequestError, match="locked"):
        Journal(tmp_path / "journal.sqlite")
    journal.close()
    Journal(tmp_path / "journal.sqlite")


def test_a_journal_of_another_version_is_refused(tmp_path) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as db:
        db.execute("CREATE TABLE cases (name TEXT)")
    with pytest.raises(RequestError, match="another version of medpipe"):
        Journal(tmp_path / "journal.sqlite")


def test_threads_may_write_at_the_same_time(tmp_path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    with ThreadPoolExecutor(8) as threads:
        for number in range(400):
            threads.submit(journal.record, CaseResult(f"{number:03d}", "done"))
    assert len(journal.names()) == 400
