"""The words of the two commands of a run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from medpipe.errors import RequestError
from medpipe.reproduction.commands import Data, check_given, commands
from medpipe.reproduction.plan import Run

DATA = Data(Path("/d"), Path("/d/list.json"))
RUN = Run("groups-2", {"context": "acm", "groups": 2, "rate": 1.0}, 7)


def words(request, mode: str) -> list[str]:
    return commands(request, RUN, DATA, Path("/out"))[mode]


def test_training_gets_its_options_and_the_seed(request_of) -> None:
    request = request_of()
    assert words(request, "train") == [
        *(sys.executable, "-m", "medpipe", "train", str(request.plan.bundle.root)),
        *(
            "dataset_dir=/d",
            "datalist=/d/list.json",
            "context=acm",
            "groups=2",
            "rate=1.0",
            "seed=7",
            "-o",
            "/out/train",
        ),
    ]


def test_evaluation_gets_the_weights_and_those_options_alone_that_it_has(request_of) -> None:
    found = words(request_of(), "evaluate")
    assert found[5:] == [
        *("dataset_dir=/d", "datalist=/d/list.json", "weights=/out/train/model.pt"),
        *("context=acm", "groups=2", "bootstrap=5", "-o", "/out/evaluate"),
    ]


def test_quick_options_hold_in_quick_runs_alone(request_of) -> None:
    assert "max_epochs=1" in words(request_of(quick=True), "train")
    assert "rule.tolerance=0.2" in words(request_of(quick=True), "evaluate")
    assert not any("max_epochs" in word for word in words(request_of(), "train"))


def test_options_that_are_given_come_before_those_of_the_recipe(request_of) -> None:
    assert "max_epochs=9" in words(request_of(quick=True, max_epochs=9), "train")
    assert "bootstrap=99" in words(request_of(bootstrap=99), "evaluate")


def test_a_foreign_bundle_is_trusted_only_where_that_was_asked_for(request_of) -> None:
    from dataclasses import replace

    assert "--trust" not in words(request_of(), "train")
    assert "--trust" in words(replace(request_of(), trust=True), "evaluate")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": 1}, "'seed' is set by reproduce itself; leave it out; give --seeds N"),
        ({"weights": "x"}, "'weights' is set by reproduce itself"),
        ({"context": "se"}, "'context' is what a table of 'bundle' compares"),
    ],
)
def test_options_that_are_not_free_are_refused(request_of, given, message) -> None:
    with pytest.raises(RequestError, match=message):
        check_given(request_of().plan, given, {"context", "groups"})
