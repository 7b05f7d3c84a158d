"""Trainings of a bundle that are killed again and again: their end must be that of one that was not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def test_a_training_that_is_killed_at_random_instants_ends_as_one_that_is_not() -> None:
    if not SCRIPTS.is_dir():
        pytest.skip("scripts/ is not here")
    # In a process of its own: what the campaign forks must not have run a network before.
    command = [
        sys.executable,
        str(SCRIPTS / "training_kill_campaign.py"),
        "--kills",
        "4",
        "--epochs",
        "6",
        "--seed",
        "3",
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report["wrong"] == []
    assert report["kills"] == 4
