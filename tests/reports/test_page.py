from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from medpipe.errors import RequestError
from medpipe.evaluation.localization import evaluate_localization
from medpipe.evaluation.truth import TruthCase
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.lesions import Lesion
from medpipe.metrics.matching import HitRule, Mark
from medpipe.predictions.journal import CaseResult
from medpipe.predictions.overlays import draw_marks
from medpipe.predictions.results import write_results
from medpipe.predictions.run_folder import RunFolder
from medpipe.reports.page import write_report


class Page(HTMLParser):
    """Text by section, and every address that the page names."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.sections: dict[str, str] = {}
        self.addresses: list[str] = []
        self.open = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs) -> None:
        values = dict(attrs)
        self.addresses += [values[key] for key in ("src", "href", "xlink:href") if values.get(key)]
        if tag == "section":
            self.open = values["id"]
            self.sections[self.open] = ""

    def handle_endtag(self, tag) -> None:
        self.open = "" if tag == "section" else self.open

    def handle_data(self, data) -> None:
        if self.open:
            self.sections[self.open] += data


@pytest.fixture
def run(tmp_path) -> Path:
    folder = RunFolder(tmp_path / "out", bundle="cxr_pneumothorax_acm")
    folder.start()
    mark = {"label": "x", "score": 0.9, "x": 30.0, "y": 20.0}
    facts = {"file": "study/a.dcm", "rows": 100, "columns": 80, "view": "PA"}
    draw_marks(
        folder.case_folder("a") / "marks.png",
        np.random.default_rng(0).integers(0, 255, (100, 80), np.uint8),
        [mark],
        scale=1,
    )
    folder.record(CaseResult("a", "done", "", facts, 0.9, [mark]))
    folder.record(CaseResult("b", "failed", "pixel data are cut short <b>", {"file": "study/<i>b.dcm"}))
    folder.finish()
    return tmp_path / "out"


def scored(folder: Path) -> None:
    truth = [TruthCase("a", True, "a", [Lesion(circle=(30, 20, 5))]), TruthCase("n", False, "n", [])]
    from medpipe.evaluation.localization import PredictedCase

    predictions = [PredictedCase("a", 0.9, [Mark(30, 20, 0.9)]), PredictedCase("n", 0.1, [Mark(1, 1, 0.1)])]
    results, _ = evaluate_localization(predictions, truth, HitRule("mask_distance", tolerance=1), Bootstrap(20))
    write_results(folder / "results.json", {**results, "data": {"name": "n", "generated": True}})


def test_a_run_without_truth_has_cases_failures_methods_and_versions(run) -> None:
    page = Page(write_report(run))
    assert set(page.sections) == {"cases", "failures", "methods", "versions"}
    assert "0.900 a" in re.sub(r"\s+", " ", page.sections["cases"])
    assert "study/<i>b.dcm" in page.sections["failures"]  # as text: markup of the input is escaped
    assert "cut short <b>" in page.sections["failures"]
    assert "Learning Visual Context by Comparison" in page.sections["methods"]


def test_scores_bring_figures_and_curves(run) -> None:
    scored(run)
    page = Page(write_report(run))
    assert {"scores", "curves"} <= set(page.sections)
    for word in ("AUC", "wAFROC", "A mark hits a lesion when", "FP per image"):
        assert word in page.sections["scores"]
    assert "truth: diseased, 1 of 1 lesions found" in page.sections["cases"]
    html = (run / "report" / "index.html").read_text()
    assert html.count("<svg") == 4
    assert "The images are generated" in html


def test_failures_are_reported_also_when_there_are_none(tmp_path) -> None:
    folder = RunFolder(tmp_path / "out", bundle="b")
    folder.start()
    folder.record(CaseResult("a", "done", "", {}, 0.5))
    folder.finish()
    assert "None: every file found was done." in Page(write_report(tmp_path / "out")).sections["failures"]


def test_results_alone_make_a_page(tmp_path) -> None:
    scored(tmp_path)
    page = Page(write_report(tmp_path))
    assert "AUC" in page.sections["scores"]
    assert "not diseased" in page.sections["cases"]


def test_the_page_is_one_file_that_asks_for_nothing(run) -> None:
    scored(run)
    page = Page(write_report(run))
    outside = [a for a in page.addresses if not a.startswith(("#", "data:", "../cases/"))]
    assert outside == []


def test_the_same_files_give_the_same_page(run) -> None:
    scored(run)
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first


def test_a_thousand_cases_stay_below_five_megabytes(tmp_path) -> None:
    folder = RunFolder(tmp_path / "out", bundle="b")
    folder.start()
    noise = np.random.default_rng(0).integers(0, 255, (512, 512), np.uint8)
    draw_marks(folder.case_folder("c0") / "marks.png", noise, [], scale=1)
    content = (folder.case_folder("c0") / "marks.png").read_bytes()
    for number in range(1000):
        (folder.case_folder(f"c{number}") / "marks.png").write_bytes(content)
        folder._journal._db.execute(
            "INSERT INTO cases VALUES (?, 'done', '', '{}', ?, '[]', 0)", (f"c{number}", number / 1000)
        )
    folder.finish()
    assert write_report(tmp_path / "out").stat().st_size < 5_000_000


def test_a_folder_with_nothing_to_report_is_refused(tmp_path) -> None:
    with pytest.raises(RequestError, match=r"neither run.json nor results.json"):
        write_report(tmp_path)
    (tmp_path / "results.json").write_text(json.dumps({"format": "x"}))
    with pytest.raises(RequestError, match="format 'x'"):
        write_report(tmp_path)
