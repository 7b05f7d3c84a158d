"""The score and report commands from files to files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medpipe.cli.main import invoke
from medpipe.evaluation.formats import read_reader_study

FEW = ["--bootstrap", "20"]


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


@pytest.fixture
def roc_tables(tmp_path: Path) -> tuple[str, str, str]:
    """Scores of two models and labels of 20 cases."""
    names = [f"c{k}" for k in range(20)]
    (tmp_path / "new.csv").write_text(
        "case,score\n" + "".join(f"{n},{(k * 7 % 20) / 20}\n" for k, n in enumerate(names))
    )
    (tmp_path / "old.csv").write_text(
        "case,score\n" + "".join(f"{n},{(k * 3 % 20) / 20}\n" for k, n in enumerate(names))
    )
    rows = [f"{n},{int(k * 7 % 20 > 9)},{'FM'[k % 2]}\n" for k, n in enumerate(names)]
    (tmp_path / "labels.csv").write_text("case,label,sex\n" + "".join(rows))
    return str(tmp_path / "new.csv"), str(tmp_path / "old.csv"), str(tmp_path / "labels.csv")


def test_a_report_is_made_again_from_its_results_alone(tmp_path, roc_tables) -> None:
    new, _, labels = roc_tables
    assert invoke(["score", "roc", new, labels, "-o", str(tmp_path / "out"), *FEW]) == 0
    page = tmp_path / "out" / "report" / "index.html"
    first = page.read_bytes()
    page.unlink()
    assert invoke(["report", str(tmp_path / "out" / "results.json")]) == 0
    assert page.read_bytes() == first


def test_two_results_are_compared_from_their_files(tmp_path, roc_tables, capsys) -> None:
    new, old, labels = roc_tables
    for name, scores in (("a", new), ("b", old)):
        assert invoke(["score", "roc", scores, labels, "-o", str(tmp_path / name), *FEW]) == 0
    capsys.readouterr()
    arguments = ["report", str(tmp_path / "a"), "--compare", str(tmp_path / "b" / "results.json"), "--json"]
    assert invoke(arguments) == 0
    assert "AUC differs by" in json.loads(capsys.readouterr().out)["comparison"]
    assert 'id="comparison"' in (tmp_path / "a" / "report" / "index.html").read_text()
    assert "comparison" not in results(tmp_path / "a")  # the results stay what they were


def test_a_second_model_given_while_scoring_is_kept_in_the_results(tmp_path, roc_tables) -> None:
    new, old, labels = roc_tables
    assert invoke(["score", "roc", new, labels, "--compare", old, "-o", str(tmp_path / "out"), *FEW]) == 0
    found = results(tmp_path / "out")["comparison"]
    assert (found["first"], found["second"], found["n"]) == ("new.csv", "old.csv", 20)


def test_a_column_to_split_by_is_checked(tmp_path, roc_tables, capsys) -> None:
    new, _, labels = roc_tables
    assert invoke(["score", "roc", new, labels, "--by", "site", "-o", str(tmp_path / "out")]) == 2
    assert "no column 'site' to split by; the truth has sex" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_several_classes_are_scored_from_tables(tmp_path, capsys) -> None:
    (tmp_path / "s.csv").write_text("case,a,b\nx,.9,.1\ny,.2,.8\nz,.3,.4\n")
    (tmp_path / "t.csv").write_text("case,a,b\nx,1,0\ny,0,1\nz,0,\n")
    tables = [str(tmp_path / "s.csv"), str(tmp_path / "t.csv")]
    assert invoke(["score", "multilabel", *tables, "-o", str(tmp_path / "out"), "--json", *FEW]) == 0
    assert json.loads(capsys.readouterr().out)["headline"][0]["value"] == 1.0
    assert [entry["name"] for entry in results(tmp_path / "out")["multilabel"]["classes"]] == ["a", "b"]


def test_a_reader_study_goes_from_one_format_to_another_and_gives_the_same_results(tmp_path) -> None:
    ratings = [
        f"{m},{r},{c},{(k * 7 + len(m + r)) % 5}"
        for m in ("A", "BB")
        for r in ("x", "yy")
        for k, c in enumerate("abcdef")
    ]
    (tmp_path / "ratings.csv").write_text("\n".join(["modality,reader,case,rating", *ratings]) + "\n")
    (tmp_path / "truth.csv").write_text("case,label\na,1\nb,1\nc,1\nd,0\ne,0\nf,0\n")
    first = ["score", "mrmc", str(tmp_path / "ratings.csv"), str(tmp_path / "truth.csv"), "-o", str(tmp_path / "one")]
    assert invoke([*first, "--save-study", str(tmp_path / "study.xlsx"), "--holm"]) == 0
    assert invoke(["score", "mrmc", str(tmp_path / "study.xlsx"), "-o", str(tmp_path / "two"), "--holm"]) == 0
    one, two = (results(tmp_path / name)["reader_study"] for name in ("one", "two"))
    assert one["tests"] == two["tests"]
    assert one["figures_of_merit"] == two["figures_of_merit"]
    assert read_reader_study(tmp_path / "study.xlsx").n_cases == 6


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["vandyke_roc", "fed_froc"])
def test_results_of_the_command_hold_what_the_reference_computed(tmp_path, shared_data, name) -> None:
    study = shared_data / "froc" / f"{name}.json"
    assert invoke(["score", "mrmc", str(study), "-o", str(tmp_path / "out")]) == 0
    found = results(tmp_path / "out")["reader_study"]
    reference = json.loads((shared_data / "froc" / f"{name}.reference.json").read_text())["computed"]
    assert_holds(found["figures_of_merit"], reference["figures_of_merit"], "figures_of_merit")
    assert_holds(found["tests"], reference["tests"], "tests")


def assert_holds(found: object, expected: object, place: str) -> None:
    """Every number of ``expected`` stands at the same place in ``found``, to 1e-10 of its size."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            assert_holds(found[key], value, f"{place}/{key}")  # type: ignore[index]
    elif isinstance(expected, list):
        assert len(found) == len(expected), place  # type: ignore[arg-type]
        for number, value in enumerate(expected):
            assert_holds(found[number], value, f"{place}/{number}")  # type: ignore[index]
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-10, abs=1e-10), place
    elif isinstance(expected, int):
        assert found == pytest.approx(expected, abs=1e-10), place


@pytest.mark.shared_data
def test_luna16_files_are_scored_as_they_are(tmp_path, shared_data, capsys) -> None:
    annotations = shared_data / "froc" / "luna16" / "annotations"
    lines = (annotations / "annotations.csv").read_text().splitlines()[1:]
    found = [line.rsplit(",", 1)[0] + ",0.9" for line in lines]
    (tmp_path / "candidates.csv").write_text("\n".join(["seriesuid,coordX,coordY,coordZ,probability", *found]) + "\n")
    files = [str(tmp_path / "candidates.csv"), str(annotations / "annotations.csv")]
    more = [
        "--excluded",
        str(annotations / "annotations_excluded.csv"),
        "--images",
        str(annotations / "seriesuids.csv"),
    ]
    assert invoke(["score", "froc", *files, *more, "--convention", "luna16", "-o", str(tmp_path / "out"), *FEW]) == 0
    scored = results(tmp_path / "out")
    assert (scored["cohort"]["analysed"], scored["cohort"]["lesions"]) == (888, 1186)
    assert scored["froc"]["mean"]["value"] == 1.0  # a detector that marks every nodule and nothing else
    assert "Mean sensitivity" in capsys.readouterr().err


def test_json_tables_give_the_figures_of_csv_tables(tmp_path) -> None:
    tables = {
        "ratings": [
            {"modality": m, "reader": r, "case": c, "rating": (k * 7 + len(m + r)) % 5}
            for m in ("A", "BB")
            for r in ("x", "yy")
            for k, c in enumerate("abcdef")
        ],
        "truth": [{"case": c, "label": int(c < "d")} for c in "abcdef"],
    }
    for name, rows in tables.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    for kind in ("csv", "json"):
        files = [str(tmp_path / f"{name}.{kind}") for name in tables]
        assert invoke(["score", "mrmc", *files, "-o", str(tmp_path / kind)]) == 0
    assert results(tmp_path / "csv")["reader_study"] == results(tmp_path / "json")["reader_study"]
    marks = [{"case": "a", "x": 5, "y": 5, "score": 0.5}]
    lesions = [{"case": "a", "x": 5, "y": 6, "radius": 3}, {"case": "b"}]
    for name, rows in (("marks", marks), ("lesions", lesions)):
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    files = [str(tmp_path / "marks.json"), str(tmp_path / "lesions.json")]
    assert invoke(["score", "froc", *files, "--criterion", "radius", "-o", str(tmp_path / "froc"), *FEW]) == 0
    assert results(tmp_path / "froc")["froc"]["mean"]["value"] == 1.0
