"""Tables and page of a reproduction whose runs answer questions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medpipe.evaluation.vqa import AnsweredQuestions, TruthQuestion, evaluate_vqa
from medpipe.metrics.intervals import Bootstrap
from medpipe.reports.reproduction import write_reproduction_page
from medpipe.reproduction.commands import Data
from medpipe.reproduction.folder import ReproductionFolder
from medpipe.reproduction.runs import do_runs
from medpipe.reproduction.summary import summarise
from medpipe.reproduction.tables import analysis_lines, write_tables

METRICS = {"overall": {"figure": "Accuracy", "title": "accuracy"}}
QUESTIONS = tuple(
    TruthQuestion(str(n), str(n // 2), ("yes" if n % 2 else "no",), "closed" if n % 2 else "open") for n in range(6)
)
GIVEN = {"none": ["yes"] * 6, "acm": ["no", "yes", "no", "yes", "yes", "yes"]}


@pytest.fixture
def made(make_bundle, request_of, fake_runner, reproduce_content, tmp_path):
    """Function that does runs which answer six questions, and gathers them."""

    class Answers(fake_runner):
        def __call__(self, words, log):
            code = super().__call__(words, log)
            out = Path(words[words.index("-o") + 1])
            if words[3] == "evaluate" and code == 0:
                given = GIVEN[next(word.split("=")[1] for word in words if word.startswith("context="))]
                data = AnsweredQuestions(QUESTIONS, tuple(given), (), {"name": "x", "generated": True})
                content = evaluate_vqa(data, Bootstrap(n_resamples=20), constant="yes")
                (out / "results.json").write_text(
                    json.dumps({"format": "medpipe-results/1", **content, "data": data.data})
                )
            return code

    def make(codes=None):
        for table in reproduce_content["tables"].values():
            for one in table["settings"].values():
                one.pop("published", None)
        request = request_of(bundle=make_bundle(metrics=METRICS, tables=reproduce_content["tables"]))
        tables = request.plan.chosen(["modules"])
        folder = ReproductionFolder(tmp_path / "out", {})
        folder.start()
        runs = request.plan.runs(tables, request.base, 2)
        runner = Answers({"none": 0.5, "acm": 0.5}, codes)
        outcomes = do_runs(runs, request, Data(tmp_path, tmp_path / "list.json"), folder, runner)
        return summarise(request, tables, 2, folder, outcomes)

    return make


def test_sentences_give_accuracies_over_images_beside_the_constant_answer(made) -> None:
    (table,) = made()["tables"]
    lines = list(analysis_lines(table))
    assert lines[0].startswith("Intervals over 3 images (95 %, bootstrap; 6 questions)")
    assert "Accuracy (the most frequent answer to all: 0.500):" in lines
    assert any(line.startswith("  ACM: 0.833 (") and "; minus none: +0.333 (" in line for line in lines)
    assert not any("AFROC" in line or "Wilcoxon" in line for line in lines)


def test_the_page_and_the_tables_show_them(made, tmp_path) -> None:
    content = made()
    write_reproduction_page(tmp_path / "index.html", content, {"modules": []})
    page = (tmp_path / "index.html").read_text()
    assert "intervals over 3 images" in page
    assert "(the most frequent training answer to every question: 0.500)" in page
    write_tables(tmp_path, content)
    assert "Accuracy, open (the most frequent answer to all: 0.000):" in (tmp_path / "tables.md").read_text()


def test_runs_of_the_reference_may_be_lacking(made, tmp_path) -> None:
    content = made({("train", "context=none"): 2})
    write_reproduction_page(tmp_path / "index.html", content, {"modules": []})
    (only,) = content["tables"][0]["answers"]["figures"]["Accuracy"]
    assert (only["setting"], only["difference"]) == ("acm", None)


def test_without_any_run_nothing_is_said(made, tmp_path) -> None:
    content = made({("train",): 2})
    assert content["tables"][0]["answers"] is None
    write_reproduction_page(tmp_path / "index.html", content, {"modules": list(analysis_lines(content["tables"][0]))})
