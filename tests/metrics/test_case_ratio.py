from __future__ import annotations

import math

import numpy as np

from medpipe.metrics.case_ratio import CaseRatio

FOUND = CaseRatio(np.array([0, 1, 2, 0]), np.array([0, 1, 3, 2]))  # the first case has nothing to be found


def test_figure_is_a_quotient_of_sums_over_the_sample() -> None:
    assert FOUND.statistic()(np.ones(4, dtype=int)) == 3 / 6
    assert FOUND.statistic()(np.array([5, 2, 1, 0])) == 4 / 5


def test_several_samples_at_once() -> None:
    samples = np.array([[[1, 1, 1, 1], [5, 2, 1, 0]]])
    assert FOUND.figures(samples).tolist() == [[3 / 6, 4 / 5]]


def test_sample_without_anything_to_be_found_is_nan() -> None:
    assert math.isnan(FOUND.statistic()(np.array([3, 0, 0, 0])))


def test_leaving_out_each_case() -> None:
    assert FOUND.leave_one_out().tolist() == [3 / 6, 2 / 5, 1 / 3, 3 / 4]
    assert math.isnan(CaseRatio(np.array([0, 1]), np.array([0, 1])).leave_one_out()[1])
