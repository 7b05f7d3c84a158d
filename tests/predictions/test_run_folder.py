from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from medpipe.errors import RequestError
from medpipe.io.privacy import PatientWords
from medpipe.predictions.journal import CaseResult, FoundCase
from medpipe.predictions.run_folder import RunFolder, read_run, sha256_of_file
from medpipe.predictions.tables import read_table


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(b"weights")
    return path


def folder(tmp_path, weights, **changes) -> RunFolder:
    options = {"bundle": "b", "weights": weights, "inputs": ["in"], "options": {"size": 3}}
    return RunFolder(tmp_path / "out", **{**options, **changes})


def test_nothing_is_written_before_the_start(tmp_path, weights) -> None:
    run = folder(tmp_path, weights)
    assert not (tmp_path / "out").exists()
    run.start()
    assert (tmp_path / "out" / "run.json").is_file()


def test_a_finished_run_has_its_tables_and_counts(tmp_path, weights) -> None:
    run = folder(tmp_path, weights)
    run.start()
    for case, status in (("a", "done"), ("b", "failed"), ("c", "skipped"), ("d", "done")):
        run.record(CaseResult(case, status))
    assert run.finish() == {"done": 2, "skipped": 1, "failed": 1}
    content = read_run(tmp_path / "out")
    assert content["cases"] == {"done": 2, "skipped": 1, "failed": 1}
    assert content["finished"] is not None
    assert content["identity"]["weights_sha256"] == sha256_of_file(weights)
    assert (tmp_path / "out" / "cases.csv").read_text().count("\n") == 5


def test_an_interrupted_run_is_taken_up_where_it_stopped(tmp_path, weights) -> None:
    first = folder(tmp_path, weights)
    first.start()
    first.record(CaseResult("a", "done", score=0.5))
    first.close()  # what the end of a process does
    second = folder(tmp_path, weights)
    second.start()
    assert second.journal.names() == {"a"}
    second.record(CaseResult("b", "done", score=0.25))
    assert second.finish()["done"] == 2


@pytest.mark.parametrize("change", [{"bundle": "other"}, {"inputs": ["elsewhere"]}, {"options": {"size": 4}}])
def test_a_folder_of_another_run_is_refused_and_says_what_differs(tmp_path, weights, change) -> None:
    folder(tmp_path, weights).start()
    with pytest.raises(RequestError, match=f"other {next(iter(change))}"):
        folder(tmp_path, weights, **change)


def test_a_run_stopped_before_it_began_can_begin(tmp_path, weights) -> None:
    (tmp_path / "out" / "cases").mkdir(parents=True)
    (tmp_path / "out" / ".lock").write_text("")
    folder(tmp_path, weights).start()
    assert (tmp_path / "out" / "run.json").is_file()


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "", ".."])
def test_a_case_folder_is_never_outside(tmp_path, weights, name) -> None:
    with pytest.raises(ValueError, match="cannot name a folder"):
        folder(tmp_path, weights).case_folder(name)


def test_other_weights_make_another_run(tmp_path, weights) -> None:
    folder(tmp_path, weights).start()
    weights.write_bytes(b"others")
    with pytest.raises(RequestError, match="other weights_sha256"):
        folder(tmp_path, weights)


def test_a_folder_with_other_files_and_a_file_are_refused(tmp_path, weights) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("precious")
    with pytest.raises(RequestError, match="not empty and holds no run"):
        folder(tmp_path, weights)
    assert (tmp_path / "out" / "mine.txt").read_text() == "precious"
    (tmp_path / "file").write_text("x")
    with pytest.raises(RequestError, match="is a file"):
        RunFolder(tmp_path / "file", bundle="b")


def test_two_runs_on_one_folder_do_not_mix(tmp_path, weights) -> None:
    first, second = folder(tmp_path, weights), folder(tmp_path, weights)
    first.start()
    with pytest.raises(RequestError, match="in use by another run"):
        second.start()


def test_a_foreign_run_json_is_named(tmp_path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"format": "else"}))
    with pytest.raises(RequestError, match="format 'else'"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RequestError, match="unreadable"):
        read_run(tmp_path)


def test_files_are_recorded_with_their_hashes_and_a_case_that_fails_keeps_none(tmp_path, weights) -> None:
    run = folder(tmp_path, weights)
    run.start()
    for case, status in (("a", "done"), ("b", "failed")):
        (run.case_folder(case) / "marks.png").write_bytes(b"picture")
        run.record(CaseResult(case, status))
    (first, second) = run.journal.results()
    digest = sha256_of_file(tmp_path / "out/cases/a/marks.png")
    assert first.outputs == {"cases/a/marks.png": {"bytes": 7, "sha256": digest}}
    assert second.outputs == {}
    assert not (tmp_path / "out/cases/b").exists()


def test_a_done_case_whose_file_is_gone_or_cut_is_pending_again(tmp_path, weights) -> None:
    run = folder(tmp_path, weights)
    run.start()
    for case in "abc":
        run.journal.register([FoundCase({"case": case, "file": case}, "")])
        (run.case_folder(case) / "marks.png").write_bytes(b"picture")
        run.record(CaseResult(case, "done"))
    run.close()
    (tmp_path / "out/cases/a/marks.png").unlink()
    (tmp_path / "out/cases/b/marks.png").write_bytes(b"pict")
    run = folder(tmp_path, weights)
    run.start()
    assert run.journal.names() == {"c"}
    assert [path.name for path in (tmp_path / "out/cases").iterdir()] == ["c"]


def test_a_start_removes_what_a_killed_run_left_half_done(tmp_path, weights) -> None:
    first = folder(tmp_path, weights)
    first.start()
    first.close()
    for name in (".cases.csv.x.part", "report/.index.html.x.part", "cases/a/.marks.png.x.part", "cases/a/marks.png"):
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text("half")
    folder(tmp_path, weights).start()
    left = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*")}
    assert left - {"journal.sqlite-wal"} == {".lock", "cases", "journal.sqlite", "report", "run.json"}


def test_a_folder_of_results_without_a_run_is_never_emptied(tmp_path, weights) -> None:
    (tmp_path / "out/cases/mine").mkdir(parents=True)
    with pytest.raises(RequestError, match="not empty and holds no run"):
        folder(tmp_path, weights)


def test_a_run_stopped_while_it_wrote_run_json_can_begin(tmp_path, weights) -> None:
    (tmp_path / "out/cases").mkdir(parents=True)
    (tmp_path / "out/.run.json.abc.part").write_text("{")
    folder(tmp_path, weights).start()
    assert read_run(tmp_path / "out")["finished"] is None


def test_cases_that_were_not_reached_stand_in_the_table_as_skipped(tmp_path, weights) -> None:
    run = folder(tmp_path, weights)
    run.start()
    run.journal.register([FoundCase({"case": name, "file": f"{name}.png"}, "") for name in "ab"])
    run.record(CaseResult("a", "done", facts={"file": "a.png"}))
    assert run.finish() == {"done": 1, "skipped": 1, "failed": 0}
    content = read_run(tmp_path / "out")
    assert (content["finished"], content["cases"]["not reached"]) == (None, 1)
    rows = read_table(tmp_path / "out/cases.csv", ["file", "status", "reason"])
    assert [(row["file"], row["status"], row["reason"][:11]) for row in rows] == [
        ("a.png", "done", ""),
        ("b.png", "skipped", "not reached"),
    ]


def test_files_that_came_from_elsewhere_are_written_and_recorded(tmp_path, weights) -> None:
    run = folder(tmp_path, weights)
    run.start()
    run.record_with_files(CaseResult("a", "done"), {"marks.png": b"picture"})
    assert (tmp_path / "out/cases/a/marks.png").read_bytes() == b"picture"
    assert next(run.journal.results()).outputs["cases/a/marks.png"]["bytes"] == 7
    for name in ("../x", "/x", "b/x"):
        with pytest.raises(ValueError, match="does not lie in the folder"):
            run.record_with_files(CaseResult("b", "done"), {name: b""})


def test_a_question_that_came_from_elsewhere_names_no_patient(tmp_path, weights) -> None:
    privacy = PatientWords()
    privacy.add({"Canary", "Name"})
    run = RunFolder(tmp_path / "out", bundle="b", weights=weights, privacy=privacy)
    run.start()
    words = ["has", "canary", "a", "mass"]
    content = {"words": words, "known": [True] * 4, "weights": [0.25] * 4, "places": None}
    result = CaseResult("a", "done", facts={"question": "Has Canary a mass?"})
    run.record_with_files(result, {"attention.json": json.dumps(content).encode()})
    written = json.loads((tmp_path / "out/cases/a/attention.json").read_text())
    assert written == {**content, "words": ["has", "***", "a", "mass"]}
    assert next(run.journal.results()).facts["question"] == "Has *** a mass?"


def test_options_may_be_dataclasses_and_nothing_opaque(tmp_path, weights) -> None:
    @dataclass
    class Rules:
        sides: tuple[int, int]

    assert folder(tmp_path, weights, options={"rules": Rules((1, 2))}).identity["options"] == {
        "rules": {"sides": [1, 2]}
    }
    with pytest.raises(TypeError, match="plain value, got object"):
        folder(tmp_path, weights, options={"x": object()})
