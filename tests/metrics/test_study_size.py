from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from medpipe.metrics.mrmc import ANALYSES, Crossing
from medpipe.metrics.obuchowski_rockette import ObuchowskiRockette
from medpipe.metrics.study_size import NoErrorVarianceError, PilotStudy, cases_needed, study_power

PILOT = PilotStudy(var_tr=0.0002, cov1=0.00035, cov2=0.00034, cov3=0.00024, var=0.0008, n_cases=114)


def from_pseudovalues(var_tr: float, var_tc: float, var_error: float) -> PilotStudy:
    """The same components as an analysis of pseudovalues gives them, for one case."""
    return PilotStudy(var_tr, cov1=0, cov2=var_tc, cov3=0, var=var_tc + var_error, n_cases=1)


# Printed in DP Chakraborty's online book (chapter FROC sample size): pilot study of two modalities of Zanca et al.
# 2009, five readers and 100 cases, by difference in ROC area; the wAFROC difference is 1.2617239 times as large.
ROC_PILOT = from_pseudovalues(0.00015265067, 0.00964432675, 0.09484636574)
WAFROC_PILOT = from_pseudovalues(-0.00044392794, 0.01016518621, 0.09672559908)
BOOK = [
    (0.01, 0.012617239, 0.064430457, 0.075439644),
    (0.02, 0.025234479, 0.10878897, 0.15449773),
    (0.03, 0.037851718, 0.18471152, 0.28797922),
    (0.04, 0.050468957, 0.29079274, 0.4612966),
    (0.05, 0.063086196, 0.41954431, 0.6420946),
    (0.06, 0.075703436, 0.55738123, 0.79495349),
    (0.07, 0.088320675, 0.68816012, 0.90003872),
    (0.08, 0.10093791, 0.79836108, 0.95891383),
    (0.09, 0.11355515, 0.88095077, 0.98585038),
    (0.1, 0.12617239, 0.93606799, 0.9959336),
]


@pytest.mark.parametrize(("roc", "wafroc", "roc_power", "wafroc_power"), BOOK)
def test_powers_are_those_printed_in_the_book(roc: float, wafroc: float, roc_power: float, wafroc_power: float) -> None:
    assert study_power(ROC_PILOT, roc, 5, 100).power == pytest.approx(roc_power, abs=1e-7)
    assert study_power(WAFROC_PILOT, wafroc, 5, 100).power == pytest.approx(wafroc_power, abs=1e-7)


def test_number_of_cases_is_the_one_printed_in_the_book() -> None:
    assert cases_needed(WAFROC_PILOT, 0.063086196, 6) == 121
    assert study_power(WAFROC_PILOT, 0.063086196, 6, 121).power == pytest.approx(0.80022333, abs=1e-7)


def test_rrrc_is_the_noncentral_f_of_its_formula() -> None:
    # Twice the pilot's cases: error .00045 / 2, shared .0001 / 2; four readers.
    total, interaction = 0.0002 + 0.000225 + 3 * 0.00005, 0.0002 + 0.000225 - 0.00005
    found = study_power(PILOT, 0.05, 4, 228)
    assert found.ddf == pytest.approx(3 * (total / interaction) ** 2)
    assert found.noncentrality == pytest.approx(4 * 0.05**2 / 2 / total)
    assert found.critical == pytest.approx(stats.f.ppf(0.95, 1, found.ddf))
    assert found.power == pytest.approx(stats.ncf.sf(found.critical, 1, found.ddf, found.noncentrality))


def test_frrc_is_the_power_of_a_z_test() -> None:
    found = study_power(PILOT, -0.03, 4, 114, "FRRC")
    se = math.sqrt(2 * (0.00045 + 3 * 0.0001) / 4)
    z = stats.norm.ppf(0.975)
    assert found.power == pytest.approx(stats.norm.sf(z - 0.03 / se) + stats.norm.cdf(-z - 0.03 / se))
    assert found.ddf == math.inf


def test_rrfc_is_the_power_of_a_paired_t_test_over_readers() -> None:
    found = study_power(PILOT, 0.03, 5, 114, "RRFC", alpha=0.1)
    noncentrality = 0.03 / math.sqrt(2 * (0.0002 + 0.00045 - 0.0001) / 5)
    t = stats.t.ppf(0.95, 4)
    assert found.power == pytest.approx(stats.nct.sf(t, 4, noncentrality) + stats.nct.cdf(-t, 4, noncentrality))


def test_negative_interaction_counts_as_none() -> None:
    negative = PilotStudy(-0.1, PILOT.cov1, PILOT.cov2, PILOT.cov3, PILOT.var, PILOT.n_cases)
    none = PilotStudy(0.0, PILOT.cov1, PILOT.cov2, PILOT.cov3, PILOT.var, PILOT.n_cases)
    for name in ANALYSES:
        assert study_power(negative, 0.04, 5, 100, name) == study_power(none, 0.04, 5, 100, name)


def test_error_without_interaction_needs_the_chi_square_limit() -> None:
    only_cases = PilotStudy(0.0, cov1=0.001, cov2=0.002, cov3=0.001, var=0.002, n_cases=100)
    found = study_power(only_cases, 0.05, 3, 100)
    assert found.ddf == math.inf
    assert found.power == study_power(only_cases, 0.05, 3, 100, "FRRC").power


@given(
    analysis=st.sampled_from(ANALYSES),
    readers=st.integers(2, 12),
    effect=st.floats(0.02, 0.1),
    power=st.floats(0.3, 0.95),
)
@settings(max_examples=60, deadline=None)
def test_number_of_cases_is_the_smallest_with_the_power(analysis, readers: int, effect: float, power: float) -> None:
    found = cases_needed(PILOT, effect, readers, power, analysis, most=3000)
    if found is None:
        assert study_power(PILOT, effect, readers, 3000, analysis).power < power
    else:
        assert study_power(PILOT, effect, readers, found, analysis).power >= power
        assert found == 2 or study_power(PILOT, effect, readers, found - 1, analysis).power < power


def test_readers_and_cases_and_effect_raise_the_power() -> None:
    for name in ANALYSES:
        powers = np.array(
            [[[study_power(PILOT, d, j, k, name).power for d in (0.02, 0.05)] for k in (60, 200)] for j in (3, 6, 12)]
        )
        assert all((np.diff(powers, axis=axis) > 0).all() for axis in range(3))


def test_too_few_readers_can_never_have_the_power() -> None:
    assert cases_needed(PILOT, 0.03, 2) is None


def test_components_without_error_have_no_number_of_cases() -> None:
    nothing = PilotStudy(0.0, 0.0, 0.0, 0.0, 0.0, 100)
    for name in ANALYSES:
        with pytest.raises(NoErrorVarianceError, match=f"leaves no error variance for {name}"):
            cases_needed(nothing, 0.05, 5, analysis=name)
    with pytest.raises(ValueError, match="most must be at least 2"):
        cases_needed(PILOT, 0.05, 5, most=1)


def test_components_come_from_an_analysis() -> None:
    figures = np.array([[0.8, 0.9, 0.7], [0.9, 0.9, 0.8]])
    model = ObuchowskiRockette(Crossing(figures, ("a", "b"), ("1", "2", "3")), np.full((6, 6), 0.001) + np.eye(6) / 500)
    pilot = PilotStudy.from_analysis(model, 80)
    assert (pilot.var, pilot.cov1, pilot.n_cases) == (pytest.approx(0.003), pytest.approx(0.001), 80)
    assert pilot.var_tr == model.components["VarTR"]
    alone = ObuchowskiRockette(Crossing(figures[:, :1], ("a", "b"), ("1",)), np.eye(2) / 500)
    with pytest.raises(ValueError, match="var_tr must be finite, found nan: planning needs a pilot study of at least"):
        PilotStudy.from_analysis(alone, 80)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"effect": 0.0}, "effect must be a difference other than 0"),
        ({"readers": 0}, "readers must be at least 1"),
        ({"readers": 1}, "RRRC generalises to other readers"),
        ({"cases": 1}, "cases must be at least 2"),
        ({"alpha": 5}, "alpha must lie between 0 and 1"),
        ({"analysis": "RR"}, "unknown analysis"),
        ({"pilot": PilotStudy(0, 0.001, 0, 0, 0.001, 10)}, "leaves no error variance for RRRC"),
    ],
)
def test_impossible_plans_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        study_power(**({"pilot": PILOT, "effect": 0.05, "readers": 4, "cases": 50} | arguments))


def test_impossible_wishes_are_refused() -> None:
    with pytest.raises(ValueError, match="power must lie between 0 and 1, such as 0.8, found 80"):
        cases_needed(PILOT, 0.05, 4, 80)
    with pytest.raises(ValueError, match="n_cases of the pilot study"):
        PilotStudy(0, 0, 0, 0, 0.001, 0)
