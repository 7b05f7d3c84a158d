"""Reader studies that others have analysed: the figures of RJafroc and of the University of Iowa's program.

The data and the stored results of RJafroc's own tests are read as its files have them. Its split-plot and crossed-modality
analyses, and figures of merit of other paradigms (LROC, ROI, Song's areas, ...), are not made here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medpipe.metrics.anova import mean_squares
from medpipe.metrics.dbm import DorfmanBerbaumMetz, dorfman_berbaum_metz
from medpipe.metrics.free_response import FreeResponseData, equal_weights
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.jackknife import pseudovalues, study_leave_one_out
from medpipe.metrics.mrmc import ANALYSES, Analysis
from medpipe.metrics.obuchowski_rockette import ObuchowskiRockette, figure_covariance, obuchowski_rockette
from medpipe.metrics.reader_study import ReaderStudy
from medpipe.metrics.study_size import PilotStudy, cases_needed, study_power

rdata = pytest.importorskip("rdata")
openpyxl = pytest.importorskip("openpyxl")

pytestmark = [pytest.mark.shared_data, pytest.mark.filterwarnings("ignore")]  # of the two readers of files

Model = ObuchowskiRockette | DorfmanBerbaumMetz


@pytest.fixture(scope="module")
def froc(shared_data: Path) -> Path:
    return shared_data / "froc"


@cache
def froc_json(path: Path) -> ReaderStudy:
    content = json.loads(path.read_text())

    def reading(i: int, j: int) -> FreeResponseData:
        nls, lls = content["NL"][i][j], content["LL"][i][j]
        return FreeResponseData(
            n_nondiseased=content["n_nondiseased"],
            n_diseased=content["n_diseased"],
            nl_case=[case for case, _ in nls],
            nl_rating=[rating for _, rating in nls],
            ll_case=[case for case, _, _ in lls],
            ll_lesion=[lesion for _, lesion, _ in lls],
            ll_rating=[rating for _, _, rating in lls],
            lesions_per_case=content["lesions_per_case"],
            lesion_weights=np.concatenate(content["lesion_weights"]),
        )

    modalities, readers = content["modalities"], content["readers"]
    rows = [[reading(i, j) for j in range(len(readers))] for i in range(len(modalities))]
    return ReaderStudy(modalities, readers, rows)


@cache
def rjafroc_data(path: Path) -> ReaderStudy:
    """One of the package's data sets: arrays of ratings with minus infinity for no mark."""
    content = rdata.read_rda(path)[path.stem]
    nl, ll = (np.asarray(content["ratings"][kind]) for kind in ("NL", "LL"))
    lesions, weights = (np.asarray(content["lesions"][key]) for key in ("perCase", "weights"))
    n_nondiseased = nl.shape[2] - lesions.size

    def reading(i: int, j: int) -> FreeResponseData:
        nl_at, ll_at = np.nonzero(np.isfinite(nl[i, j])), np.nonzero(np.isfinite(ll[i, j]))
        return FreeResponseData(
            n_nondiseased=n_nondiseased,
            n_diseased=lesions.size,
            nl_case=nl_at[0],
            nl_rating=nl[i, j][nl_at],
            ll_case=ll_at[0],
            ll_lesion=ll_at[1],
            ll_rating=ll[i, j][ll_at],
            lesions_per_case=lesions.astype(int),
            lesion_weights=weights[np.arange(weights.shape[1]) < lesions[:, None]],
        )

    names = [tuple(str(name) for name in content["descriptions"][kind]) for kind in ("modalityID", "readerID")]
    return ReaderStudy(*names, [[reading(i, j) for j in range(nl.shape[1])] for i in range(nl.shape[0])])


def workbook_rows(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Rows of every sheet of a workbook, without its head and without empty rows."""
    book = openpyxl.load_workbook(path, read_only=True)
    sheets = {sheet.title.upper(): list(sheet.iter_rows(min_row=2, values_only=True)) for sheet in book}
    return {title: [row for row in rows if row[0] is not None] for title, rows in sheets.items()}


def reading_of(
    truth: Sequence[tuple[Any, ...]], found: Sequence[tuple[Any, Any, float]], false: Sequence[tuple[Any, float]]
) -> FreeResponseData:
    """One reading: truth as (case, lesion, weight), lesion marks as (case, lesion, rating), others as (case, rating)."""
    healthy = [row[0] for row in truth if row[1] == 0]
    lesions = [(row[0], row[1]) for row in truth if row[1] != 0]
    diseased = list(dict.fromkeys(case for case, _ in lesions))
    number = {case: k for k, case in enumerate(healthy + diseased)}
    per_case = [Counter(case for case, _ in lesions)[case] for case in diseased]
    raw = np.array([row[2] for row in truth if row[1] != 0], dtype=float)
    of_case = np.repeat(np.arange(len(diseased)), per_case)
    weights = raw / np.bincount(of_case, raw)[of_case] if raw.all() else equal_weights(per_case)
    return FreeResponseData(
        n_nondiseased=len(healthy),
        n_diseased=len(diseased),
        nl_case=[number[case] for case, _ in false],
        nl_rating=[rating for _, rating in false],
        ll_case=[number[case] - len(healthy) for case, _, _ in found],
        ll_lesion=[int(lesion) - 1 for _, lesion, _ in found],
        ll_rating=[rating for _, _, rating in found],
        lesions_per_case=per_case,
        lesion_weights=weights,
    )


def close(expected: Any) -> Any:
    return pytest.approx(expected, rel=1e-10, abs=1e-13)


# Van Dyke et al. 1993 and Zanca et al. 2009, analysed by RJafroc 2.1.3

TESTED = [("vandyke_roc", "Wilcoxon"), ("fed_froc", "wAFROC"), ("fed_froc", "HrAuc")]


@pytest.mark.parametrize("study", ["vandyke_roc", "fed_froc"])
def test_every_figure_of_merit(froc: Path, study: str) -> None:
    data = froc_json(froc / f"{study}.json")
    figures = json.loads((froc / f"{study}.reference.json").read_text())["computed"]["figures_of_merit"]
    for name, values in figures.items():
        np.testing.assert_allclose(data.figures(name), values, atol=1e-10, err_msg=name)
    assert figures


def as_published(found: Analysis) -> dict[str, Any]:
    """An analysis with the reference file's names."""
    statistic, df = ("z", ()) if found.normal else ("t", ("df",))
    test = found.test
    head = {"chisq": test.statistic, "df": test.ndf} if found.normal else {"F": test.statistic, "ndf": test.ndf}
    head |= {} if found.normal else {"ddf": test.ddf}
    head |= {"p": test.p, "ms_numerator": test.ms_numerator, "ms_denominator": test.ms_denominator}

    def entry(one: Any, *names: str) -> dict[str, Any]:
        renamed = {statistic: "statistic", "ci_low": "low", "ci_high": "high"}
        return {name: getattr(one, renamed.get(name, name)) for name in names}

    compared = ("label", "estimate", "se", *df, statistic, "p", "ci_low", "ci_high")
    head["differences"] = [entry(one, *compared) for one in found.differences]
    head["per_modality"] = [
        entry(one, "label", "estimate", "se", *df, "ci_low", "ci_high") for one in found.per_modality
    ]
    if found.name == "FRRC":
        head["differences_each_reader"] = [entry(one, *compared) for one in found.differences_each_reader]
    return head


def assert_same(found: Any, expected: Any, where: str) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key, value in expected.items():
            assert_same(found[key], value, f"{where}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for k, value in enumerate(expected):
            assert_same(found[k], value, f"{where}/{k}")
    else:
        assert found == (expected if isinstance(expected, str) else close(expected)), where


@pytest.mark.parametrize(("study", "name"), TESTED)
def test_mean_squares_components_and_all_tests(froc: Path, study: str, name: str) -> None:
    data = froc_json(froc / f"{study}.json")
    expected = json.loads((froc / f"{study}.reference.json").read_text())["computed"]["tests"][name]
    models: dict[str, Model] = {"OR": obuchowski_rockette(data, name), "DBM": dorfman_berbaum_metz(data, name)}
    for method, model in models.items():
        assert model.mean_squares == close(expected[f"{method.lower()}_mean_squares"])
        assert model.components == close(expected[f"{method.lower()}_components"])
        for kind in ANALYSES:
            assert_same(as_published(model.analysis(kind)), expected[method][kind], f"{name}/{method}/{kind}")
    assert models["OR"].crossing.figures.mean(axis=1).tolist() == close(expected["modality_means"])


def test_delongs_covariance_of_the_van_dyke_data_is_procs(froc: Path) -> None:
    data = froc_json(froc / "vandyke_roc.json")
    expected = json.loads((froc / "vandyke_roc.reference.json").read_text())["delong"]
    found = figure_covariance(data, "Wilcoxon", "delong")
    for one in expected["single"]:
        k = one["modality"] * 5 + one["reader"]
        assert found[k, k] == close(one["var_delong"])
    for pair in expected["paired_modality0_vs_1"]:
        assert found[pair["reader"], 5 + pair["reader"]] == close(pair["cov"])


# The same, as the University of Iowa's OR-DBM MRMC 2.51 prints them


def test_van_dyke_data_as_printed_by_the_iowa_program(froc: Path) -> None:
    data = froc_json(froc / "vandyke_roc.json")
    printed = json.loads((froc / "vandyke_roc.reference.json").read_text())["published"]
    found, dbm = obuchowski_rockette(data, "Wilcoxon"), dorfman_berbaum_metz(data, "Wilcoxon")
    np.testing.assert_allclose(found.crossing.figures, printed["auc"], atol=6e-9)
    assert found.mean_squares == pytest.approx(printed["ms"], abs=6e-9)
    assert found.components == pytest.approx(printed["or_components"], abs=6e-9)
    assert dbm.components == pytest.approx(printed["dbm_components"], abs=6e-9)
    for kind in ANALYSES:
        result, table = found.analysis(kind), printed[kind]
        test, one = result.test, result.differences[0]
        assert test.p == pytest.approx(table["p"], abs=6e-5)
        assert (one.low, one.high) == pytest.approx(table["ci"], abs=6e-6)
        assert one.se == pytest.approx(table["se"], abs=6e-6)
        if kind == "FRRC":
            assert test.statistic == pytest.approx(table["chisq"], abs=6e-6)
        else:
            assert test.statistic == pytest.approx(table["F"], abs=6e-3)
            assert test.ddf == pytest.approx(table["ddf"], abs=6e-3)
    for mean, (estimate, se, df, low, high) in zip(
        found.analysis("RRRC").per_modality, printed["RRRC"]["per_modality"], strict=True
    ):
        assert (mean.estimate, mean.se, mean.low, mean.high) == pytest.approx((estimate, se, low, high), abs=6e-8)
        assert mean.df == pytest.approx(df, abs=6e-3)


def test_inferred_roc_of_the_zanca_data_as_printed_by_the_iowa_program(froc: Path) -> None:
    data = froc_json(froc / "fed_froc.json")
    printed = json.loads((froc / "fed_froc.reference.json").read_text())["published"]
    found, dbm = obuchowski_rockette(data, "HrAuc"), dorfman_berbaum_metz(data, "HrAuc")
    np.testing.assert_allclose(found.crossing.figures.T, printed["auc_by_reader_rows"], atol=6e-9)
    assert found.crossing.figures.mean(axis=1).tolist() == pytest.approx(printed["modality_means"], abs=6e-9)
    assert found.mean_squares == pytest.approx(printed["ms"], abs=6e-9)
    assert found.components == pytest.approx(printed["or_components"], abs=6e-9)
    assert dbm.components == pytest.approx(printed["dbm_components"], abs=6e-9)
    assert found.components["VarTR"] < 0
    random, fixed = found.analysis("RRRC"), found.analysis("FRRC")
    assert random.test.statistic == pytest.approx(printed["RRRC"]["F"], abs=6e-3)
    assert random.test.ddf == pytest.approx(printed["RRRC"]["ddf"], abs=6e-3)
    assert random.test.p == pytest.approx(printed["RRRC"]["p"], abs=6e-5)
    assert fixed.test.statistic == pytest.approx(printed["FRRC"]["chisq"], abs=6e-6)
    last = random.differences[-1]
    estimate, low, high, p = printed["RRRC"]["difference_4_5"]
    assert (last.estimate, last.low, last.high) == pytest.approx((estimate, low, high), abs=6e-6)
    assert last.p == pytest.approx(p, abs=6e-5)


# Stored results of RJafroc's own tests

GOOD = Path("rjafroc", "tests", "testthat", "goodValues361")


def good(froc: Path, *parts: str) -> Any:
    return rdata.read_rds(froc / GOOD / Path(*parts).with_suffix(".rds"))


def column(frame: Any, name: str) -> dict[str, float]:
    return {str(row): float(frame.loc[row, name]) for row in frame.index}


@pytest.mark.parametrize("name", ["HrAuc", "wAFROC1", "AFROC1", "MaxLLF", "MaxNLF", "MaxNLFAllCases", "HrSp", "HrSe"])
def test_figures_of_a_study_of_breast_tomosynthesis(froc: Path, name: str) -> None:
    study = rjafroc_data(froc / "rjafroc" / "data" / "dataset01.RData")
    expected = np.asarray(good(froc, "FOM", f"UtilFigureOfMeritFROC-{name}"))
    np.testing.assert_allclose(study.figures(name), expected, atol=1e-13)


def test_figures_of_the_van_dyke_data(froc: Path) -> None:
    study = rjafroc_data(froc / "rjafroc" / "data" / "dataset02.RData")
    np.testing.assert_allclose(
        study.figures("Wilcoxon"), np.asarray(good(froc, "FOM", "UtilFigureOfMeritROC-Wilcoxon")), atol=1e-13
    )


def test_figures_of_a_phantom_study_with_eight_combinations_of_settings(froc: Path) -> None:
    sheets = workbook_rows(froc / "rjafroc" / "inst" / "extdata" / "XModDataFile.xlsx")
    expected = np.asarray(good(froc, "FOM", "UtilFigureOfMerit-wAFROC"))  # algorithm, tube charge, reader
    readers = sorted({row[0] for row in sheets["TP"]})
    for a, algorithm in enumerate(("Alg-FBP", "Alg-AIDR")):
        for b, charge in enumerate((20, 40, 60, 80)):
            for j, reader in enumerate(readers):
                key = (reader, algorithm, charge)
                found = [row[3:6] for row in sheets["TP"] if row[:3] == key]
                false = [row[3:5] for row in sheets["FP"] if row[:3] == key]
                study = ReaderStudy(("one",), ("one",), [[reading_of(sheets["TRUTH"], found, false)]])
                assert study.figures("wAFROC")[0, 0] == pytest.approx(float(expected[a, b, j]), abs=1e-12)


FIGURES = ("AFROC", "AFROC1", "wAFROC", "wAFROC1", "HrAuc", "HrSe", "HrSp", "MaxLLF", "MaxNLF", "MaxNLFAllCases")
STORED = [("dataset02", "Wilcoxon"), *(("dataset05", name) for name in FIGURES)]


@pytest.mark.parametrize(("study", "name"), STORED)
def test_mean_squares(froc: Path, study: str, name: str) -> None:
    data = rjafroc_data(froc / "rjafroc" / "data" / f"{study}.RData")
    model = dorfman_berbaum_metz(data, name)
    stored = good(froc, "MeanSquares", f"{study}{name}-OR")
    assert {f"ms{k}": v for k, v in mean_squares(data.figures(name), "TR").items()} == close(
        {str(key): float(value[0]) for key, value in stored.items()}
    )
    stored = good(froc, "MeanSquares", f"{study}{name}-DBM")
    for key, value in model.mean_squares.items():
        assert value == close(float(stored[f"ms{key}"][0])), key
    values = model.pseudovalues
    within_modality = [mean_squares(row, "RC")["C"] for row in values]
    within_reader = [mean_squares(values[:, j], "TC")["C"] for j in range(values.shape[1])]
    assert within_modality == close(list(np.asarray(stored["msCSingleT"])))
    assert within_reader == close(list(np.asarray(stored["msCSingleR"])))


@pytest.mark.parametrize(("study", "name"), [(study, name) for study, name in STORED if name != "HrAuc"])
def test_leave_one_out_values_and_pseudovalues(froc: Path, study: str, name: str) -> None:
    data, stored = (
        rjafroc_data(froc / "rjafroc" / "data" / f"{study}.RData"),
        good(froc, "Utils", f"PseudoValues-{name}"),
    )
    without = study_leave_one_out(data, name)
    np.testing.assert_allclose(without, np.asarray(stored["jkFomValues"]), atol=1e-12)
    found = pseudovalues(data.figures(name), without)
    np.testing.assert_allclose(found, np.asarray(stored["jkPseudoValues"]), atol=1e-11)


@pytest.mark.parametrize(
    ("stored", "study", "name"),
    [("DbmDataset02", "dataset02", "Wilcoxon"), ("DbmDatasetwAFROC05", "dataset05", "wAFROC")],
)
def test_components_of_pseudovalues(froc: Path, stored: str, study: str, name: str) -> None:
    model = dorfman_berbaum_metz(rjafroc_data(froc / "rjafroc" / "data" / f"{study}.RData"), name)
    expected = good(froc, "UtilVarComponents", stored)
    assert model.components == close(column(expected["VarCom"], "Estimates"))
    anova = column(expected["TRCanova"], "MS")
    assert model.mean_squares == close({key: anova[key] for key in model.mean_squares})
    for i, modality in enumerate(model.crossing.modalities):
        within = {f"ms{key}": value for key, value in mean_squares(model.pseudovalues[i], "RC").items()}
        assert within == close(column(expected["IndividualTrt"], f"trt{modality}"))
    for j, reader in enumerate(model.crossing.readers):
        within = {f"ms{key}": value for key, value in mean_squares(model.pseudovalues[:, j], "TC").items()}
        assert within == close(column(expected["IndividualRdr"], f"rdr{reader}"))


def assert_or_components(model: ObuchowskiRockette, expected: Any, tolerance: float = 1e-10) -> None:
    def near(value: float) -> Any:
        return pytest.approx(value, rel=tolerance, abs=1e-13)

    stored = column(expected["VarCom"], "Estimates")
    if tolerance > 1e-9:  # of a bootstrap with other random numbers: what subtraction leaves is nearly all noise
        del stored["VarTR"]
    assert {key: model.components[key] for key in stored} == {key: near(value) for key, value in stored.items()}
    anova = column(expected["TRanova"], "MS")
    assert model.mean_squares == close({key: anova[key] for key in model.mean_squares})
    fixed = model.analysis("FRRC")
    for one, row in zip(fixed.per_modality, np.asarray(expected["IndividualTrt"]), strict=True):
        df, _, variance, cov2 = (float(value) for value in row)
        assert one.se**2 == near((variance + df * max(cov2, 0)) / (df + 1))
    pairs = len(fixed.differences)
    for one, row in zip(fixed.differences_each_reader[::pairs], np.asarray(expected["IndividualRdr"]), strict=True):
        assert one.se**2 == near(2 * (float(row[2]) - float(row[3])))


@pytest.mark.parametrize(
    ("file", "study", "name"), [("Dataset02", "vandyke_roc", "Wilcoxon"), ("Dataset04", "fed_froc", "HrAuc")]
)
def test_components_by_jackknife_delong_and_bootstrap(froc: Path, file: str, study: str, name: str) -> None:
    data = froc_json(froc / f"{study}.json")
    for method, stored in (("jackknife", "Jackknife"), ("delong", "DeLong")):
        model = obuchowski_rockette(data, name, covariance=method)
        assert_or_components(model, good(froc, "UtilVarComponents", f"{stored}{file}"))
    model = obuchowski_rockette(data, name, covariance="bootstrap", bootstrap=Bootstrap(4000, seed=1))
    assert_or_components(model, good(froc, "UtilVarComponents", f"bootstrap{file}"), tolerance=0.12)


def test_components_of_a_toy_study_in_a_workbook(froc: Path) -> None:
    sheets = workbook_rows(froc / "rjafroc" / "inst" / "extdata" / "toyFiles" / "FROC" / "frocCr.xlsx")
    rows = [
        [
            reading_of(
                sheets["TRUTH"],
                [row[2:5] for row in sheets["TP"] if (str(row[0]), str(row[1])) == (reader, modality)],
                [row[2:4] for row in sheets["FP"] if (str(row[0]), str(row[1])) == (reader, modality)],
            )
            for reader in "012"
        ]
        for modality in "01"
    ]
    study = ReaderStudy(("0", "1"), ("0", "1", "2"), rows)
    assert_or_components(obuchowski_rockette(study, "wAFROC"), good(froc, "UtilVarComponents", "frocCr"))


# Sample sizes that RJafroc's tests and its author's online book give for the Van Dyke data


@pytest.mark.parametrize(
    ("analysis", "readers", "cases", "power"),
    [
        ("RRRC", 6, 111, 0.5526116),
        ("RRRC", 6, 112, 0.5555789),
        ("RRRC", 10, 165, 0.80541995),
        ("FRRC", 10, 131, 0.80091813),
        ("RRFC", 10, 53, 0.80496663),
    ],
)
def test_power(froc: Path, analysis: Any, readers: int, cases: int, power: float) -> None:
    found = study_power(_van_dyke_pilot(froc), -0.043800322, readers, cases, analysis)
    assert found.power == pytest.approx(power, abs=6e-8)


def test_numbers_of_cases_for_numbers_of_readers(froc: Path) -> None:
    pilot = _van_dyke_pilot(froc)
    table = {4: 1089, 5: 344, 6: 251, 7: 211, 8: 188, 9: 173, 10: 163, 11: 155, 12: 149, 20: 126, 50: 109, 100: 103}
    assert {readers: cases_needed(pilot, 0.043800322, readers) for readers in table} == table
    assert cases_needed(pilot, 0.043800322, 3, most=2000) is None
    assert cases_needed(pilot, 0.043800322, 10, power=0.9) == 236
    assert cases_needed(pilot, 0.043800322, 10, analysis="FRRC") == 131
    assert cases_needed(pilot, 0.043800322, 10, analysis="RRFC") == 53


def _van_dyke_pilot(froc: Path) -> PilotStudy:
    data = froc_json(froc / "vandyke_roc.json")
    return PilotStudy.from_analysis(obuchowski_rockette(data, "Wilcoxon"), data.n_cases)
