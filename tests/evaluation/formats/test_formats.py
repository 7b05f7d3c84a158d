"""The functions that look at a path and choose."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from medpipe.errors import InputDataError
from medpipe.evaluation.formats import (
    detection_format,
    read_detection_truth,
    read_detections,
    read_reader_study,
    write_reader_study,
)
from medpipe.evaluation.localization import evaluate_localization
from medpipe.metrics.conventions import CONVENTIONS
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.matching import HitRule
from medpipe.metrics.reader_study import ReaderStudy
from medpipe.predictions.journal import CaseResult
from medpipe.predictions.run_folder import RunFolder

BOXES = {
    "type": "Multiple 2D bounding boxes",
    "boxes": [{"corners": [[9, 9, 0], [5, 9, 0], [5, 5, 0], [9, 5, 0]], "probability": 0.5}],
}
COCO_TRUTH = {
    "images": [{"id": 1}, {"id": 2}],
    "annotations": [{"image_id": 1, "category_id": 1, "bbox": [5, 5, 4, 4]}],
    "categories": [{"id": 1, "name": "nodule"}],
}
COCO_RESULTS = [{"image_id": 1, "category_id": 1, "bbox": [5, 5, 4, 4], "score": 0.9}]
LUNA16 = {
    "annotations.csv": "seriesuid,coordX,coordY,coordZ,diameter_mm\n1.2,0,0,0,8\n",
    "annotations_excluded.csv": "seriesuid,coordX,coordY,coordZ,diameter_mm\n1.2,50,0,0,-1\n",
    "seriesuids.csv": "1.2\n1.3\n",
}
CANDIDATES = "seriesuid,coordX,coordY,coordZ,probability\n1.2,1,2,3,0.9\n1.2,52,0,0,0.8\n1.3,1,2,3,0.7\n"
NODE21 = [{"inputs": [{"image": {"name": "1"}}], "outputs": [{"value": BOXES}]}]


def stored(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("name", ["study.xlsx", "study.json", ""])
def test_a_study_is_read_from_whatever_it_was_written_to(tmp_path, numbered_study, assert_same, name: str) -> None:
    path = tmp_path / name
    write_reader_study(path, numbered_study)
    assert_same(read_reader_study(path), numbered_study)


@pytest.mark.parametrize("name", ["study.xlsx", "study.json", ""])
def test_a_reader_without_any_mark_is_written_where_it_can_be_told(
    tmp_path, numbered_study, assert_same, name: str
) -> None:
    silent = replace(numbered_study.readings[1][0], nl_case=[], nl_rating=[], ll_case=[], ll_lesion=[], ll_rating=[])
    readings = (numbered_study.readings[0], (silent, numbered_study.readings[1][1]))
    study = ReaderStudy(numbered_study.modalities, numbered_study.readers, readings)
    if name == "study.json":
        write_reader_study(tmp_path / name, study)
        assert_same(read_reader_study(tmp_path / name), study)
        return
    with pytest.raises(InputDataError, match=r"reader '=a' has no mark in modality '10', .* froc-json/1 \(.json\)"):
        write_reader_study(tmp_path / name, study)
    assert not list(tmp_path.iterdir())


def test_ratings_may_have_their_truth_elsewhere(tmp_path, numbered_study, assert_same) -> None:
    write_reader_study(tmp_path, numbered_study)
    (tmp_path / "truth.csv").rename(tmp_path / "cases.csv")
    assert_same(read_reader_study(tmp_path / "ratings.csv", tmp_path / "cases.csv"), numbered_study)
    with pytest.raises(InputDataError, match=r"truth.csv' does not exist"):
        read_reader_study(tmp_path / "ratings.csv")


def test_other_studies_are_refused_with_what_is_expected(tmp_path, numbered_study) -> None:
    with pytest.raises(InputDataError, match=r"study '.*a.xls': expected an .xlsx workbook"):
        read_reader_study(tmp_path / "a.xls")
    with pytest.raises(InputDataError, match=r"expected a name that ends with .xlsx or .json, or a folder"):
        write_reader_study(tmp_path / "a.csv", numbered_study)
    write_reader_study(tmp_path / "a.json", numbered_study)
    with pytest.raises(InputDataError, match="holds its truth itself"):
        read_reader_study(tmp_path / "a.json", tmp_path / "truth.csv")


@pytest.mark.shared_data
def test_the_workbook_and_the_json_file_of_one_study_are_one_study(shared_data, rjafroc, assert_same) -> None:
    book = read_reader_study(rjafroc / "Roc.xlsx")
    assert_same(book, read_reader_study(shared_data / "froc" / "vandyke_roc.json"), names=False)
    froc, fed = read_reader_study(rjafroc / "Froc.xlsx"), read_reader_study(shared_data / "froc" / "fed_froc.json")
    part = ReaderStudy(fed.modalities[3:], fed.readers, fed.readings[3:])
    for name in ("wAFROC", "HrAuc", "FROC"):
        assert froc.figures(name) == pytest.approx(part.figures(name), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.csv", "case,x,y,score\n", "table"),
        ("a.csv", CANDIDATES, "LUNA16"),
        ("a.csv", "", "table"),
        ("a.json", BOXES, "boxes"),
        ("a.json", NODE21, "boxes"),
        ("a.json", COCO_TRUTH, "COCO truth"),
        ("a.json", COCO_RESULTS, "COCO results"),
        ("a.json", [], "COCO results"),
        ("a.json", {"training": [], "annotations": 3}, "datalist"),
    ],
)
def test_a_format_is_known_by_its_content(tmp_path, name: str, content: object, kind: str) -> None:
    assert detection_format(stored(tmp_path / name, content)) == kind


@pytest.mark.parametrize("content", [{}, {"images": []}, [1], [{}], [[]], 7, None, "text"])
def test_other_json_is_refused(tmp_path, content: object) -> None:
    with pytest.raises(InputDataError, match="none of the known formats"):
        detection_format(stored(tmp_path / "a.json", json.dumps(content)))


def test_detections_of_every_format_are_read(tmp_path) -> None:
    paths = {
        "table": stored(tmp_path / "marks.csv", "case,x,y,score\n1,7,7,0.5\n"),
        "luna16": stored(tmp_path / "candidates.csv", CANDIDATES),
        "coco": stored(tmp_path / "results.json", COCO_RESULTS),
        "node21": stored(tmp_path / "predictions.json", NODE21),
    }
    (tmp_path / "boxes").mkdir()
    paths["folder"] = stored(tmp_path / "boxes" / "1.json", BOXES).parent
    found = {}
    for name, path in paths.items():
        cases, missing = read_detections(path)
        assert missing is None
        found[name] = [(case.case, len(case.marks)) for case in cases]
    one = [("1", 1)]
    assert found == {"table": one, "luna16": [("1.2", 2), ("1.3", 1)], "coco": one, "node21": one, "folder": one}


def test_a_run_says_which_cases_it_has_not_done(tmp_path) -> None:
    run = RunFolder(tmp_path / "out", bundle="b")
    run.start()
    run.record(CaseResult("a", "done", score=0.9, marks=[{"label": "x", "score": 0.9, "x": 3.0, "y": 3.0}]))
    run.record(CaseResult("b", "failed", "cut short"))
    run.finish()
    cases, missing = read_detections(tmp_path / "out")
    assert [case.case for case in cases] == ["a"]
    assert missing == {"b": "failed: cut short"}


def test_truth_of_every_format_is_read(tmp_path) -> None:
    for name, text in LUNA16.items():
        stored(tmp_path / name, text)
    table = stored(tmp_path / "t.csv", "case,x,y,radius\n1,7,7,3\n2,,,\n")
    coco = stored(tmp_path / "t.json", COCO_TRUTH)
    node21 = stored(tmp_path / "r.json", NODE21)
    for path, name, diseased in (
        (table, "t.csv", {"1": True, "2": False}),
        (coco, "t.json", {"1": True, "2": False}),
        (node21, "r.json", {"1": True}),
        (tmp_path, tmp_path.name, {"1.2": True, "1.3": False}),
        (tmp_path / "annotations.csv", "annotations.csv", {"1.2": True, "1.3": False}),
    ):
        cases, head = read_detection_truth(path)
        assert {case.case: case.diseased for case in cases} == diseased
        assert head == {"name": name}
    fold = stored(tmp_path / "fold.csv", "1.3\n")
    cases, _ = read_detection_truth(tmp_path / "annotations.csv", images=fold)
    assert [case.case for case in cases] == ["1.3"]
    with pytest.raises(InputDataError, match="belongs to annotations of LUNA16"):
        read_detection_truth(table, images=fold)


def test_truth_is_no_detection_and_detections_are_no_truth(tmp_path) -> None:
    truth, results = stored(tmp_path / "t.json", COCO_TRUTH), stored(tmp_path / "r.json", COCO_RESULTS)
    with pytest.raises(InputDataError, match="holds a truth \\(COCO truth\\), expected detections"):
        read_detections(truth)
    with pytest.raises(InputDataError, match="holds COCO results, expected a truth"):
        read_detection_truth(results)


def test_volumes_are_evaluated_like_images(tmp_path) -> None:
    """One nodule of two scans, found; a mark on an excluded finding; one false positive."""
    for name, text in LUNA16.items():
        stored(tmp_path / name, text)
    cases, _ = read_detection_truth(tmp_path)
    predicted, missing = read_detections(stored(tmp_path / "c.csv", CANDIDATES))
    convention = CONVENTIONS["luna16"]
    results, audit = evaluate_localization(
        predicted, cases, convention.hit_rule, Bootstrap(n_resamples=20), missing=missing, convention=convention
    )
    assert [(row["kind"], row["z"]) for row in audit] == [("LL", 3), ("ignored", 0), ("NL", 3)]
    assert results["cohort"]["lesions"] == 1
    assert results["froc"]["end_point"] == [0.5, 1.0]


def test_formats_can_be_mixed(tmp_path) -> None:
    """Boxes from one tool against a table from another."""
    truth = stored(tmp_path / "t.csv", "case,x,y,width,height\n1,5,5,4,4\n2,,,,\n")
    cases, _ = read_detection_truth(truth)
    predicted, _ = read_detections(stored(tmp_path / "r.json", COCO_RESULTS), truth=truth)
    _, audit = evaluate_localization(predicted, cases, HitRule("iou", 0.5), Bootstrap(n_resamples=20))
    assert [row["kind"] for row in audit] == ["LL"]
