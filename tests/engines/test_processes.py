from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
from itertools import chain
from pathlib import Path

import ignite.distributed as idist
import numpy as np
import pytest
from torch import nn

from medpipe.engines.processes import data_loader, data_parallel, join_processes


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    program = [sys.executable, str(Path(__file__).with_name("two_processes.py")), str(folder), str(free_port())]
    run = subprocess.run(program, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return folder


@pytest.fixture(scope="module")
def alone(folder) -> dict:
    return json.loads((folder / "alone.json").read_text())


@pytest.fixture(scope="module")
def both(folder) -> list[dict]:
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_half_a_batch_each_gives_the_gradient_of_the_batch(alone, both) -> None:
    assert both[0]["gradient"] == both[1]["gradient"]
    for found, expected in zip(both[0]["gradient"], alone["gradient"], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert any(value for values in alone["gradient"] for value in values)


def test_the_auc_is_that_of_all_shares_though_they_are_not_equal(alone, both) -> None:
    assert both[0]["auc"] == both[1]["auc"] == alone["auc"]


def test_each_process_trains_on_its_share_of_an_order_that_changes_with_the_epoch(both) -> None:
    first, second = (found["training"] for found in both)
    for epoch in range(2):
        assert [len(batch) for batch in first[epoch]] == [len(batch) for batch in second[epoch]] == [2, 2, 2]
        assert not set(chain(*first[epoch])) & set(chain(*second[epoch]))
    assert first[0] != first[1]


def test_validation_takes_each_case_once(both) -> None:
    assert sorted(both[0]["validation"] + both[1]["validation"]) == list(range(5))


def test_batch_statistics_of_the_first_process_hold_for_all(both) -> None:
    assert both[0]["buffer"] == both[1]["buffer"] == [5.0, 5.0]


def test_the_first_process_writes_the_mean_loss_of_all(folder) -> None:
    with (folder / "epochs.csv").open(newline="") as stream:
        assert [row["loss"] for row in csv.DictReader(stream)] == ["0.5"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("odd batch", "batch_size=3 cannot be shared by 2 processes"),
        ("few cases", "2 processes cannot share 1 cases"),
        ("other", "another training: a was 1 and is 2"),
        ("not shared", "not the same folder for all processes"),
        ("finished", "is finished"),
    ],
)
def test_all_processes_refuse_what_one_cannot_do(both, request_, message) -> None:
    assert message in both[0][request_]
    assert message in both[1][request_]


def test_a_new_folder_is_taken_by_all(both) -> None:
    assert both[0]["new"] == both[1]["new"] == ""


def test_one_process_is_left_as_it_is(monkeypatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    join_processes("cpu")
    assert idist.backend() is None
    network = nn.Linear(1, 1)
    assert data_parallel(network) is network


@pytest.mark.parametrize(("cases", "sizes"), [(9, [4, 4]), (8, [4, 4]), (3, [3])])
def test_a_last_batch_that_is_not_full_is_left_out_of_training_unless_it_is_the_only_one(cases, sizes) -> None:
    assert [len(batch) for batch in data_loader(list(range(cases)), batch_size=4, training=True)] == sizes
    assert sum(len(batch) for batch in data_loader(list(range(cases)), batch_size=4)) == cases


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are listed where there is /proc")
def test_a_process_ends_without_the_threads_of_its_group() -> None:
    program = [sys.executable, str(Path(__file__).with_name("process_that_ends.py"))]
    common = {**os.environ, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    common["MASTER_PORT"] = str(free_port())
    runs = [
        subprocess.Popen(program, env={**common, "RANK": rank, "LOCAL_RANK": rank}, stdout=subprocess.PIPE, text=True)
        for rank in "01"
    ]
    for run in runs:
        during, after = run.communicate(timeout=120)[0].splitlines()
        assert run.returncode == 0
        assert "gloo" in during
        assert "gloo" not in after
