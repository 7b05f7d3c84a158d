from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import faulty_loads
import pytest

from medpipe.batch.loader import CaseLoader, Limits


class Data:
    """What a loader needs of a data set."""

    def __init__(self, data, load=faulty_loads.load) -> None:
        self.data, self.load = data, load


def case(name: str, image: str = "fine") -> dict:
    return {"case": name, "status": "pending", "reason": "", "image": image}


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_hold_one_case_and_every_case_comes_once(workers) -> None:
    loader = CaseLoader(Data([case(str(n)) for n in range(7)]), Limits(num_workers=workers))
    assert len(loader) == 7
    batches = list(loader)
    assert [len(batch) for batch in batches] == [1] * 7
    assert sorted(batch[0]["case"] for batch in batches) == [str(n) for n in range(7)]


def test_a_source_without_a_length_has_none() -> None:
    loader = CaseLoader(Data(item for item in [case("a"), None, case("b")]), Limits(num_workers=0))
    with pytest.raises(TypeError):
        len(loader)
    assert [batch[0]["case"] for batch in loader] == ["a", "b"]


@pytest.mark.parametrize(("faults", "status", "attempts"), [(2, "pending", 3), (3, "failed", 3)])
def test_without_processes_a_fault_that_may_pass_is_tried_again_as_well(faults, status, attempts) -> None:
    left = [errno.EIO] * faults

    def transform(item: dict) -> dict:
        if left:
            number = left.pop()
            raise OSError(number, os.strerror(number))
        return item

    data = Data([case("a")], faulty_loads.LoadCase(transform))
    ((loaded,),) = CaseLoader(data, Limits(num_workers=0, retries=2))
    assert (loaded["status"], loaded["attempts"]) == (status, attempts)
    assert "transient" not in loaded


@pytest.mark.parametrize("limits", [{"num_workers": -1}, {"retries": -1}, {"time_limit": 0}, {"memory_limit": -1.0}])
def test_limits_out_of_range_are_refused(limits) -> None:
    with pytest.raises(ValueError, match="must"):
        Limits(**limits)


PROGRAM = """
import sys
from medpipe.batch.loader import CaseLoader, Limits
from medpipe.engines.case_dataset import LoadCase
sys.path.insert(0, {folder!r})
{transform}

class Data:
    data = [dict(case=str(n), status="pending", reason="", image="fine") for n in range(3)]
    load = LoadCase(transform)

for batch in CaseLoader(Data(), Limits(num_workers=1)):
    print(batch[0]["case"], batch[0]["status"], batch[0].get("seen"))
"""


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        ("from faulty_loads import see as transform", ""),
        ("def transform(case): return case | {'seen': 1}", "__main__"),
    ],
)
def test_a_program_without_a_guard_works_unless_it_loads_by_functions_of_its_own(transform, message, tmp_path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(folder=str(Path(faulty_loads.__file__).parent), transform=transform))
    run = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=120)
    if message:
        assert "must start its work under" in run.stderr
    else:
        assert run.stdout.splitlines() == ["0 pending 1", "1 pending 1", "2 pending 1"], run.stderr
