from __future__ import annotations

import numpy as np
import pytest

from medpipe.errors import InputDataError
from medpipe.evaluation.formats.study_tables import (
    StudyCase,
    StudyMark,
    StudyTables,
    build_study,
    case_names,
    in_order,
    study_lesions,
    study_marks,
)

CASES = [StudyCase("d", "row 2", ["1"]), StudyCase("h", "row 3", patient="p"), StudyCase("e", "row 4", ["x", "y"])]
MARKS = [StudyMark("row 5", "ct", "r", "e", "y", 3.0), StudyMark("row 6", "ct", "r", "e", None, 1.0)]


def tables(cases: list[StudyCase] = CASES, marks: list[StudyMark] = MARKS, **options: bool) -> StudyTables:
    return StudyTables("table", cases, marks, ["ct"], ["r"], columns={"case": "CaseID"}, **options)


def test_non_diseased_cases_move_to_the_front_and_the_order_stays_otherwise() -> None:
    (reading,) = build_study(tables()).readings[0]
    assert reading.case_ids == ("h", "d", "e")
    assert reading.patients == ("p", "d", "e")
    assert reading.lesion_weights.tolist() == [1, 0.5, 0.5]
    assert reading.lesion_rating.tolist() == [-np.inf, -np.inf, 3]
    assert reading.highest_nl.tolist() == [-np.inf, -np.inf, 1]


def test_marks_of_a_study_are_those_it_was_made_of() -> None:
    study = build_study(tables())
    names = case_names(study)
    assert [(m, r, names[case], lesion, rating) for m, r, case, lesion, rating in study_marks(study)] == [
        *(("ct", "r", "e", None, 1.0), ("ct", "r", "e", 1, 3.0))
    ]


def test_lesions_of_a_study_are_those_it_was_made_of() -> None:
    rows = list(study_lesions(build_study(tables())))
    assert rows == [(0, None, 0.0), (1, 0, 1.0), (2, 0, 0.5), (2, 1, 0.5)]


def test_no_mark_at_all_is_refused_unless_it_is_stated() -> None:
    with pytest.raises(InputDataError, match="table: reader 'r' has no mark in modality 'ct'"):
        build_study(tables(marks=[]))
    assert build_study(tables(marks=[], may_be_empty=True)).figures("wAFROC").tolist() == [[0.5]]


def test_every_lesion_has_a_weight_or_none_has() -> None:
    with pytest.raises(InputDataError, match="^row 2: case 'a' has 1 weights for 2 lesions"):
        build_study(tables([StudyCase("a", "row 2", ["1", "2"], [1.0])]))


@pytest.mark.parametrize("rating", [np.nan, np.inf, -np.inf])
def test_ratings_are_finite(rating: float) -> None:
    with pytest.raises(InputDataError, match="row 5: rating .* must be finite; leave out what is not marked"):
        build_study(tables(marks=[StudyMark("row 5", "ct", "r", "e", "y", rating)]))


def test_a_message_names_the_column_where_the_file_has_one() -> None:
    with pytest.raises(InputDataError, match="^row 9, column CaseID: case 'z' is not in the truth"):
        build_study(tables(marks=[StudyMark("row 9", "ct", "r", "z", None, 1.0)]))
    with pytest.raises(InputDataError, match="^row 9: lesion 'z' of case 'e' is not in the truth"):
        build_study(tables(marks=[StudyMark("row 9", "ct", "r", "e", "z", 1.0)]))


def test_long_lists_of_names_are_cut_short() -> None:
    case = StudyCase("a", "row 2", [str(number) for number in range(14)])
    with pytest.raises(InputDataError, match="has lesions '0', .*'9' and 4 more$"):
        build_study(tables([case], [StudyMark("row 9", "ct", "r", "a", "z", 1.0)]))


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["10", "9", "10", "1"], ["1", "9", "10"]),
        (["b", "10", "a", "2.5", "nan"], ["2.5", "10", "a", "b", "nan"]),
        ([], []),
    ],
)
def test_names_are_ordered_by_value_then_as_texts(names: list[str], ordered: list[str]) -> None:
    assert in_order(names) == ordered
