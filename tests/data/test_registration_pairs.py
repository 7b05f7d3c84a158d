import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.data.registration_datalist import validate_registration_datalist
from medpipe.data.registration_pairs import pairs, sample_pair
from medpipe.errors import RequestError


def entry(case: str, subject: str = "") -> dict[str, str]:
    return {"case": case, "subject": subject or case, "image": f"{case}.nii", "modality": "CT"}


def datalist(**sections: Any) -> dict[str, Any]:
    head = {"name": "x", "description": "", "generated": True, "split": "", "labels": {"1": "liver"}, "pairs": {}}
    return {**head, "training": [], "validation": [], "test": [], **sections}


def names(found: Any) -> list[tuple[str, str]]:
    return [(fixed["case"], moving["case"]) for fixed, moving in found]


def test_all_pairs_are_every_ordered_pair_of_two_subjects() -> None:
    volumes = [entry("a1", "a"), entry("b"), entry("a2", "a")]
    found = names(pairs(datalist(training=volumes), "training"))
    assert sorted(found) == [("a1", "b"), ("a2", "b"), ("b", "a1"), ("b", "a2")]


def test_two_scans_of_one_subject_are_paired_where_the_rule_says_so() -> None:
    rule = {"training": {"how": "all", "distinct": "case"}}
    found = names(pairs(datalist(training=[entry("a1", "a"), entry("a2", "a")], pairs=rule), "training"))
    assert found == [("a1", "a2"), ("a2", "a1")]


@given(st.lists(st.sampled_from("abcd"), max_size=12))
def test_pairs_by_number_are_the_pairs_of_two_loops(subjects: list[str]) -> None:
    volumes = [entry(str(index), subject) for index, subject in enumerate(subjects)]
    found = names(pairs(datalist(training=volumes), "training"))
    slow = [(f["case"], m["case"]) for f in volumes for m in volumes if f["subject"] != m["subject"]]
    assert len(found) == len(set(found)) == len(slow)
    assert set(found) == set(slow)


def test_an_atlas_is_fixed_in_every_pair_and_never_moves() -> None:
    rule = {"test": {"how": "atlas", "fixed": "S01"}}
    known = datalist(test=[entry("S01"), entry("S02"), entry("S03")], pairs=rule)
    assert names(pairs(known, "test")) == [("S01", "S02"), ("S01", "S03")]


def test_an_atlas_outside_the_split_serves_all_sections() -> None:
    rule = {"how": "atlas", "fixed": "S01"}
    known = datalist(
        reference=[entry("S01")], training=[entry("a")], test=[entry("b")], pairs={"training": rule, "test": rule}
    )
    validate_registration_datalist(known, "x")
    assert names(pairs(known, "training")) == [("S01", "a")]
    assert names(pairs(known, "test")) == [("S01", "b")]


def test_listed_pairs_keep_their_order_and_may_be_of_one_subject() -> None:
    rule = {"test": {"how": "listed", "pairs": [["pre", "after"], ["after", "pre"]]}}
    known = datalist(test=[entry("pre", "pig"), entry("after", "pig")], pairs=rule)
    validate_registration_datalist(known, "x")
    assert names(pairs(known, "test")) == [("pre", "after"), ("after", "pre")]


def test_a_million_pairs_are_not_held_in_memory() -> None:
    known = pairs(datalist(training=[entry(str(number)) for number in range(1025)]), "training")
    assert len(known) == 1025 * 1024  # more than a million
    assert names([known[0], known[1023], known[1024], known[-1]]) == [
        *(("0", "1"), ("0", "1024"), ("1", "0"), ("1024", "1023"))
    ]
    held = sum(sys.getsizeof(value) for value in vars(known).values())
    assert held < 100_000
    assert next(iter(known))[1]["case"] == "1"
    with pytest.raises(IndexError):
        known[1025 * 1024]


def test_a_sampled_pair_depends_on_index_and_seed_alone() -> None:
    known = datalist(training=[entry(str(number)) for number in range(40)])
    first = names([sample_pair(known, "training", index, 7) for index in range(50)])
    again = names([sample_pair(known, "training", index, 7) for index in reversed(range(50))])
    assert first == again[::-1]
    assert first != names([sample_pair(known, "training", index, 8) for index in range(50)])
    assert len(set(first)) > 40
    assert all(fixed != moving for fixed, moving in first)


def test_sampling_covers_all_pairs_alike() -> None:
    known = datalist(training=[entry("a"), entry("b"), entry("c")])
    drawn = names([sample_pair(known, "training", index, 0) for index in range(1200)])
    counts = [drawn.count(pair) for pair in set(drawn)]
    assert len(counts) == 6
    assert min(counts) > 140  # 200 expected, standard deviation 13


def test_a_section_without_a_pair_is_refused_by_name() -> None:
    with pytest.raises(RequestError, match="section 'test' of datalist 'x' has no pair"):
        sample_pair(datalist(test=[entry("alone")]), "test", 0, 0)
    assert len(pairs(datalist(), "training")) == 0
    with pytest.raises(RequestError, match="did you mean training"):
        pairs(datalist(), "trainin")
