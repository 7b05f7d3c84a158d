from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics.froc import compute_froc_curve_data, compute_froc_score

from medpipe.metrics.conventions import CONVENTIONS, node21_score
from medpipe.metrics.free_response import FreeResponseData, MatchedCase
from medpipe.metrics.froc import CAMELYON16_RATES, froc_score, monai_froc_score
from medpipe.metrics.lesions import Lesion
from medpipe.metrics.matching import Mark, MatchRow, match_marks


def monai_score(data: FreeResponseData) -> float:
    missed = np.zeros(data.n_lesions - data.ll_rating.size)
    curve = compute_froc_curve_data(
        data.nl_rating, np.concatenate([data.ll_rating, missed]), data.n_lesions, data.n_cases
    )
    return float(compute_froc_score(*curve, eval_thresholds=CAMELYON16_RATES))


@given(seed=st.integers(0, 10**6), levels=st.sampled_from([1, 3, 50]))
@settings(max_examples=80, deadline=None)
def test_the_compatible_score_is_monais(simulated, seed: int, levels: int) -> None:
    drawn = simulated(seed, 4, 3, levels)
    data = FreeResponseData(**{**_parts(drawn), "nl_rating": drawn.nl_rating + 1})
    assert monai_froc_score(data) == pytest.approx(monai_score(data))


def _parts(data: FreeResponseData) -> dict:
    return {name: getattr(data, name) for name in FreeResponseData.__dataclass_fields__}


def test_monai_scores_a_perfect_detector_zero_and_we_score_it_one() -> None:
    data = FreeResponseData.from_cases([MatchedCase("a", [MatchRow(0, "LL", 0, 0.9)], 1), MatchedCase("b", [], 0)])
    assert monai_froc_score(data) == monai_score(data) == 0
    assert froc_score(data, CAMELYON16_RATES).mean == 1


def test_a_rating_of_zero_cannot_be_told_from_a_miss_there() -> None:
    data = FreeResponseData.from_cases([MatchedCase("a", [MatchRow(0, "LL", 0, 0.0)], 1)])
    with pytest.raises(ValueError, match="above 0"):
        monai_froc_score(data)


def test_node21_weighs_the_auc_three_to_one() -> None:
    """AUC 1 (.9 against .2), sensitivity at 1/4: one lesion of two before the first false positive, none after."""
    data = FreeResponseData.from_cases(
        [
            MatchedCase("a", [MatchRow(0, "LL", 0, 0.9)], 1),
            MatchedCase("b", [MatchRow(0, "NL", None, 0.5)], 1),
            MatchedCase("c", [MatchRow(0, "NL", None, 0.2)], 0),
            MatchedCase("d", [], 0),
        ]
    )
    assert node21_score(data) == pytest.approx(0.75 * 1 + 0.25 * 0.5)


def test_a_luna16_candidate_on_the_radius_itself_is_no_hit() -> None:
    rule = CONVENTIONS["luna16"].hit_rule
    lesion = Lesion(circle=(0, 0, 5))
    kinds = [match_marks([Mark(x, 0, 1.0)], [lesion], rule)[0].kind for x in (4.999, 5.0)]
    assert kinds == ["LL", "NL"]
