from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.jafroc import figure_of_merit
from medpipe.metrics.reader_study import ReaderStudy


def roc(scores: list[float]) -> FreeResponseData:
    return FreeResponseData.from_scores(scores, [0, 0, 1, 1])


ONE = roc([1, 2, 3, 4])
OTHER = roc([4, 2, 3, 1])


def test_figures_stand_in_rows_of_modalities_and_columns_of_readers() -> None:
    study = ReaderStudy(("CT", "MR"), ("a", "b", "c"), ((ONE, OTHER, ONE), (OTHER, OTHER, ONE)))
    assert study.figures("Wilcoxon").tolist() == [[1, 0.25, 1], [0.25, 0.25, 1]]
    assert (study.n_modalities, study.n_readers, study.n_cases) == (2, 3, 4)
    assert (study.n_nondiseased, study.n_diseased, study.n_lesions) == (2, 2, 2)
    assert study.cohort.strata == (2, 2)
    assert study.is_roc


def test_a_study_is_roc_only_when_every_reading_is(simulated_study) -> None:
    unmarked = replace(ONE, nl_case=np.array([0]), nl_rating=np.array([1.0]))
    study = ReaderStudy(("CT",), ("a", "b"), ((ONE, unmarked),))
    assert not study.is_roc
    assert "ROC data" in str(study.undefined_reason("Wilcoxon"))
    assert study.undefined_reason("HrAuc") is None
    with pytest.raises(ValueError, match="exactly one rating per case"):
        study.figures("Wilcoxon")
    assert not simulated_study(0).is_roc


def test_what_is_made_of_each_reading_may_have_axes_of_its_own(simulated_study) -> None:
    study = simulated_study(1)
    highest = study.each(lambda reading: reading.highest_nl)
    assert highest.shape == (2, 3, 13)
    assert highest[1, 2].tolist() == study.readings[1][2].highest_nl.tolist()
    assert study.figures("wAFROC")[1, 0] == figure_of_merit(study.readings[1][0], "wAFROC")


def test_lists_become_tuples() -> None:
    study = ReaderStudy(["CT"], ["a", "b"], [[ONE, OTHER]])
    assert study.modalities == ("CT",)
    assert study.readings == ((ONE, OTHER),)


@pytest.mark.parametrize(
    ("modalities", "readers", "readings", "message"),
    [
        (("CT", "CT"), ("a",), ((ONE,), (ONE,)), r"modalities must have unique names.*\['CT', 'CT'\]"),
        (("CT",), (), ((),), "readers must have unique names, at least one"),
        (("CT", "MR"), ("a",), ((ONE,),), "readings of 1 modalities for 2 names"),
        (("CT", "MR"), ("a", "b"), ((ONE, ONE), (ONE,)), "modality 'MR' has 1 readings for 2 readers"),
        (
            ("CT",),
            ("a", "b"),
            ((ONE, FreeResponseData.from_scores([1, 2, 3], [0, 0, 1])),),
            "modality 'CT', reader 'b' compared with modality 'CT', reader 'a': .* n_diseased differs",
        ),
    ],
)
def test_what_is_not_a_crossed_study_is_refused(modalities, readers, readings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReaderStudy(modalities, readers, readings)
