from __future__ import annotations

import numpy as np
import pytest

from medpipe.errors import InputDataError
from medpipe.evaluation.groups import chosen_variables, subgroup_entries
from medpipe.evaluation.truth import TruthCase
from medpipe.metrics.roc import auc_estimate


def cases(**columns: list[str]) -> list[TruthCase]:
    rows = zip(*columns.values(), strict=True)
    return [
        TruthCase(str(k), bool(k % 2), str(k // 2), groups=dict(zip(columns, row, strict=True)))
        for k, row in enumerate(rows)
    ]


def test_without_being_asked_the_usual_columns_with_two_values_are_taken() -> None:
    truth = cases(sex=["F", "M"], site=["a", "a"], view=["", ""], colour=["x", "y"])
    assert chosen_variables(truth, None) == ["sex"]


def test_an_unknown_column_and_one_of_too_many_values_are_refused() -> None:
    truth = cases(sex=["F", "M"] * 15, id=[str(k) for k in range(30)])
    with pytest.raises(InputDataError, match="no column 'site' to split by; the truth has id, sex"):
        chosen_variables(truth, ["site"])
    with pytest.raises(InputDataError, match="'id' has 30 values"):
        chosen_variables(truth, ["id"])


def test_ages_become_bands_also_as_dicom_writes_them_and_bands_of_the_table_stay() -> None:
    truth = cases(age=["063Y", "18", "006M", "30 to 40", ""])
    entry = subgroup_entries(truth, ["age"], "n", lambda places: auc_estimate(np.arange(9.0), np.arange(9) > 4))[0]
    assert [group["name"] for group in entry["groups"]] == ["0-17", "18-39", "30 to 40", "40-64", "not known"]


def test_groups_count_cases_disease_and_patients() -> None:
    truth = cases(site=["a", "a", "a", "b"])
    entry = subgroup_entries(truth, ["site"], "AUC", lambda places: auc_estimate(np.arange(9.0), np.arange(9) > 4))[0]
    assert [(g["n"], g["diseased"], g["patients"]) for g in entry["groups"]] == [(3, 1, 2), (1, 1, 1)]


def test_a_column_with_one_value_is_no_split() -> None:
    assert subgroup_entries(cases(site=["a", "a"]), ["site"], "AUC", lambda places: None) == []
