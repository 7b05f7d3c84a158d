"""Rules that give and take labels: by hand, and what holds for any votes and probabilities."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.data.meta_manifest import MetaImage, MetaManifest
from medpipe.data.meta_refinement import OTHER, Refinement
from medpipe.errors import RequestError

ROOT = Path("/set")


def manifest(**labels: str | None) -> MetaManifest:
    return MetaManifest(ROOT, tuple(MetaImage(name, label, "first") for name, label in labels.items()), "a hand")


def at(name: str) -> str:
    return str(ROOT / name)


@pytest.mark.parametrize(
    ("votes", "added"),
    [
        ({"a": 10, "b": 5}, "a"),
        ({"a": 8, "b": 8}, None),  # a tie
        ({"a": 7, "b": 7, "c": 1}, None),
        ({OTHER: 16, "a": 12}, None),  # other has most
        ({OTHER: 12, "a": 12}, None),  # other has as many
        ({OTHER: 9, "a": 11}, "a"),
        ({"a": 10}, None),  # seen 10 times, needs more
        ({"a": 11}, "a"),
        ({"a": 6, "b": 5, "c": 5}, None),  # more than 6 are needed
        ({"a": 7, "b": 5, "c": 5}, "a"),
        ({}, None),
    ],
)
def test_a_label_is_given_by_a_strict_majority_of_enough_votes_in_enough_appearances(votes, added) -> None:
    rule = Refinement(min_appearances=10, min_votes=6)
    found = rule.added({"x": votes}, expected=0)
    assert found == ({"x": (added, f"{votes[added]} of {sum(votes.values())} votes")} if added else {})


def test_without_numbers_the_rules_go_with_the_size_of_the_pool() -> None:
    rule = Refinement(min_share=0.5)
    assert rule.added({"x": {"a": 5}}, expected=10) == {}
    assert rule.added({"x": {"a": 6}}, expected=10) == {"x": ("a", "6 of 6 votes")}
    # The share is of votes for classes of their own: 5 of 9, and 5 of 10.
    assert rule.added({"x": {"a": 5, "b": 4, OTHER: 3}}, expected=10) == {"x": ("a", "5 of 12 votes")}
    assert rule.added({"x": {"a": 5, "b": 3, "c": 2, OTHER: 3}}, expected=10) == {}


def test_votes_for_other_may_be_left_out_of_the_comparison_and_still_never_win() -> None:
    rule = Refinement(min_appearances=10, min_votes=6, other_counts=False)
    found = rule.added({"x": {OTHER: 16, "a": 12}, "y": {OTHER: 20}, "z": {OTHER: 9, "a": 7, "b": 7}}, expected=0)
    assert found == {"x": ("a", "12 of 28 votes")}


def test_a_label_is_taken_where_the_greatest_probability_is_too_small() -> None:
    found = Refinement().removed({"x": [0.1, 0.29], "y": [0.1, 0.3], "z": [], "w": [0.05]})
    assert found == {
        "w": "probability 0.050 at most in 1 appearances",
        "x": "probability 0.290 at most in 2 appearances",
    }


VOTES = {at("u"): {"a": 20}, at("v"): {OTHER: 20}}
PROBABILITIES = {at("p"): [0.1], at("q"): [0.9], at("r"): [0.8], at("s"): [0.2], at("t"): [0.1]}
DATA = manifest(p="a", q="a", r="a", s="b", t="b", u=None, v=None)


@pytest.mark.parametrize(
    ("refine", "expected"),
    [
        ("both", {"u": "a", "p": None}),
        ("unlabelled", {"u": "a"}),
        ("labelled", {"p": None}),
        ("none", {}),
    ],
)
def test_both_changes_are_applied_together_or_one_of_them_and_a_class_keeps_two_images(refine, expected) -> None:
    found = Refinement(refine).refined(DATA, VOTES, PROBABILITIES, expected=20, round_=3)
    before = {image.image: image.label for image in DATA.images}
    assert {image.image: image.label for image in found.images} == before | expected
    reasons = {image.image: image.reason for image in found.images}
    assert reasons["u"] == ("t3: a: 20 of 20 votes" if "u" in expected else "first")
    assert reasons["p"] == ("t3: not a: probability 0.100 at most in 1 appearances" if "p" in expected else "first")
    assert (reasons["s"], found.root, found.source) == ("first", ROOT, "a hand")


labels = st.sampled_from(["a", "b", "c", OTHER])
any_votes = st.dictionaries(
    st.sampled_from("uvwxyz"), st.lists(labels, min_size=1, max_size=30).map(lambda found: dict(Counter(found)))
)
any_probabilities = st.dictionaries(st.sampled_from("klmnop"), st.lists(st.floats(0, 1), max_size=5))
BIG = manifest(**{name: "abc"[place % 3] for place, name in enumerate("klmnop")}, **dict.fromkeys("uvwxyz"))


@given(any_votes, any_probabilities, st.sampled_from(["both", "unlabelled", "labelled", "none"]))
def test_only_images_that_appeared_are_changed_and_only_in_the_way_that_is_theirs(votes, probabilities, refine) -> None:
    rule = Refinement(refine, min_appearances=3, min_share=0.4)
    found = rule.refined(
        BIG,
        {at(name): counts for name, counts in votes.items()},
        {at(name): values for name, values in probabilities.items()},
        expected=1,
        round_=1,
    )
    assert len(found.images) == len(BIG.images)
    for before, after in zip(BIG.images, found.images, strict=True):
        assert before.image == after.image
        if before.label == after.label:
            assert before == after
        elif before.label is None:
            counts = votes[before.image]
            assert counts[after.label] > max([0, *(n for name, n in counts.items() if name != after.label)])
            assert after.label != OTHER
        else:
            assert after.label is None
            assert max(probabilities[before.image]) < 0.3
    assert all(count >= 2 for count in found.counts().values())


@given(any_votes, any_probabilities)
def test_thresholds_that_nothing_reaches_change_nothing(votes, probabilities) -> None:
    for rule in (
        Refinement(min_appearances=math.inf, min_probability=0),
        Refinement(min_appearances=0, min_votes=math.inf, min_probability=0),
        Refinement("none", min_appearances=0, min_votes=0, min_probability=1),
    ):
        found = rule.refined(
            BIG,
            {at(name): counts for name, counts in votes.items()},
            {at(name): values for name, values in probabilities.items()},
            expected=1,
            round_=1,
        )
        assert found == BIG


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"refine": "all"}, "refine must be one of both, unlabelled, labelled, none; found 'all'"),
        ({"min_votes": -1}, "min_votes must not be negative, found -1"),
        ({"min_share": math.nan}, "min_share must not be negative, found nan"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message) -> None:
    with pytest.raises(RequestError, match=message):
        Refinement(**options)
