"""Runs: each once, kept when done, told when failed, taken up again; with a runner that trains nothing."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time

import pytest

from medpipe.errors import InterruptedRunError, RequestError
from medpipe.reproduction.commands import Data
from medpipe.reproduction.folder import ReproductionFolder
from medpipe.reproduction.runs import Processes, do_runs, runs_done

AREAS = {"none": 0.7, "acm": 0.9}
FIRST = [("train", "modules-none/0"), ("evaluate", "modules-none/0")]


@pytest.fixture
def folder(tmp_path) -> ReproductionFolder:
    found = ReproductionFolder(tmp_path / "out", {"bundle": "x"})
    found.start()
    return found


@pytest.fixture
def go(request_of, folder, tmp_path):
    """Function that does the runs of the table modules: ``go(runner, seeds=1)`` -> outcomes."""

    def run(runner, seeds: int = 1, **more):
        request = request_of()
        runs = request.plan.runs(request.plan.chosen(["modules"]), request.base, seeds)
        return do_runs(runs, request, Data(tmp_path, tmp_path / "list.json"), folder, runner, **more)

    return run


def test_every_run_is_trained_and_evaluated_once(go, fake_runner) -> None:
    runner, seen = fake_runner(AREAS), []
    outcomes = go(runner, seeds=2, each=seen.append)
    places = ["modules-none/0", "modules-acm/0", "modules-none/1", "modules-acm/1"]
    assert runner.asked == [(mode, place) for place in places for mode in ("train", "evaluate")]
    assert [f"{one.run.name}/{one.run.seed}" for one in outcomes] == places
    assert [one.reason for one in outcomes] == [None] * 4
    assert [one.run for one in seen] == [one.run for one in outcomes]


def test_what_is_done_is_kept_and_more_seeds_are_added(go, fake_runner) -> None:
    go(fake_runner(AREAS))
    runner, seen = fake_runner(AREAS), []
    outcomes = go(runner, seeds=2, each=seen.append)
    assert {place for _, place in runner.asked} == {"modules-none/1", "modules-acm/1"}
    assert [one.seconds is None for one in outcomes] == [True, True, False, False]
    assert len(seen) == 2


def test_a_failed_run_is_told_the_others_go_on_and_it_is_tried_again(go, fake_runner) -> None:
    outcomes = go(fake_runner(AREAS, {("train", "context=none"): 2}))
    assert outcomes[0].reason == "train ended with code 2: error: the disk is made of cheese"
    assert "$ " in outcomes[0].log.read_text()
    assert outcomes[1].reason is None
    again = fake_runner(AREAS)
    assert [one.reason for one in go(again)] == [None, None]
    assert again.asked == FIRST


def test_an_evaluation_in_which_some_cases_failed_counts(go, fake_runner, folder) -> None:
    runner = fake_runner(AREAS)
    results = []

    def some_failed(words, log):
        code = runner(words, log)
        results.append(words)
        return 3 if words[3] == "evaluate" else code

    some_failed.stop = runner.stop
    assert [one.reason for one in go(some_failed)] == [None, None]


def test_a_run_without_its_note_is_done_again_from_what_it_left(go, fake_runner, folder) -> None:
    go(fake_runner(AREAS))
    (folder.path / "runs" / "modules-none" / "0" / "run.json").unlink()  # killed before the note was written
    runner = fake_runner(AREAS)
    go(runner)
    assert runner.asked == FIRST


def test_an_interrupted_command_stops_all_and_keeps_what_is_done(go, fake_runner, folder) -> None:
    runner = fake_runner(AREAS, {("evaluate", "context=acm"): 130})
    with pytest.raises(InterruptedRunError, match="modules-acm, seed 0: error: the disk is made of cheese"):
        go(runner, seeds=2)
    assert runner.stopped
    assert (folder.path / "runs" / "modules-none" / "0" / "run.json").is_file()
    assert not (folder.path / "runs" / "modules-acm" / "0" / "run.json").exists()


def test_a_run_of_other_options_is_refused_before_any_is_begun(go, fake_runner, folder) -> None:
    go(fake_runner(AREAS))
    note = folder.path / "runs" / "modules-acm" / "0" / "run.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "options": {"context": "se"}}))
    runner = fake_runner(AREAS)
    with pytest.raises(RequestError, match=r"modules-acm was changed in the bundle's reproduce\.yaml"):
        go(runner, seeds=2)
    assert runner.commands == []


def test_runs_of_several_jobs_end_alike(go, fake_runner, folder, request_of) -> None:
    outcomes = go(fake_runner(AREAS), seeds=2, jobs=3)
    assert [one.run.seed for one in outcomes] == [0, 0, 1, 1]
    assert len(runs_done([one.run for one in outcomes], folder)) == 4


def test_a_command_that_outlived_its_reproduction_is_waited_for(go, fake_runner, folder) -> None:
    import filelock

    place = folder.path / "runs" / "modules-none" / "0" / "train"
    place.mkdir(parents=True)
    lock = filelock.FileLock(place / ".lock", thread_local=False)
    lock.acquire()
    threading.Timer(0.5, lock.release).start()
    began = time.monotonic()
    go(fake_runner(AREAS))
    assert time.monotonic() - began > 0.4


def test_another_reproduction_in_the_folder_is_refused(folder) -> None:
    with pytest.raises(RequestError, match="holds another reproduction: bundle was 'x' and is 'y'"):
        ReproductionFolder(folder.path, {"bundle": "y"}).check()
    ReproductionFolder(folder.path, {"bundle": "x"}).check()


def test_a_folder_that_holds_something_else_is_refused(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(RequestError, match="is not empty"):
        ReproductionFolder(tmp_path, {}).check()


def test_a_process_gets_the_threads_and_its_words_go_to_the_log(tmp_path) -> None:
    code = "import os; print('threads', os.environ['OMP_NUM_THREADS']); raise SystemExit(5)"
    assert Processes(3)([sys.executable, "-c", code], tmp_path / "log") == 5
    assert (tmp_path / "log").read_text() == "threads 3\n"


def test_stopping_ends_a_process_and_begins_none(tmp_path) -> None:
    runner = Processes(1)
    code = "import time; print('on', flush=True); time.sleep(60)"
    found = []
    thread = threading.Thread(target=lambda: found.append(runner([sys.executable, "-c", code], tmp_path / "log")))
    thread.start()
    while not (tmp_path / "log").is_file() or not (tmp_path / "log").read_text():
        time.sleep(0.05)
    runner.stop()
    thread.join(timeout=10)
    assert found == [-signal.SIGTERM]
    assert runner([sys.executable, "-c", "print(1)"], tmp_path / "other") == 130


def test_the_note_says_how_the_run_was_made(go, fake_runner, folder) -> None:
    go(fake_runner(AREAS))
    note = json.loads((folder.path / "runs" / "modules-acm" / "0" / "run.json").read_text())
    assert (note["options"], note["seed"]) == ({"context": "acm"}, 0)
    assert note["commands"]["train"][:3] == ["-m", "medpipe", "train"]
    assert os.path.isabs(sys.executable)
