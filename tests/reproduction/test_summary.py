"""results.json, tables and page of a reproduction whose runs are made up."""

from __future__ import annotations

import csv
import json

import pytest

from medpipe.errors import RequestError
from medpipe.metrics.repeats import paired_difference
from medpipe.reports.reproduction import write_reproduction_page
from medpipe.reproduction.commands import Data
from medpipe.reproduction.folder import ReproductionFolder
from medpipe.reproduction.runs import do_runs
from medpipe.reproduction.summary import GENERATED, summarise, write_summary
from medpipe.reproduction.tables import analysis_lines, write_tables

AREAS = {"none": 0.7, "acm": 0.9}


@pytest.fixture
def made(request_of, fake_runner, tmp_path):
    """Function that does made-up runs and gathers them: ``made(seeds=2, codes=..., tables=...)``."""

    def make(seeds: int = 2, codes=None, tables=("modules",)):
        request = request_of()
        chosen = request.plan.chosen(tables)
        folder = ReproductionFolder(tmp_path / "out", {})
        folder.start()
        runs = request.plan.runs(chosen, request.base, seeds)
        data = Data(tmp_path, tmp_path / "list.json")
        outcomes = do_runs(runs, request, data, folder, fake_runner(AREAS, codes))
        return summarise(request, chosen, seeds, folder, outcomes)

    return make


def setting(content, name: str, table: int = 0):
    return next(one for one in content["tables"][table]["settings"] if one["name"] == name)


def test_means_deviations_and_differences_by_hand(made) -> None:
    content = made()
    none, acm = (setting(content, name)["figures"]["AUC"] for name in ("none", "acm"))
    assert [one["value"] for one in none["values"]] == pytest.approx([0.7, 0.71])
    assert none["mean"]["value"] == pytest.approx(0.705)
    assert none["sd"]["value"] == pytest.approx(0.01 / 2**0.5)
    assert none["difference"] is None
    assert acm["difference"]["value"] == pytest.approx(0.2)
    assert acm["difference"]["n"] == 2
    assert none["published"] == {"mean": 0.8, "sd": 0.01}
    assert acm["published"] == {"mean": 0.9, "sd": None}


def test_a_shared_run_stands_in_both_tables(made) -> None:
    content = made(tables=())
    assert setting(content, "acm")["run"] == setting(content, "4", table=1)["run"] == "modules-acm"
    assert content["runs"] == {"wanted": 6, "done": 6, "failed": 0}


def test_one_seed_has_no_deviation_and_no_interval_and_says_why(made) -> None:
    content = made(seeds=1)
    acm = setting(content, "acm")["figures"]["AUC"]
    assert acm["sd"] == {"value": None, "reason": "one run has no standard deviation"}
    assert (acm["difference"]["low"], acm["difference"]["reason"]) == (None, "one run has no spread")
    assert any("so nothing is shown" in one for one in content["statements"])


def test_a_failed_run_leaves_its_seed_out_of_the_pairs(made) -> None:
    content = made(seeds=3, codes={("train", "context=acm", "seed=1"): 1})
    acm = setting(content, "acm")
    assert acm["seeds"] == [0, 2]
    assert acm["figures"]["AUC"]["difference"]["n"] == 2
    assert content["tables"][0]["tests"]["AFROC"]["seeds"] == [0, 2]
    (failure,) = content["failures"]
    assert (failure["run"], failure["seed"], failure["log"]) == ("modules-acm", 1, "runs/modules-acm/1/log.txt")
    assert "cheese" in failure["reason"]


def test_a_setting_without_any_run_is_undefined_with_a_reason(made) -> None:
    content = made(codes={("train", "context=acm"): 1})
    acm = setting(content, "acm")["figures"]["AUC"]
    assert (acm["mean"]["value"], acm["mean"]["reason"]) == (None, "no run has ended well")
    assert acm["difference"]["reason"] == "no seed has ended well in both"
    assert "no setting but 'none'" in content["tables"][0]["tests"]["AFROC"]["unavailable"]


@pytest.mark.parametrize(
    ("values", "words"),
    [([0.1, 0.11, 0.12], "is shown"), ([0.1, -0.1, 0.2], "is not shown"), ([-0.1, -0.11], "is contradicted")],
)
def test_the_claim_is_borne_out_only_by_an_interval_above_zero(values, words) -> None:
    from medpipe.evaluation.results import figure
    from medpipe.reproduction.summary import _verdict

    found = paired_difference(dict(enumerate(values)), dict.fromkeys(range(len(values)), 0.0))
    assert _verdict(figure("AUC", found, "")).endswith(f"the claimed advantage {words}")


def test_generated_data_are_named_in_every_output(made, tmp_path) -> None:
    content = made()
    lines = {table["name"]: list(analysis_lines(table)) for table in content["tables"]}
    write_summary(tmp_path / "results.json", content)
    write_tables(tmp_path, content)
    write_reproduction_page(tmp_path / "index.html", content, lines)
    assert GENERATED in (tmp_path / "tables.md").read_text()
    assert GENERATED in (tmp_path / "index.html").read_text()
    assert json.loads((tmp_path / "results.json").read_text())["data"]["generated"] is True
    with (tmp_path / "tables.csv").open(newline="") as stream:
        assert {row["generated"] for row in csv.DictReader(stream)} == {"True"}


def test_the_page_shows_every_run_as_a_ring_and_every_mean_as_a_dot(made, tmp_path) -> None:
    content = made(seeds=3, codes={("train", "context=acm", "seed=1"): 1})
    write_reproduction_page(tmp_path / "index.html", content, {"modules": ["x < y"]})
    page = (tmp_path / "index.html").read_text()
    assert page.count('<circle class="ring"') == 2 * (3 + 2)
    assert page.count('<circle class="dot"') == 2 * 2
    assert "x &lt; y" in page
    assert "5 of 6 runs are done" in page
    assert "cheese" in page


def test_published_numbers_are_marked_as_of_other_data(made, tmp_path) -> None:
    content = made()
    write_tables(tmp_path, content)
    text = (tmp_path / "tables.md").read_text()
    assert "Published numbers: on private images; not comparable." in text
    assert "| none | 2 | 0.705 (0.007) | reference | 0.8000 (0.0100) |" in text
    assert "| ACM | 2 | 0.905 (0.007) | +0.200 (+0.200 to +0.200) | 0.9000 |" in text


def test_the_csv_has_nan_for_what_is_undefined_and_nothing_for_what_does_not_apply(made, tmp_path) -> None:
    write_tables(tmp_path, made(seeds=1))
    with (tmp_path / "tables.csv").open(newline="") as stream:
        rows = {(row["setting"], row["metric"]): row for row in csv.DictReader(stream)}
    assert rows["acm", "AUC"]["sd"] == rows["acm", "AUC"]["difference_low"] == "NaN"
    assert "one run has no spread" in rows["acm", "AUC"]["reason"]
    assert rows["none", "AUC"]["difference"] == ""
    assert rows["acm", "JAFROC"]["published_mean"] == ""


def test_runs_by_several_versions_of_the_configs_are_told(made, tmp_path) -> None:
    made()
    note = tmp_path / "out" / "runs" / "modules-acm" / "0" / "run.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "configs": "other"}))
    assert any("2 versions" in caution for caution in made()["cautions"])


def test_results_without_a_figure_of_the_plan_name_it(made, tmp_path) -> None:
    made()
    path = tmp_path / "out" / "runs" / "modules-acm" / "0" / "evaluate" / "results.json"
    content = json.loads(path.read_text())
    content["headline"] = content["headline"][:1]
    path.write_text(json.dumps(content))
    with pytest.raises(RequestError, match="no figure 'AFROC'; it gives AUC; mend the bundle's reproduce.yaml"):
        made()
