"""Settings trained with several seeds that answer the same questions: accuracies with intervals over images.

Each question's accuracy is its mean over the seeds, and images are resampled with all their questions. The intervals say what
other images could give with these seeds. Made from results.json of every run alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medpipe.evaluation.results import figure
from medpipe.evaluation.vqa import TruthQuestion, accuracy_groups
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.vqa import accuracy_estimate

__all__ = ["compare_repeated_answers"]


def compare_repeated_answers(
    runs: Mapping[str, Mapping[int, Sequence[Mapping[str, Any]]]], reference: str, bootstrap: Bootstrap
) -> dict[str, Any]:
    """Accuracy of each setting and its difference from the reference, overall, closed and open.

    Args:
        runs: "cases" of results.json by setting and seed; the settings in their order.
        reference: The setting that the others are compared with, over the seeds that both have.
        bootstrap: Of images.

    Returns:
        "questions", "images" and "figures": for each name of a figure a list with, for each setting that has a run, its
        "setting", "seeds", "accuracy" and "difference" (None for the reference and where it has no run). Or only
        "unavailable" with the reason.
    """
    done = {name: dict(found) for name, found in runs.items() if found}
    if not done:
        return {"unavailable": "no run has ended well"}
    first = next(iter(next(iter(done.values())).values()))
    cases = [row["case"] for row in first]
    if any([row["case"] for row in rows] != cases for found in done.values() for rows in found.values()):
        return {"unavailable": "the runs have not answered the same questions"}
    questions = [_question(row) for row in first]
    images = [question.image for question in questions]
    right = {name: {seed: _accuracies(rows) for seed, rows in found.items()} for name, found in done.items()}
    figures = {}
    for title, words, places in accuracy_groups(questions):

        def estimate(values: np.ndarray, said: str, places: list[int] = places, title: str = title) -> dict[str, Any]:
            return figure(title, accuracy_estimate(values[places], [images[n] for n in places], bootstrap), said)

        figures[title] = [
            {
                "setting": name,
                "seeds": sorted(found),
                "accuracy": estimate(_mean(found, found), f"mean over seeds{words}"),
                "difference": None
                if name == reference or not found.keys() & right.get(reference, {}).keys()
                else estimate(_apart(found, right[reference]), f"setting minus reference, mean over seeds{words}"),
            }
            for name, found in right.items()
        ]
    return {"questions": len(cases), "images": len(set(images)), "level": bootstrap.level, "figures": figures}


def _question(row: Mapping[str, Any]) -> TruthQuestion:
    return TruthQuestion(
        row["case"], row["patient"], tuple(row["true_answers"]), row["answer_type"], phrase=row["phrase_type"]
    )


def _accuracies(rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    return np.array([row["accuracy"] for row in rows], dtype=np.float64)


def _mean(found: Mapping[int, np.ndarray], seeds: Mapping[int, Any]) -> np.ndarray:
    mean: np.ndarray = np.mean([found[seed] for seed in sorted(seeds)], axis=0)
    return mean


def _apart(found: Mapping[int, np.ndarray], reference: Mapping[int, np.ndarray]) -> np.ndarray:
    """Differences over the seeds that both have."""
    common = {seed: found[seed] for seed in found.keys() & reference.keys()}
    return _mean(found, common) - _mean(reference, common)
