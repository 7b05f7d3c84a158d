"""Files that arrive while a folder is watched."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from PIL import Image

from medpipe.batch.watch import FolderWatch
from medpipe.io.cases import find_radiographs
from medpipe.predictions.journal import CaseResult
from medpipe.predictions.run_folder import RunFolder


@pytest.fixture
def inputs(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def folder(tmp_path, inputs):
    run = RunFolder(inputs / "out", bundle="b", inputs=inputs)  # inside what is watched, as it may be
    run.start()
    yield run
    run.close()


def picture(path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (70, 70), np.uint8)).save(path)


def watch(folder: RunFolder, inputs, script=lambda: None, **options) -> list[tuple[str, str]]:
    """Run a watch while ``script`` changes the folder; every case is recorded as it comes."""
    watched = FolderWatch(lambda: find_radiographs(inputs), folder, **{"settle": 0.2, "idle": 1.2, **options})
    actor = threading.Thread(target=script)
    actor.start()
    given = []
    for case in watched:
        if case is None:
            time.sleep(0.02)
            continue
        given.append((case["file"], case["status"]))
        folder.record(CaseResult(case["case"], "done" if case["status"] == "pending" else case["status"]))
    actor.join()
    return given


def test_what_is_there_and_what_arrives_is_given_once(inputs, folder) -> None:
    picture(inputs / "a.png")

    def script() -> None:
        time.sleep(0.5)
        picture(inputs / "new/b.png", 1)
        (inputs / "note.txt").write_text("x")

    given = watch(folder, inputs, script)
    assert sorted(given) == [("a.png", "pending"), ("new/b.png", "pending"), ("note.txt", "skipped")]
    assert folder.finish() == {"done": 2, "skipped": 1, "failed": 0}


def test_a_folder_is_taken_when_nothing_in_it_changes_any_more(inputs, folder) -> None:
    def script() -> None:
        for number in range(6):
            picture(inputs / f"series/{number}.png", number)
            time.sleep(0.25)

    start = time.monotonic()
    watched = FolderWatch(lambda: find_radiographs(inputs), folder, settle=0.6, idle=2)
    actor = threading.Thread(target=script)
    actor.start()
    moments = [time.monotonic() - start for case in watched if case is not None or time.sleep(0.02)]
    actor.join()
    assert len(moments) == 6
    assert min(moments) > 6 * 0.25  # none before the last had come


def test_a_file_that_is_open_for_writing_or_has_a_temporary_name_waits(inputs, folder) -> None:
    def script() -> None:
        picture(inputs / "whole.png")
        content = (inputs / "whole.png").read_bytes()
        (inputs / "copy.png.part").write_bytes(content)
        with (inputs / "open.png").open("wb") as stream:
            stream.write(content[:100])
            stream.flush()
            time.sleep(0.8)
            stream.write(content[100:])
        (inputs / "copy.png.part").rename(inputs / "copy.png")

    given = watch(folder, inputs, script, idle=2)
    assert sorted(given) == [("copy.png", "pending"), ("open.png", "pending"), ("whole.png", "pending")]


def test_what_never_becomes_complete_is_taken_at_the_end(inputs, folder) -> None:
    picture(inputs / "a.png")
    (inputs / "b.png.part").write_bytes((inputs / "a.png").read_bytes()[:500])
    (inputs / ".hidden").write_text("x")
    given = dict(watch(folder, inputs))
    assert given == {"a.png": "pending", "b.png.part": "pending", ".hidden": "skipped"}
    assert sum(folder.finish().values()) == 3


def test_a_file_that_changes_after_it_was_done_is_done_again(inputs, folder) -> None:
    picture(inputs / "a.png", 0)

    def script() -> None:
        time.sleep(0.8)
        picture(inputs / "a.png", 1)

    assert watch(folder, inputs, script) == [("a.png", "pending")] * 2


def test_a_watch_that_is_stopped_leaves_the_run_unfinished_and_is_taken_up(inputs, folder) -> None:
    for number in range(3):
        picture(inputs / f"{number}.png", number)
    watched = FolderWatch(lambda: find_radiographs(inputs), folder, settle=0)
    cases = (case for case in watched if case is not None)
    folder.record(CaseResult(next(cases)["case"], "done"))
    watched.stop()
    assert list(cases) == []
    assert folder.finish() == {"done": 1, "skipped": 2, "failed": 0}
    again = RunFolder(inputs / "out", bundle="b", inputs=inputs)
    again.start()
    assert [name for name, _ in watch(again, inputs)] == ["1.png", "2.png"]
    assert again.finish() == {"done": 3, "skipped": 0, "failed": 0}


def test_an_empty_folder_is_watched_until_it_has_been_idle_for_long_enough(inputs, folder) -> None:
    assert watch(folder, inputs, idle=0.3) == []


def test_a_limit_ends_the_watch(inputs, folder) -> None:
    for number in range(4):
        picture(inputs / f"{number}.png", number)
    assert len(watch(folder, inputs, limit=2)) == 2


@pytest.mark.parametrize("options", [{"settle": -1}, {"idle": 0}])
def test_wrong_times_are_refused(folder, options) -> None:
    with pytest.raises(ValueError, match="expected, got"):
        FolderWatch(list, folder, **options)
