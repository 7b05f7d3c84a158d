"""Splits by patient: no patient's images in two parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from medpipe.errors import RequestError

__all__ = ["PARTS", "Fractions", "check_fractions", "shares", "split_by_patient"]

PARTS = ("training", "validation", "test")
Fractions = tuple[float, float, float]


def split_by_patient(
    entries: Sequence[dict[str, Any]], *, seed: int, fractions: Fractions
) -> dict[str, list[dict[str, Any]]]:
    """Divide entries into training, validation and test so that each patient is in one part only.

    Patients with any positive image and patients with none are divided apart, so that all parts have about
    the same share of positive patients. The result depends on the seed and on the entries, not on their
    order.

    Args:
        entries: datalist entries with ``patient``, ``case`` and ``label``: 0 or 1, or a list, positive with any 1.
        seed: of the shuffling, from 0.
        fractions: of the patients, for training, validation and test; they add up to 1.

    Returns:
        part name -> entries, ordered by case.

    Raises:
        RequestError: the fractions are negative or do not add up to 1.
    """
    check_fractions(fractions)
    positive: dict[str, bool] = {}
    for entry in entries:
        positive[entry["patient"]] = positive.get(entry["patient"], False) or _positive(entry["label"])
    part_of: dict[str, str] = {}
    for group, wanted in enumerate((True, False)):
        patients = sorted(patient for patient, has in positive.items() if has is wanted)
        np.random.default_rng([seed, group]).shuffle(patients)
        names = np.repeat(PARTS, shares(len(patients), fractions))
        part_of.update(zip(patients, names.tolist(), strict=True))
    ordered = sorted(entries, key=lambda entry: entry["case"])
    return {part: [entry for entry in ordered if part_of[entry["patient"]] == part] for part in PARTS}


def _positive(label: int | list[int | None]) -> bool:
    return 1 in label if isinstance(label, list) else label == 1


def shares(total: int, fractions: Sequence[float]) -> list[int]:
    """Divide ``total`` things by ``fractions`` that add up to 1: whole numbers by largest remainder."""
    exact = [total * fraction for fraction in fractions]
    counts = [math.floor(value + 1e-9) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda index: counts[index] - exact[index])
    for index in by_remainder[: total - sum(counts)]:
        counts[index] += 1
    return counts


def check_fractions(fractions: Sequence[float]) -> None:
    """Raise RequestError unless ``fractions`` are three numbers from 0 that add up to 1."""
    if len(fractions) != 3 or min(fractions) < 0 or not math.isclose(sum(fractions), 1, abs_tol=1e-6):
        found = ", ".join(map(str, fractions))
        raise RequestError(
            f"the fractions are {found}; "
            "expected three numbers from 0 for training, validation and test that add up to 1"
        )
