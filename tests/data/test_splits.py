from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.data.splits import PARTS, shares, split_by_patient
from medpipe.errors import RequestError


def entries(patients: int, positives: int, images: int = 2) -> list[dict[str, Any]]:
    """``images`` per patient; the first image of the first ``positives`` patients is positive."""
    return [
        {
            "case": f"{patient:03d}-{image}",
            "patient": f"p{patient:03d}",
            "label": int(image == 0 and patient < positives),
        }
        for patient in range(patients)
        for image in range(images)
    ]


def test_no_patient_is_in_two_parts_and_no_image_is_lost() -> None:
    parts = split_by_patient(entries(50, 20), seed=1, fractions=(0.6, 0.2, 0.2))
    patients = [{entry["patient"] for entry in parts[part]} for part in PARTS]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 50
    assert sum(map(len, parts.values())) == 100


def test_every_part_has_its_share_of_positive_patients() -> None:
    parts = split_by_patient(entries(50, 20), seed=1, fractions=(0.6, 0.2, 0.2))
    for part, share in zip(PARTS, (0.6, 0.2, 0.2), strict=True):
        positive = {entry["patient"] for entry in parts[part] if entry["label"]}
        assert len(positive) == round(20 * share)
        assert len({entry["patient"] for entry in parts[part]}) == round(50 * share)


def test_the_order_of_the_entries_does_not_matter() -> None:
    ordered = entries(30, 9)
    mixed = [ordered[index] for index in np.random.default_rng(3).permutation(len(ordered))]
    assert split_by_patient(ordered, seed=5, fractions=(0.7, 0.1, 0.2)) == split_by_patient(
        mixed, seed=5, fractions=(0.7, 0.1, 0.2)
    )


def test_another_seed_gives_another_split() -> None:
    first, second = (split_by_patient(entries(30, 9), seed=seed, fractions=(0.5, 0, 0.5)) for seed in (0, 1))
    assert first != second


def test_all_can_go_to_the_test() -> None:
    parts = split_by_patient(entries(7, 7), seed=0, fractions=(0, 0, 1))
    assert [len(parts[part]) for part in PARTS] == [0, 0, 14]


def test_nothing_is_split_into_nothing() -> None:
    assert split_by_patient([], seed=0, fractions=(0.7, 0.1, 0.2)) == {part: [] for part in PARTS}


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.5), (1.2, -0.1, -0.1), (0.7, 0.3), (float("nan"), 0, 1)])
def test_wrong_fractions_are_refused(fractions: Any) -> None:
    with pytest.raises(RequestError, match="add up to 1"):
        split_by_patient(entries(3, 1), seed=0, fractions=fractions)


@given(st.integers(0, 500), st.lists(st.integers(0, 20), min_size=1, max_size=5).filter(sum))
def test_shares_are_whole_add_up_and_are_less_than_one_off(total: int, weights: list[int]) -> None:
    fractions = [weight / sum(weights) for weight in weights]
    counts = shares(total, fractions)
    assert sum(counts) == total
    assert all(abs(count - total * fraction) < 1 for count, fraction in zip(counts, fractions, strict=True))
