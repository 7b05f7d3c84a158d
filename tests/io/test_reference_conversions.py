"""Public series beside the conversions of others, and damaged files by the thousand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def script(name: str):
    """A script as a module, known by its name so that its workers find it."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.shared_data
@pytest.mark.parametrize(("part", "count"), [("dcm_qa", 21), ("dicom2nifti", 28), ("nema", 20), ("others", 7)])
def test_public_series_come_out_as_their_references(shared_data: Path, part, count) -> None:
    rows = list(getattr(script("convert_reference_table"), part)(shared_data))
    assert [row for row in rows if not row.ok] == []
    assert len(rows) == count


def test_2000_damaged_files_are_read_or_refused_and_no_worker_dies(monkeypatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)  # the workers start anew and import the script by its name
    monkeypatch.setenv("PYTHONPATH", str(SCRIPTS))
    fuzz = script("fuzz_dicom")
    counts, slowest, peak = fuzz.campaign(fuzz.seed_files(), seed=1, numbers=range(2000))
    bad = {outcome: count for outcome, count in counts.items() if outcome.startswith(("!", "HANG", "DEATH"))}
    assert bad == {}
    assert counts["read"] > 200
    assert slowest < fuzz.PATIENCE
    assert peak < 2048
