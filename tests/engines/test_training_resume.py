"""Trainings of a bundle that are killed again and again: their end must be that of one that was not."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def test_a_training_that_is_killed_at_random_instants_ends_as_one_that_is_not(monkeypatch, tmp_path) -> None:
    if not SCRIPTS.is_dir():
        pytest.skip("scripts/ is not here")
    monkeypatch.syspath_prepend(str(SCRIPTS))
    spec = importlib.util.spec_from_file_location("training_kill_campaign", SCRIPTS / "training_kill_campaign.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    report = module.campaign(tmp_path, kills=4, epochs=6, seed=3)
    sys.modules.pop("fault_campaign", None)
    assert report["wrong"] == []
    assert report["kills"] == 4
