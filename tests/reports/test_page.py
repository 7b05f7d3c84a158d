from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from medpipe.errors import InputDataError, RequestError
from medpipe.evaluation.image_scores import evaluate_image_scores
from medpipe.evaluation.localization import PredictedCase, evaluate_localization
from medpipe.evaluation.multilabel import LabelledScores, evaluate_multilabel
from medpipe.evaluation.truth import TruthCase
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.lesions import Lesion
from medpipe.metrics.matching import HitRule, Mark
from medpipe.predictions.journal import CaseResult
from medpipe.predictions.overlays import draw_marks
from medpipe.predictions.results import write_results
from medpipe.predictions.run_folder import RunFolder
from medpipe.reports.page import SECTIONS, write_report

ALWAYS = {"cohort", "failures", "methods", "versions"}
OF_SCORES = ALWAYS | {"figures", "cases", "checklist"}
WHOLE = OF_SCORES | {"curves", "operating-points", "calibration", "subgroups"}


class Page(HTMLParser):
    """Text by section, every attribute, and every address that the page names."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.sections: dict[str, str] = {}
        self.addresses: list[str] = []
        self.attributes: set[str] = set()
        self.open, self.script = "", False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs) -> None:
        values = dict(attrs)
        self.attributes |= set(values)
        self.addresses += [values[key] for key in ("src", "href", "xlink:href") if values.get(key)]
        self.script = tag in ("script", "style")
        if tag == "section":
            self.open = values["id"]
            self.sections[self.open] = ""

    def handle_endtag(self, tag) -> None:
        self.script = False
        self.handle_data(" ")
        self.open = "" if tag == "section" else self.open

    def handle_data(self, data) -> None:
        if self.open and not self.script:
            self.sections[self.open] += data

    def text(self, section: str) -> str:
        return re.sub(r"\s+", " ", self.sections[section])


@pytest.fixture
def run(tmp_path) -> Path:
    folder = RunFolder(tmp_path / "out", bundle="cxr_pneumothorax_acm")
    folder.start()
    mark = {"label": "x", "score": 0.9, "x": 30.0, "y": 20.0}
    facts = {"file": "study/a.dcm", "rows": 100, "columns": 80, "view": "PA"}
    noise = np.random.default_rng(0).integers(0, 255, (100, 80), np.uint8)
    draw_marks(folder.case_folder("a") / "marks.png", noise, [mark], scale=1)
    folder.record(CaseResult("a", "done", "the spacing is unknown", facts, 0.9, [mark]))
    folder.record(CaseResult("b", "failed", "pixel data are cut short <b>", {"file": "study/<i>b.dcm"}))
    folder.finish()
    return tmp_path / "out"


def real(kind: str) -> dict:
    """Results as the evaluation makes them."""
    rng = np.random.default_rng(3)
    truth = [
        TruthCase(
            f"c{k}",
            k % 3 == 0,
            f"p{k // 2}",
            [Lesion(circle=(30, 20, 5))] if k % 3 == 0 else [],
            groups={"sex": "FM"[k % 2]},
        )
        for k in range(60)
    ]
    bootstrap = Bootstrap(20)
    if kind == "roc":
        return evaluate_image_scores({case.case: float(rng.random()) for case in truth}, truth, bootstrap)
    if kind == "localization":
        predictions = [
            PredictedCase(case.case, float(rng.random()), [Mark(float(rng.uniform(20, 90)), 20, float(rng.random()))])
            for case in truth
        ]
        return evaluate_localization(predictions, truth, HitRule("mask_distance", tolerance=9), bootstrap)[0]
    labels = rng.integers(0, 2, (60, 3)).astype(float)
    labels[:, 2] = 0
    names = tuple(case.case for case in truth)
    return evaluate_multilabel(
        LabelledScores(("a", "b", "c"), names, names, rng.random((60, 3)), labels, ()), bootstrap
    )


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("roc", WHOLE),
        ("localization", WHOLE),
        ("multilabel", OF_SCORES | {"multilabel"}),
        ("mrmc", (OF_SCORES | {"reader-study"}) - {"cases"}),
        ("registration", (OF_SCORES | {"registration"}) - {"cases", "figures"}),
    ],
)
def test_each_kind_of_results_brings_its_sections_and_no_others(sample, page_of, kind, expected) -> None:
    page = Page(page_of(getattr(sample, kind)()))
    assert set(page.sections) == expected
    assert all(len(page.text(name)) > 30 for name in page.sections)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("roc", WHOLE), ("localization", WHOLE), ("multilabel", OF_SCORES | {"multilabel"})],
)
def test_results_of_the_evaluation_bring_the_same_sections(page_of, kind, expected) -> None:
    page = Page(page_of({**real(kind), "data": {"name": "n", "generated": True}}))
    assert set(page.sections) == expected


def test_sections_stand_in_the_order_of_the_list(sample, page_of) -> None:
    page = Page(page_of(sample.roc(), sample.comparison()))
    known = [key.replace("_", "-") for key in SECTIONS]
    assert list(page.sections) == [key for key in known if key in page.sections]
    assert "comparison" in page.sections


def test_every_figure_stands_with_its_interval_n_definition_and_method(sample, page_of) -> None:
    text = Page(page_of(sample.localization())).text("figures")
    for part in (
        "AUC 0.900 0.800 to 0.970",
        "60",
        "what AUC means",
        "95 % interval: percentile bootstrap of 60 patients",
    ):
        assert part in text
    assert "0.125 0.600 0.500 to 0.700" in text  # sensitivity at 1/8
    assert "A mark hits a lesion within 10 mm." in text


def test_an_undefined_figure_is_said_to_be_undefined_with_its_reason(sample, page_of) -> None:
    results = sample.roc()
    results["headline"][0] |= {"value": None, "low": None, "high": None, "reason": "no diseased case"}
    text = Page(page_of(results)).text("figures")
    assert "AUC undefined none" in text
    assert "AUC: no diseased case." in text


def test_a_comparison_shows_both_models_their_difference_and_its_test(sample, page_of) -> None:
    path = page_of(sample.roc(), sample.comparison())
    text = Page(path).text("comparison")
    for part in (
        "new <i>model</i>",
        "on the same 58 cases",
        "0.050",
        "-0.010 to 0.110",
        "0.090",
        "1.70",
        "not in old model",
    ):
        assert part in text
    assert "DeLong's paired test" in text
    assert "The two are not shown to differ." in path.read_text()


def test_a_comparison_that_is_given_goes_before_the_one_in_the_results(sample, page_of) -> None:
    given = {**sample.comparison(), "first": "given"}
    text = Page(page_of({**sample.roc(), "comparison": sample.comparison()}, given)).text("comparison")
    assert "given (first)" in text
    assert "new <i>model</i> (first)" not in text


def test_classes_stand_by_falling_auc_and_undefined_ones_apart(sample, page_of) -> None:
    text = Page(page_of(sample.multilabel())).text("multilabel")
    assert text.index("effusion") < text.index("nodule") < text.index("left out of the mean")
    assert "hernia: one class is missing" in text


def test_a_run_without_truth_has_cohort_cases_failures_methods_and_versions(run) -> None:
    page = Page(write_report(run))
    assert set(page.sections) == ALWAYS | {"cases"}
    assert "a 0.9000 1 PA 100 x 80" in page.text("cases")
    assert "2 files found" in page.text("cohort")
    assert "Learning Visual Context by Comparison" in page.sections["methods"]
    assert "the spacing is unknown" in page.sections["failures"]  # a remark on a case that was done


def test_markup_of_the_input_is_text(run, sample) -> None:
    results = sample.roc()
    results["data"]["name"] = "<script>alert(1)</script>"
    results["cases"][0]["case"] = "</script><script>alert(2)</script>"
    results["cohort"]["without_result"][0]["reason"] = '"><img src=x onerror=alert(3)>'
    write_results(run / "results.json", results)
    path = write_report(run)
    page = Page(path)
    assert "study/<i>b.dcm" in page.sections["failures"]
    assert "cut short <b>" in page.sections["failures"]
    html = path.read_text()
    assert html.count("<script") == html.count("</script>") == 3  # two of data, one of ours
    assert "<img src=x" not in html


def test_failures_are_reported_also_when_there_are_none(tmp_path) -> None:
    folder = RunFolder(tmp_path / "out", bundle="b")
    folder.start()
    folder.record(CaseResult("a", "done", "", {}, 0.5))
    folder.finish()
    assert "None: every file found was done." in Page(write_report(tmp_path / "out")).text("failures")


def test_an_unfinished_run_is_said_to_be_unfinished(tmp_path) -> None:
    folder = RunFolder(tmp_path / "out", bundle="b")
    folder.start()
    folder.record(CaseResult("a", "done", "", {}, 0.5))
    html = write_report(tmp_path / "out").read_text()
    assert "The run is not finished." in html
    assert "its files are listed when it is" in html


def test_generated_data_and_research_use_are_said_at_the_top(sample, page_of) -> None:
    html = page_of(sample.roc()).read_text()
    head = html[: html.index("<nav")]
    assert "not for clinical use" in head
    assert "The images are generated" in head


def test_the_page_is_one_file_that_names_no_other_place(run, sample) -> None:
    write_results(run / "results.json", sample.localization())
    page = Page(write_report(run))
    outside = [a for a in page.addresses if not a.startswith(("#", "data:", "../cases/a/marks.png", "../results.json"))]
    assert outside == []
    assert not {"style", "onclick", "onload"} & page.attributes  # the content security policy forbids them


def test_the_same_files_give_the_same_page(run, sample) -> None:
    write_results(run / "results.json", sample.localization())
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first


def test_the_page_names_versions_hashes_command_and_the_layout_of_the_results(run, sample) -> None:
    write_results(run / "results.json", sample.roc())
    text = Page(write_report(run)).text("versions")
    for part in ("numpy", "this page medpipe", "command", "machine", "results.json", "run.json", "medpipe-results/1"):
        assert part in text
    assert (
        len(re.findall(r"\b[0-9a-f]{64}\b", text)) == 5
    )  # list of inputs, results.json, run.json, cases.csv, marks.csv


def test_a_thousand_cases_stay_below_five_megabytes(tmp_path) -> None:
    folder = RunFolder(tmp_path / "out", bundle="b")
    folder.start()
    noise = np.random.default_rng(0).integers(0, 255, (512, 512), np.uint8)
    draw_marks(folder.case_folder("c0") / "marks.png", noise, [], scale=1)
    content = (folder.case_folder("c0") / "marks.png").read_bytes()
    for number in range(1000):
        (folder.case_folder(f"c{number}") / "marks.png").write_bytes(content)
    folder.journal.record(*(CaseResult(f"c{number}", "done", score=number / 1000) for number in range(1000)))
    folder.finish()
    assert write_report(tmp_path / "out").stat().st_size < 5_000_000


def test_a_damaged_picture_does_not_cost_the_report(run) -> None:
    (run / "cases" / "a" / "marks.png").write_bytes(b"no picture")
    assert "../cases/a/marks.png" in write_report(run).read_text()


def test_names_of_cases_do_not_lead_out_of_the_folder(tmp_path, sample) -> None:
    draw_marks(tmp_path / "marks.png", np.zeros((9, 9), np.uint8), [], scale=1)
    results = sample.roc()
    results["cases"][0]["case"] = "../../secret"
    (tmp_path / "out" / "cases").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    draw_marks(tmp_path / "secret" / "marks.png", np.zeros((9, 9), np.uint8), [], scale=1)
    write_results(tmp_path / "out" / "results.json", results)
    assert "<img" not in write_report(tmp_path / "out").read_text()


def test_a_folder_with_nothing_to_report_is_refused(tmp_path) -> None:
    with pytest.raises(RequestError, match=r"neither run.json nor results.json"):
        write_report(tmp_path)
    (tmp_path / "results.json").write_text(json.dumps({"format": "x"}))
    with pytest.raises(RequestError, match="format 'x'"):
        write_report(tmp_path)


def test_results_that_do_not_follow_the_schema_are_refused_with_the_place(sample, page_of) -> None:
    results = sample.roc()
    del results["operating_points"][1]["counts"]
    with pytest.raises(InputDataError, match=r"operating_points/1: 'counts' is a required property"):
        page_of(results)


def test_a_report_loads_neither_matplotlib_nor_scipy_nor_pandas(sample, page_of, tmp_path) -> None:
    page_of(sample.localization())
    code = (
        f"import sys; from medpipe.reports.page import write_report; write_report({str(tmp_path)!r});"
        "print({'matplotlib', 'scipy', 'pandas', 'torch'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
