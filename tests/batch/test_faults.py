"""Runs that are killed, starved of disk, disturbed and doubled: what is left must be that of a run that was not."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import resource
import signal
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest

from medpipe.cli.main import invoke
from medpipe.predictions.tables import read_table

SCRIPT = Path(__file__).parents[2] / "scripts" / "fault_campaign.py"
SMALL = ["image_size=64", "picture_size=96"]


@pytest.fixture(scope="module")
def campaign():
    if not SCRIPT.is_file():
        pytest.skip("scripts/ is not here")
    spec = importlib.util.spec_from_file_location("fault_campaign", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.import_all()
    return module


@pytest.fixture(scope="module")
def study(campaign, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("faults")
    campaign.write_study(folder / "study", 12, seed=5)
    assert infer(folder / "study", folder / "whole") == 3
    return folder


def infer(study: Path, out: Path, *more: str) -> int:
    return invoke(["infer", "cxr_pneumothorax_acm", str(study), *SMALL, "-o", str(out), "--workers", "0", *more])


def assert_whole(campaign, study: Path, out: Path) -> None:
    found, expected = campaign.content(out), campaign.content(study / "whole")
    for files in (found, expected):  # they name the command, which is not the same
        files.pop("run.json"), files.pop("report/index.html")
    assert found == expected
    assert campaign.rows(out) == campaign.rows(study / "whole")


def test_a_run_killed_at_twenty_instants_ends_as_one_that_was_not(campaign, tmp_path) -> None:
    report = campaign.campaign(tmp_path, kills=20, cases=12, seed=1, workers=2)
    assert report["kills"] == 20
    assert report["wrong"] == []


@pytest.mark.parametrize("command", ["convert", "deidentify"])
def test_other_commands_killed_at_instants_end_as_ones_that_were_not(campaign, tmp_path, command) -> None:
    report = campaign.campaign(tmp_path, kills=8, cases=30, seed=3, workers=1, command=command)
    assert report["kills"] == 8
    assert report["wrong"] == []


def test_decoding_processes_that_are_killed_are_replaced(campaign, tmp_path) -> None:
    report = campaign.campaign(tmp_path, kills=6, cases=12, seed=2, workers=2, of_decoders=True)
    assert report["wrong"] == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_disk_that_fails_interrupts_a_run_that_then_goes_on(
    campaign, study, tmp_path, monkeypatch, capsys, number, call
) -> None:
    real, calls = getattr(os, call), []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) > 5:
            raise OSError(number, os.strerror(number))
        return real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(os, call, failing)
        assert infer(study / "study", tmp_path / "out") == 130
    error = capsys.readouterr().err
    assert "results cannot be written" in error
    assert os.strerror(number) in error
    assert "run the same command again" in error
    assert infer(study / "study", tmp_path / "out") == 3
    assert_whole(campaign, study, tmp_path / "out")


def test_a_fault_of_the_output_disk_that_passes_is_not_noticed(campaign, study, tmp_path, monkeypatch) -> None:
    real, calls = os.fsync, []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) in (4, 9):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(*arguments)

    monkeypatch.setattr(os, "fsync", failing)
    assert infer(study / "study", tmp_path / "out") == 3
    assert_whole(campaign, study, tmp_path / "out")


def test_a_real_limit_on_file_size_interrupts_and_the_run_goes_on(campaign, study, tmp_path) -> None:
    def starved() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))  # less than the journal grows to
        return infer(study / "study", tmp_path / "out")

    assert campaign.exit_code(campaign.start(starved)) == 130
    assert infer(study / "study", tmp_path / "out") == 3
    assert_whole(campaign, study, tmp_path / "out")


def test_a_second_run_on_the_folder_says_that_it_is_in_use(campaign, study, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    task = campaign.infer(study / "study", out, 0)
    pids = [campaign.start(task) for _ in range(3)]
    codes = sorted(campaign.exit_code(pid) for pid in pids)
    assert codes == [2, 2, 3] or (
        codes.count(3) >= 1 and set(codes) <= {2, 3}
    )  # the winner may end before another starts
    assert_whole(campaign, study, out)
    with sqlite3.connect(out / "journal.sqlite") as db:
        assert db.execute("SELECT max(attempts), min(attempts) FROM cases").fetchone() == (1, 1)


def test_files_that_vanished_from_the_output_are_made_again(campaign, study, tmp_path) -> None:
    out = tmp_path / "out"
    assert infer(study / "study", out) == 3
    pictures = sorted(out.glob("cases/*/marks.png"))
    pictures[0].unlink()
    pictures[1].write_bytes(b"cut")
    (out / "cases" / "stranger").mkdir()
    (out / "cases" / "stranger" / "x").write_text("x")
    (out / ".cases.csv.abc.part").write_text("half")
    assert infer(study / "study", out) == 3
    assert_whole(campaign, study, out)


def test_sigterm_ends_a_watch_with_code_130_and_tables_and_the_run_can_be_resumed(campaign, study, tmp_path) -> None:
    out = tmp_path / "out"
    watch = ["infer", "cxr_pneumothorax_acm", "--watch", str(study / "study"), *SMALL, "watch_settle=0", "-o", str(out)]
    pid = campaign.start(lambda: invoke([*watch, "--workers", "2"]))
    wait_for(lambda: list(out.glob("cases/*/marks.png")))
    os.kill(pid, signal.SIGTERM)
    assert campaign.exit_code(pid) == 130
    assert json.loads((out / "run.json").read_text())["finished"] is None
    assert (out / "cases.csv").is_file()
    assert (out / "report" / "index.html").is_file()
    assert invoke([*watch, "--workers", "0", "--watch-idle", "0.3"]) == 3
    assert_whole(campaign, study, out)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_with_code_130_and_no_process_is_left(campaign, tmp_path, number) -> None:
    campaign.write_study(tmp_path / "study", 60, seed=6)
    pid = campaign.start(campaign.infer(tmp_path / "study", tmp_path / "out", 2))
    wait_for(lambda: list(tmp_path.glob("out/cases/*/marks.png")))
    os.kill(pid, number)
    assert campaign.exit_code(pid) == 130
    wait_for(lambda: not campaign.decoders())
    assert campaign.exit_code(campaign.start(campaign.infer(tmp_path / "study", tmp_path / "out", 2))) == 3
    with (tmp_path / "out/cases.csv").open() as stream:
        assert sum(1 for _ in stream) == 61


def test_files_of_gigabytes_fail_by_themselves_in_bounded_memory(campaign, write_dicom, ramp, tmp_path) -> None:
    write_dicom("in/fine.dcm", ramp)
    for name, frames in (("cine.dcm", 4), ("cine_of_2_gb.dcm", 14)):  # zeros, which take no room on the disk
        path = write_dicom(
            f"in/{name}", np.zeros((1, 64, 64), np.uint16), Rows=8660, Columns=8660, NumberOfFrames=frames
        )
        size = frames * 8660 * 8660 * 2
        head = path.read_bytes()[: -64 * 64 * 2 - 4]
        path.write_bytes(head + size.to_bytes(4, "little"))
        os.truncate(path, len(head) + 4 + size)

    def confined() -> int:
        """The run's own process may not take much either."""
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + 2**29
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        options = ["--workers", "1", "--memory-limit", "0.3", "rules.split_frames=true", *SMALL]
        return invoke(["infer", "cxr_pneumothorax_acm", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *options])

    assert campaign.exit_code(campaign.start(confined)) == 3
    rows = read_table(tmp_path / "out/cases.csv", ["file", "status", "reason"])
    reasons = {row["file"]: (row["status"], row["reason"]) for row in rows}
    assert reasons["fine.dcm"] == ("done", "")
    assert reasons["cine.dcm"] == ("failed", "needs more memory than one case may take (memory_limit)")
    assert reasons["cine_of_2_gb.dcm"][0] == "failed"
    assert "bytes is more than" in reasons["cine_of_2_gb.dcm"][1]


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
