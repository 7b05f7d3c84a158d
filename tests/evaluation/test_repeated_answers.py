"""Settings with several seeds on the same questions, by hand and against a slow bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

from medpipe.evaluation.repeated_answers import compare_repeated_answers
from medpipe.metrics.intervals import Bootstrap

FEW = Bootstrap(n_resamples=200)
KINDS = ["closed", "closed", "open", "open", "open"]
IMAGES = ["1", "1", "2", "3", "3"]


def rows(accuracies, phrase: str = "freeform") -> list[dict]:
    return [
        {
            "case": str(number),
            "patient": image,
            "true_answers": ["yes"],
            "answer_type": kind,
            "phrase_type": phrase,
            "accuracy": accuracy,
        }
        for number, (kind, image, accuracy) in enumerate(zip(KINDS, IMAGES, accuracies, strict=True))
    ]


def found(runs, reference: str = "a"):
    return compare_repeated_answers(runs, reference, FEW)["figures"]


def test_accuracies_are_means_over_seeds_and_differences_over_common_seeds() -> None:
    runs = {
        "a": {0: rows([1, 0, 1, 0, 0]), 1: rows([1, 0, 0, 0, 0])},
        "b": {1: rows([1, 1, 1, 0, 0]), 2: rows([0, 1, 1, 1, 1])},
    }
    figures = found(runs)
    assert list(figures) == ["Accuracy", "Accuracy, closed", "Accuracy, open"]
    a, b = figures["Accuracy"]
    assert (a["setting"], a["seeds"], a["difference"]) == ("a", [0, 1], None)
    assert a["accuracy"]["value"] == pytest.approx(0.3)
    assert b["accuracy"]["value"] == pytest.approx(0.7)
    assert b["difference"]["value"] == pytest.approx(0.4)  # seed 1 alone: .6 - .2
    closed = figures["Accuracy, closed"][1]
    assert closed["difference"]["value"] == pytest.approx(0.5)
    assert closed["accuracy"]["n"] == 1


def test_images_are_resampled_with_all_their_questions() -> None:
    """With one seed, the interval is that of accuracies summed by image and drawn image by image."""
    entry = found({"a": {0: rows([1, 1, 0, 1, 0])}})["Accuracy"][0]["accuracy"]
    rng = np.random.default_rng(0)
    totals, sizes = np.array([2.0, 0, 1]), np.array([2.0, 1, 2])
    drawn = rng.integers(0, 3, (20000, 3))
    low, high = np.quantile(totals[drawn].sum(1) / sizes[drawn].sum(1), [0.025, 0.975])
    assert entry["low"] == pytest.approx(low, abs=0.1)
    assert entry["high"] == pytest.approx(high, abs=0.1)


def test_equal_runs_do_not_differ() -> None:
    runs = {name: {seed: rows([1, 0, 1, 1, 0]) for seed in range(2)} for name in "ab"}
    apart = found(runs)["Accuracy"][1]["difference"]
    assert (apart["value"], apart["low"], apart["high"]) == (0, 0, 0)


def test_without_a_run_of_the_reference_there_is_no_difference() -> None:
    (only,) = found({"a": {}, "b": {0: rows([1, 0, 1, 1, 0])}})["Accuracy"]
    assert only["setting"] == "b"
    assert only["difference"] is None


def test_other_questions_and_no_runs_are_told() -> None:
    other = rows([1, 0, 1, 1, 0])[::-1]
    runs = {"a": {0: rows([1, 0, 1, 1, 0])}, "b": {0: other}}
    assert compare_repeated_answers(runs, "a", FEW) == {"unavailable": "the runs have not answered the same questions"}
    assert compare_repeated_answers({"a": {}}, "a", FEW) == {"unavailable": "no run has ended well"}
