from __future__ import annotations

import json
from pathlib import Path

import pytest

from medpipe.reports.reader_study import called, overall_line, reader_study_section


def test_every_analysis_of_every_figure_is_a_panel(sample) -> None:
    section = reader_study_section(sample.mrmc())
    found = {(panel["fom"], panel["method"], panel["generalisation"]) for panel in section["panels"]}
    kinds = {("OR", "RRRC"), ("OR", "FRRC"), ("OR", "RRFC"), ("DBM", "RRRC"), ("DBM", "FRRC")}
    assert found == {(fom, *kind) for fom in ("wAFROC", "AFROC") for kind in kinds}
    assert (section["default"], section["chosen"]) == ("wAFROC", ("OR", "RRRC"))


def test_the_study_may_name_its_main_figure(sample) -> None:
    results = sample.mrmc()
    results["reader_study"]["main_figure"] = "AFROC"
    assert reader_study_section(results)["default"] == "AFROC"


@pytest.mark.parametrize(
    ("test", "line"),
    [
        ({"F": 7.8003, "ndf": 4, "ddf": 36.79, "p": 0.00012}, "F(4, 36.8) = 7.80, p < 0.001"),
        ({"F": 1.5, "ndf": 1, "ddf": None, "p": 0.22}, "F(1, \u221e) = 1.50, p = 0.220"),
        ({"chisq": 15.403, "df": 4, "p": 0.0039}, "\u03c7\u00b2(4) = 15.40, p = 0.004"),
        ({"F": None, "ndf": None, "ddf": None, "p": None, "reason": "one modality"}, "there is no test: one modality"),
        ({"unavailable": "one reader"}, "there is no test: one reader"),
    ],
)
def test_the_test_is_told_in_one_line(test, line) -> None:
    assert overall_line(test) == line


def test_a_name_that_is_hardly_one_says_of_what_it_is_a_name() -> None:
    assert called("reader", ["1", "Dr Ann", "B"]) == ["reader 1", "Dr Ann", "reader B"]


def test_scales_hold_single_readers_and_no_difference(sample) -> None:
    panel = reader_study_section(sample.mrmc())["panels"][0]
    assert panel["scale"].low <= 0.7
    assert panel["scale"].high >= 0.85
    assert panel["difference_scale"].low <= -0.09
    assert panel["difference_scale"].high >= 0


def test_planning_that_was_not_possible_says_why(sample) -> None:
    results = sample.mrmc()
    results["reader_study"]["planning"] = {"unavailable": "one reader"}
    assert reader_study_section(results)["planning"] == {"rows": [], "about": "", "unavailable": "one reader"}


@pytest.mark.shared_data
@pytest.mark.parametrize(("name", "modalities", "readers"), [("fed_froc", 5, 4), ("vandyke_roc", 2, 5)])
def test_published_reader_studies_are_shown_whole(
    sample, page_of, shared_data: Path, name, modalities, readers
) -> None:
    reference = json.loads((shared_data / "froc" / f"{name}.reference.json").read_text())["computed"]
    study = {
        "type": "FROC" if name == "fed_froc" else "ROC",
        "modalities": [str(k) for k in range(modalities)],
        "readers": [str(k) for k in range(readers)],
        "level": 0.95,
        "covariance": "jackknife",
        "multiplicity": "none",
        "definitions": {},
        "unavailable": {},
        "figures_of_merit": reference["figures_of_merit"],
        "tests": reference["tests"],
    }
    results = {**sample.mrmc(), "reader_study": study}
    html = page_of(sample.checked(results)).read_text()
    assert html.count('class="choice" data-fom') >= 6
    if name == "fed_froc":
        assert "F(4, 36.8) = 7.80, p &lt; 0.001" in html
        assert "0.753" in html
    else:
        assert "F(1, 15.3) = 4.46, p = 0.052" in html
        assert "-0.088 to 0.000" in html
