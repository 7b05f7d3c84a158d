from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from medpipe.metrics.free_response import FreeResponseData, MatchedCase, check_same_cases, equal_weights
from medpipe.metrics.lesions import Lesion
from medpipe.metrics.matching import HitRule, Mark, MatchRow, match_marks


def hand_example() -> FreeResponseData:
    """Three non-diseased cases and two diseased ones, the first with two lesions."""
    return FreeResponseData(
        n_nondiseased=3,
        n_diseased=2,
        nl_case=[0, 0, 2, 3, 4],
        nl_rating=[2, 1, 3, 1, 4],
        ll_case=[0],
        ll_lesion=[0],
        ll_rating=[3],
        lesions_per_case=[2, 1],
        lesion_weights=[0.6, 0.4, 1],
    )


def nl(rating: float, mark: int = 0) -> MatchRow:
    return MatchRow(mark, "NL", None, rating)


def ll(lesion: int, rating: float, mark: int = 0) -> MatchRow:
    return MatchRow(mark, "LL", lesion, rating)


def hand_cases() -> list[MatchedCase]:
    """The same cases, named so that their order is that of the hand example."""
    return [
        MatchedCase("n1", [nl(2), nl(1)], 0),
        MatchedCase("n2", [], 0),
        MatchedCase("n3", [nl(3)], 0),
        MatchedCase("a", [nl(1), ll(0, 3)], 2, weights=[0.6, 0.4]),
        MatchedCase("b", [nl(4)], 1),
    ]


def assert_equal(a: FreeResponseData, b: FreeResponseData) -> None:
    for field in fields(FreeResponseData):
        assert np.array_equal(getattr(a, field.name), getattr(b, field.name)), field.name


def test_absence_is_minus_infinity() -> None:
    data = hand_example()
    assert data.highest_nl.tolist() == [2, -np.inf, 3, 1, 4]
    assert data.lesion_rating.tolist() == [3, -np.inf, -np.inf]
    assert data.highest_rating.tolist() == [2, -np.inf, 3, 3, 4]


def test_counts_and_places_of_lesions() -> None:
    data = hand_example()
    assert (data.n_cases, data.n_lesions) == (5, 3)
    assert data.lesion_case.tolist() == [0, 0, 1]
    assert not data.is_roc


def test_matched_cases_make_the_same_data_as_arrays() -> None:
    data = FreeResponseData.from_cases(hand_cases())
    assert data.case_ids == ("n1", "n2", "n3", "a", "b")
    assert data.patients is None
    assert_equal(replace(data, case_ids=None), hand_example())


def test_order_of_the_cases_has_no_influence() -> None:
    cases = hand_cases()
    assert_equal(FreeResponseData.from_cases(cases), FreeResponseData.from_cases(reversed(cases)))


def test_duplicates_and_ignored_marks_are_left_out() -> None:
    rows = [ll(0, 3), MatchRow(1, "duplicate", 0, 2), MatchRow(2, "ignored", None, 9)]
    data = FreeResponseData.from_cases([MatchedCase("a", rows, 1)])
    assert data.ll_rating.tolist() == [3]
    assert data.nl_rating.size == 0


def test_patients_are_kept_and_a_case_without_one_is_its_own() -> None:
    cases = [
        MatchedCase("b", [], 1, patient="P"),
        MatchedCase("a", [], 0, patient="P"),
        MatchedCase("c", [], 0),
    ]
    assert FreeResponseData.from_cases(cases).patients == ("P", "c", "P")


def test_case_of_an_image_takes_weights_from_its_lesions_and_skips_regions_to_ignore() -> None:
    lesions = [
        Lesion(box=(0, 0, 2, 2), ignore=True),
        Lesion(box=(5, 0, 2, 2), weight=0.25),
        Lesion(box=(9, 0, 2, 2), weight=0.75),
    ]
    rows = match_marks([Mark(9, 0, 4)], lesions, HitRule("containment"))
    data = FreeResponseData.from_cases([MatchedCase.of_image("a", rows, lesions)])
    assert data.lesion_weights.tolist() == [0.25, 0.75]
    assert data.lesion_rating.tolist() == [-np.inf, 4]


def test_lesions_without_weights_share_equally() -> None:
    case = MatchedCase.of_image("a", [], [Lesion(box=(0, 0, 2, 2)), Lesion(box=(5, 0, 2, 2))])
    assert FreeResponseData.from_cases([case]).lesion_weights.tolist() == [0.5, 0.5]
    assert equal_weights([1, 2, 4]).tolist() == [1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]


def test_some_lesions_with_weights_and_some_without_are_refused() -> None:
    lesions = [Lesion(box=(0, 0, 2, 2), weight=1), Lesion(box=(5, 0, 2, 2))]
    with pytest.raises(ValueError, match="case 'a': 1 of 2 lesions have a weight"):
        MatchedCase.of_image("a", [], lesions)


def test_rounded_weights_are_brought_to_a_sum_of_one() -> None:
    data = replace(hand_example(), lesions_per_case=[3, 1], lesion_weights=[0.3333333] * 3 + [1])
    assert data.lesion_weights[:3] == pytest.approx(np.full(3, 1 / 3), abs=1e-16)


@pytest.mark.parametrize("raw", [[5, 8, 6], [0.3333333, 0.3333333, 0.3333333], [1, 1, 1]])
def test_weights_stay_as_they_are_when_data_are_made_from_data(raw: list[float]) -> None:
    weights = [weight / (1 if sum(raw) < 1 else sum(raw)) for weight in raw]
    once = replace(hand_example(), lesions_per_case=[3, 1], lesion_weights=[*weights, 1])
    assert replace(once).lesion_weights.tolist() == once.lesion_weights.tolist()


def test_scores_make_roc_data() -> None:
    data = FreeResponseData.from_scores([0.1, 0.9, 0.4, 0.8], [0, 1, 0, 1], patients=["a", "b", "c", "a"])
    assert data.is_roc
    assert data.nl_rating.tolist() == [0.1, 0.4]
    assert data.ll_rating.tolist() == [0.9, 0.8]
    assert data.patients == ("a", "c", "b", "a")


@pytest.mark.parametrize(
    "change",
    [
        {"nl_case": [0, 0, 2], "nl_rating": [1, 2, 3]},  # two marks on one case, none on another
        {"nl_case": [0, 1, 2, 3], "nl_rating": [1, 2, 3, 4]},  # an NL on a diseased case
        {"ll_case": [0], "ll_lesion": [0], "ll_rating": [1]},  # a diseased case without a mark
        {"lesions_per_case": [2, 1], "lesion_weights": [0.5, 0.5, 1]},
    ],
)
def test_anything_but_one_mark_per_case_is_no_roc_data(change: dict) -> None:
    roc = FreeResponseData.from_scores([1, 2, 3, 4, 5], [0, 0, 0, 1, 1])
    assert roc.is_roc
    assert not replace(roc, **change).is_roc


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_nondiseased": -1}, "at least one case"),
        ({"nl_rating": [2, 1, np.nan, 1, 4]}, "nl_rating must be finite, found nan at position 2"),
        ({"nl_rating": [2, 1, np.inf, 1, 4]}, "nl_rating must be finite, found inf"),
        ({"ll_rating": [-np.inf]}, "ll_rating must be finite, found -inf"),
        ({"nl_case": [0, 0, 2, 3, 5]}, r"nl_case must lie in 0\.\.4"),
        ({"nl_case": [0.0, 0, 2, 3, 4]}, "nl_case must hold integers"),
        ({"nl_case": [[0, 0, 2, 3, 4]]}, r"nl_case must be one-dimensional, found shape \(1, 5\)"),
        ({"nl_rating": [[2, 1, 3, 1, 4]]}, "nl_rating must be one-dimensional"),
        ({"ll_case": [2]}, r"ll_case must lie in 0\.\.1"),
        ({"nl_case": [0, 0, 2, 3]}, r"nl_case, nl_rating must be equally long, found \[4, 5\]"),
        ({"ll_lesion": [0, 1]}, "ll_case, ll_lesion, ll_rating must be equally long"),
        ({"lesions_per_case": [2]}, "1 entries for 2 diseased"),
        ({"lesions_per_case": [3, 0]}, "diseased case 1 has no lesion"),
        ({"lesion_weights": [0.6, 0.4]}, "2 entries for 3 lesions"),
        ({"lesion_weights": [0.6, 0.3, 1]}, "diseased case 0 must sum to 1, found 0.9"),
        ({"lesion_weights": [1.6, -0.6, 1]}, "not be negative"),
        ({"ll_case": [1], "ll_lesion": [1]}, "lesion 1 of diseased case 1 is marked, but the case has 1"),
        (
            {"ll_case": [0, 0], "ll_lesion": [1, 1], "ll_rating": [1, 2]},
            "lesion 1 of diseased case 0 is found 2 times",
        ),
        ({"case_ids": ("a", "b")}, "case_ids has 2 entries for 5 cases"),
        ({"case_ids": ("a", "b", "c", "d", "a")}, "unique"),
        ({"patients": ("a",)}, "patients has 1 entries"),
    ],
)
def test_contradictions_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(hand_example(), **change)


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ([], "at least one case"),
        ([MatchedCase("a", [], 0), MatchedCase("a", [], 1)], "unique"),
        ([MatchedCase("a", [ll(1, 3)], 1)], "case 'a': mark 0 found lesion 1 of 1"),
        ([MatchedCase("a", [MatchRow(2, "LL", None, 3)], 1)], "case 'a': mark 2 found lesion None"),
        ([MatchedCase("a", [ll(0, 3), ll(0, 4)], 1)], "found 2 times"),
    ],
)
def test_impossible_cases_are_refused(cases: list[MatchedCase], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FreeResponseData.from_cases(cases)


@pytest.mark.parametrize(
    ("n_lesions", "weights", "message"),
    [
        (-1, None, "n_lesions must not be negative, found -1"),
        (2, [1], "1 weights for 2 lesions"),
        (2, [0, 0], "must not be negative and sum to 1, found 0, 0"),
        (2, [1.5, -0.5], "must not be negative and sum to 1, found 1.5, -0.5"),
        (1, [float("nan")], "must not be negative and sum to 1, found nan"),
    ],
)
def test_an_impossible_case_is_refused_by_its_name(n_lesions: int, weights: list | None, message: str) -> None:
    with pytest.raises(ValueError, match=f"case 'a': .*{message}"):
        MatchedCase("a", [], n_lesions, weights)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([1, 2], [0, 1, 1], "2 scores for labels"),
        ([1, 2], [0, 2], "labels must hold only 0 and 1"),
        ([1, np.nan], [0, 1], "scores must be finite"),
    ],
)
def test_impossible_scores_are_refused(scores: list, labels: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FreeResponseData.from_scores(scores, labels)


def test_scores_need_a_patient_for_every_case() -> None:
    with pytest.raises(ValueError, match="1 patient labels for 2 cases"):
        FreeResponseData.from_scores([1, 2], [0, 1], patients=["a"])


def test_later_changes_of_the_callers_arrays_do_not_reach_the_data() -> None:
    ratings = np.array([2.0, 1, 3, 1, 4])
    data = replace(hand_example(), nl_rating=ratings)
    ratings[:] = 99
    assert data.highest_nl.max() == 4
    with pytest.raises(ValueError, match="read-only"):
        data.nl_rating[0] = 7


def test_one_class_and_no_marks_are_sound_data() -> None:
    healthy = FreeResponseData.from_cases([MatchedCase("a", [], 0)])
    diseased = FreeResponseData.from_cases([MatchedCase("a", [], 2)])
    assert (healthy.n_nondiseased, healthy.n_lesions, healthy.highest_rating.tolist()) == (1, 0, [-np.inf])
    assert (diseased.n_nondiseased, diseased.n_lesions, diseased.highest_rating.tolist()) == (0, 2, [-np.inf])


def test_readings_of_the_same_cases_may_differ_in_marks_only() -> None:
    data = replace(hand_example(), case_ids=tuple("abcde"), patients=tuple("vwxyz"))
    check_same_cases(data, replace(data, nl_case=[1], nl_rating=[7.5]))
    for change in (
        {"case_ids": tuple("abcdf")},
        {"patients": tuple("vvxyz")},
        {"lesion_weights": [0.5, 0.5, 1]},
        {"lesions_per_case": [1, 2], "lesion_weights": [1, 0.5, 0.5]},
    ):
        with pytest.raises(ValueError, match=f"not readings of the same cases: {next(iter(change))} differs"):
            check_same_cases(data, replace(data, **change))
    with pytest.raises(ValueError, match="n_nondiseased differs"):
        check_same_cases(hand_example(), replace(hand_example(), n_nondiseased=4))
