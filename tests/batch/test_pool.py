"""Decoding processes that die, hang and take too much, and what becomes of their cases and their neighbours."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import faulty_loads
import pytest

from medpipe.batch.pool import DecodingPool


def run(images: list[str | None], workers: int = 2, time_limit: float = 20, memory_limit: float = 1, retries: int = 1):
    cases = [
        image and {"case": str(n), "status": "pending", "reason": "", "image": image} for n, image in enumerate(images)
    ]
    pool = DecodingPool(
        faulty_loads.load, workers=workers, time_limit=time_limit, memory_limit=memory_limit, retries=retries
    )
    results = list(pool.run(cases))
    assert len({case["case"] for case in results}) == len(results)
    return {case["case"]: case for case in results}


def test_every_case_comes_out_once_with_its_arrays() -> None:
    results = run(["fine"] * 20)
    assert sorted(results, key=int) == [str(n) for n in range(20)]
    assert all((case["array"] == len(name)).all() and case["attempts"] == 1 for name, case in results.items())


def test_nothing_to_do_starts_no_process() -> None:
    before = multiprocessing.active_children()
    assert run([]) == {}
    assert multiprocessing.active_children() == before


def test_a_source_may_have_nothing_at_present() -> None:
    assert sorted(run(["fine", None, "fine", None, None, "fine"])) == ["0", "2", "5"]


def test_a_case_that_is_none_passes_without_a_process() -> None:
    skipped = {"case": "a", "status": "skipped", "reason": "no image", "image": "kill:9"}
    pool = DecodingPool(faulty_loads.load, workers=1, time_limit=9, memory_limit=1, retries=0)
    assert list(pool.run([skipped])) == [{**skipped, "seconds": {}, "attempts": 1}]


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("segfault", "the process that decoded it died of SIGSEGV"),
        (f"kill:{signal.SIGKILL.value}", "the process that decoded it died of SIGKILL"),
        (f"kill:{signal.SIGABRT.value}", "the process that decoded it died of SIGABRT"),
        ("exit:7", "the process that decoded it ended with code 7"),
        ("raise:odd", "processing failed in act: ValueError: odd"),
    ],
)
def test_a_process_that_dies_costs_its_case_alone(image, reason) -> None:
    results = run(["fine", image, "fine", "fine"])
    assert [results[name]["status"] for name in "0123"] == ["pending", "failed", "pending", "pending"]
    assert results["1"]["reason"] == reason
    assert results["1"]["attempts"] == (1 if image.startswith("raise") else 2)


def test_a_case_whose_process_was_killed_once_is_done_at_the_second_attempt(tmp_path) -> None:
    results = run(["fine", f"once:{tmp_path / 'mark'}", "fine"])
    assert {case["status"] for case in results.values()} == {"pending"}
    assert results["1"]["attempts"] == 2


def test_a_fault_of_the_disk_that_passes_is_tried_again(tmp_path) -> None:
    results = run([f"io-once:{tmp_path / 'mark'}"])
    assert (results["0"]["status"], results["0"]["attempts"]) == ("pending", 2)


def test_a_process_that_hangs_is_killed_and_the_others_go_on() -> None:
    start = time.monotonic()
    results = run(["hang", *["fine"] * 6], time_limit=0.6, retries=0)
    assert results["0"]["reason"] == "took longer than the 0.6 s that one case may take (time_limit)"
    assert [results[str(n)]["status"] for n in range(1, 7)] == ["pending"] * 6
    assert time.monotonic() - start < 15


def test_a_case_that_takes_too_much_memory_fails_and_the_others_go_on() -> None:
    results = run(["memory:0.9", "fine"], memory_limit=0.4)
    assert results["0"]["reason"] == "needs more memory than one case may take (memory_limit)"
    assert results["0"]["attempts"] == 1
    assert results["1"]["status"] == "pending"
    assert run(["memory:0.1"], memory_limit=0.4)["0"]["status"] == "pending"


def test_what_cannot_be_sent_to_a_process_raises_instead_of_hanging() -> None:
    pool = DecodingPool(lambda case: case, workers=1, time_limit=9, memory_limit=1, retries=0)
    with pytest.raises(Exception, match="pickle"):
        list(pool.run([{"case": "a", "status": "pending", "reason": "", "image": ""}]))


def test_an_error_of_the_source_reaches_the_consumer() -> None:
    def source():
        yield {"case": "a", "status": "pending", "reason": "", "image": "fine"}
        raise KeyError("gone")

    pool = DecodingPool(faulty_loads.load, workers=1, time_limit=9, memory_limit=1, retries=0)
    with pytest.raises(KeyError, match="gone"):
        list(pool.run(source()))


def test_processes_end_with_a_consumer_that_stops_early() -> None:
    cases = ({"case": str(n), "status": "pending", "reason": "", "image": "pid"} for n in range(100))
    pool = DecodingPool(faulty_loads.load, workers=2, time_limit=9, memory_limit=1, retries=0)
    results = pool.run(cases)
    pids = {next(results)["pid"] for _ in range(4)}
    results.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not [child for child in multiprocessing.active_children() if child.pid in pids]
    assert os.getpid() not in pids
