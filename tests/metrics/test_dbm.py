from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from medpipe.metrics.dbm import DorfmanBerbaumMetz, dorfman_berbaum_metz
from medpipe.metrics.mrmc import Crossing
from medpipe.metrics.obuchowski_rockette import obuchowski_rockette
from medpipe.metrics.reader_study import ReaderStudy

NAMES = ("wAFROC", "AFROC", "AFROC1", "HrAuc", "FROC", "MaxLLF", "MaxNLF", "HrSe", "HrSp")


def numbers(analysis) -> list[float]:
    parts = [analysis.test, *analysis.differences, *analysis.per_modality]
    scale = ("ms_numerator", "ms_denominator", "label", "p_holm")
    return [value for part in parts for key, value in asdict(part).items() if key not in scale]


@given(seed=st.integers(0, 10**6), name=st.sampled_from(NAMES), modalities=st.integers(2, 3), readers=st.integers(2, 4))
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore:the denominator is 0")
def test_rrrc_and_rrfc_agree_with_obuchowski_and_rockette(
    simulated_study, seed: int, name: str, modalities: int, readers: int
) -> None:
    study = simulated_study(seed, modalities, readers)
    dbm, other = dorfman_berbaum_metz(study, name), obuchowski_rockette(study, name)
    for kind in ("RRRC", "RRFC"):
        found, expected = numbers(dbm.analysis(kind)), numbers(other.analysis(kind))
        assert found == pytest.approx(expected, rel=1e-7, abs=1e-10, nan_ok=True)


@given(seed=st.integers(0, 10**6), name=st.sampled_from(NAMES))
@settings(max_examples=40, deadline=None)
def test_components_are_those_of_obuchowski_and_rockette_times_cases(simulated_study, seed: int, name: str) -> None:
    study = simulated_study(seed, readers=3)
    dbm, c = dorfman_berbaum_metz(study, name), obuchowski_rockette(study, name).components
    k = dbm.pseudovalues.shape[-1]
    expected = {
        "VarC": k * c["Cov3"],
        "VarTC": k * (c["Cov2"] - c["Cov3"]),
        "VarRC": k * (c["Cov1"] - c["Cov3"]),
        "VarErr": k * (c["Var"] - c["Cov1"] - c["Cov2"] + c["Cov3"]),
    }
    if c["Cov2"] >= c["Cov3"]:
        expected |= {"VarTR": c["VarTR"], "VarR": c["VarR"]}
    assert {name: dbm.components[name] for name in expected} == pytest.approx(expected, rel=1e-8, abs=1e-12)


def test_frrc_of_one_reader_is_the_paired_t_test_of_pseudovalues(simulated_study) -> None:
    model = dorfman_berbaum_metz(simulated_study(3, readers=1), "wAFROC")
    expected = stats.ttest_rel(*model.pseudovalues[:, 0])
    found = model.analysis("FRRC")
    assert found.test.p == pytest.approx(expected.pvalue, rel=1e-9)
    for one in (found.differences[0], found.differences_each_reader[0]):
        limits = expected.confidence_interval(0.95)
        assert (one.statistic, one.p) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)
        assert (one.low, one.high) == pytest.approx((limits.low, limits.high))
    assert math.isnan(model.components["VarTR"])
    with pytest.raises(ValueError, match="RRRC generalises to other readers"):
        model.analysis("RRRC")


def test_frrc_is_the_paired_t_test_of_pseudovalues_averaged_over_readers(simulated_study) -> None:
    model = dorfman_berbaum_metz(simulated_study(3, readers=4), "wAFROC1")
    expected = stats.ttest_rel(*model.pseudovalues.mean(axis=1))
    (one,) = model.analysis("FRRC").differences
    assert (one.statistic, one.p, one.df) == pytest.approx((expected.statistic, expected.pvalue, 12), rel=1e-9)


def test_mean_of_a_modality_with_fixed_readers_is_a_t_interval_over_cases(simulated_study) -> None:
    study = simulated_study(6, modalities=1)
    model = dorfman_berbaum_metz(study, "wAFROC")
    values = model.pseudovalues[0].mean(axis=0)
    (one,) = model.analysis("FRRC").per_modality
    expected = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    assert (one.low, one.high) == pytest.approx(expected)
    assert model.analysis("FRRC").test is None


def test_frrc_takes_the_mean_square_of_modality_and_case_even_below_the_residual() -> None:
    # Cov2 < Cov3: MS(modality x case) is below the residual, and is used all the same.
    generator = np.random.default_rng(0)
    values = generator.normal(size=(2, 3, 30))
    values -= 0.9 * values.mean(axis=1, keepdims=True)
    model = DorfmanBerbaumMetz(Crossing(values.mean(axis=2), ("a", "b"), ("1", "2", "3")), values)
    assert model.components["VarTC"] < 0
    assert model.analysis("FRRC").test.ms_denominator == model.mean_squares["TC"]
    assert model.analysis("RRRC").test.ms_denominator == model.mean_squares["TR"]


def test_holm_is_passed_on(simulated_study) -> None:
    found = dorfman_berbaum_metz(simulated_study(1, modalities=3), "wAFROC", level=0.9, holm=True).analysis("RRRC")
    assert all(one.p_holm >= one.p for one in found.differences)


def test_pseudovalues_must_fit_the_figures(simulated_study) -> None:
    study: ReaderStudy = simulated_study(1)
    crossing = Crossing(study.figures("wAFROC"), study.modalities, study.readers)
    for shape in ((2, 2, 13), (2, 3, 1)):
        with pytest.raises(ValueError, match="pseudovalues must be"):
            DorfmanBerbaumMetz(crossing, np.zeros(shape))
    with pytest.raises(ValueError, match="exactly one rating per case"):
        dorfman_berbaum_metz(study, "Wilcoxon")
