from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medpipe.errors import InputDataError
from medpipe.evaluation.formats.coco import read_coco_results, read_coco_truth

TRUTH: dict[str, Any] = {
    "info": {},
    "images": [
        {"id": 17, "height": 512, "width": 400, "file_name": "a.png"},
        {"id": 18, "height": 512, "width": 400},
        {"id": 19},
    ],
    "annotations": [
        {"id": 1, "image_id": 17, "category_id": 3, "bbox": [10, 20, 5, 6], "iscrowd": 0, "area": 30},
        {"id": 2, "image_id": 17, "category_id": 3, "bbox": [100, 20, 50, 60], "iscrowd": 1},
        {"id": 3, "image_id": 18, "category_id": 4, "bbox": [1, 2, 3, 4]},
    ],
    "categories": [{"id": 3, "name": "nodule"}, {"id": 4, "name": "effusion"}],
}
RESULTS: list[dict[str, Any]] = [
    {"image_id": 17, "category_id": 3, "bbox": [11, 20, 5, 6], "score": 0.9},
    {"image_id": 17, "category_id": 3, "bbox": [0, 0, 5, 6], "score": 0.2},
    {"image_id": 18, "category_id": 4, "bbox": [1, 2, 3, 5], "score": 0.4},
]


def stored(folder: Path, content: object, name: str = "coco.json") -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder / name


def test_annotations_are_boxes_and_crowds_regions_to_ignore(tmp_path) -> None:
    first, second, third = read_coco_truth(stored(tmp_path, TRUTH), "nodule")
    assert [(case.case, case.diseased, case.shape) for case in (first, second, third)] == [
        *(("17", True, (512, 400)), ("18", False, (512, 400)), ("19", False, None))
    ]
    assert [(lesion.box, lesion.ignore) for lesion in first.lesions or []] == [
        *(((10, 20, 5, 6), False), ((100, 20, 50, 60), True))
    ]
    assert second.lesions == third.lesions == []


def test_an_image_with_crowds_alone_is_not_diseased(tmp_path) -> None:
    content = copy.deepcopy(TRUTH)
    content["annotations"][0]["iscrowd"] = 1
    case = read_coco_truth(stored(tmp_path, content), "3")[0]
    assert (case.diseased, len(case.lesions or [])) == (False, 2)


def test_a_single_category_need_not_be_chosen(tmp_path) -> None:
    content = {**TRUTH, "categories": TRUTH["categories"][:1], "annotations": TRUTH["annotations"][:2]}
    assert read_coco_truth(stored(tmp_path, content))[0].diseased
    results = read_coco_results(stored(tmp_path, RESULTS[:2], "results.json"), truth=tmp_path / "coco.json")
    assert [len(case.marks) for case in results] == [2]


@pytest.mark.parametrize(("category", "with_truth"), [("nodule", True), ("3", True), ("3", False)])
def test_detections_are_marks_at_the_middle_of_their_boxes(tmp_path, category: str, with_truth: bool) -> None:
    truth = stored(tmp_path, TRUTH) if with_truth else None
    (case,) = read_coco_results(stored(tmp_path, RESULTS, "results.json"), category, truth)
    assert (case.case, case.score) == ("17", None)
    assert [(mark.x, mark.y, mark.rating, mark.box) for mark in case.marks] == [
        *((13.5, 23, 0.9, (11, 20, 5, 6)), (2.5, 3, 0.2, (0, 0, 5, 6)))
    ]


def test_no_detection_at_all_is_a_sound_result(tmp_path) -> None:
    assert read_coco_results(stored(tmp_path, []), "3") == []
    assert read_coco_results(stored(tmp_path, [])) == []


def annotation(**change: object) -> dict[str, Any]:
    return {**TRUTH, "annotations": [{**TRUTH["annotations"][0], **change}]}


@pytest.mark.parametrize(
    ("content", "category", "message"),
    [
        ([], "3", "a list of 0, expected an object with the key 'categories'"),
        ({**TRUTH, "images": []}, "3", "no images"),
        ({**TRUTH, "images": [{"id": 1}, {"id": 1}]}, "3", r"images\[1\].id: image '1' stands twice"),
        ({**TRUTH, "images": [{"id": 1, "height": 0.5, "width": 1}]}, "3", r"images\[0\].height: found 0.5"),
        (TRUTH, None, r"the category that counts is not clear; choose one of 3 \(nodule\), 4 \(effusion\)"),
        (TRUTH, "mass", "the category mass is not clear; choose one of 3"),
        (annotation(image_id=20), "3", r"annotations\[0\].image_id: image '20' is not among the images"),
        (annotation(bbox=[1, 2, 3]), "3", r"annotations\[0\].bbox: a list of 3, expected 4"),
        (annotation(bbox=[1, 2, 0, 4]), "3", r"annotations\[0\].bbox: a box is .* width and height above 0"),
        (annotation(bbox=[1, 2, "3", 4]), "3", r"annotations\[0\].bbox\[2\]: found '3', expected a number"),
        (
            annotation(iscrowd="no"),
            "3",
            r"annotations\[0\].iscrowd: found|annotations\[0\].iscrowd: 'no', expected 0 or 1",
        ),
        (
            {**TRUTH, "annotations": TRUTH["annotations"][:1] * 2},
            "3",
            r"annotations\[1\]: the same as .*annotations\[0\]",
        ),
    ],
)
def test_wrong_truth_is_named_with_its_key(tmp_path, content: object, category: str | None, message: str) -> None:
    with pytest.raises(InputDataError, match=message):
        read_coco_truth(stored(tmp_path, content), category)


def detection(**change: object) -> list[dict[str, Any]]:
    return [{**RESULTS[0], **change}]


@pytest.mark.parametrize(
    ("content", "category", "message"),
    [
        ({}, None, "an object of 0, expected a list"),
        (RESULTS, None, "detections of the categories 3, 4; choose one"),
        (RESULTS, "nodule", "detections of the category 3, expected nodule; .* the ground truth, which is needed"),
        (RESULTS[:1] * 2, "3", r"\[1\]: the same as .*\[0\]; delete one"),
        (detection(score="0.9"), "3", r"\[0\].score: found '0.9', expected a number without quotes"),
        (detection(score=None), "3", r"\[0\].score: found None, expected a number"),
        (detection(bbox=[1, 2, 3, -4]), "3", r"\[0\].bbox: a box is"),
        (detection(image_id=None), "3", r"\[0\].image_id: found None, expected a name"),
        ([{"image_id": 1, "bbox": [1, 2, 3, 4], "category_id": 3}], "3", r"\[0\]: the key 'score' is missing"),
    ],
)
def test_wrong_results_are_named_with_their_key(tmp_path, content: object, category: str | None, message: str) -> None:
    with pytest.raises(InputDataError, match=message):
        read_coco_results(stored(tmp_path, content), category)


def test_categories_that_the_truth_does_not_know_are_refused(tmp_path) -> None:
    """Counting categories from 0 instead of by id would otherwise lose every detection in silence."""
    results = stored(tmp_path, detection(category_id=0), "results.json")
    with pytest.raises(InputDataError, match="detections of the category 0, expected 3"):
        read_coco_results(results, "nodule", stored(tmp_path, TRUTH))


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_files_are_read_or_refused_with_a_reason(tmp_path, data: st.DataObject) -> None:
    truth, results = copy.deepcopy(TRUTH), copy.deepcopy(RESULTS)
    value = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=2)
        | st.lists(st.integers(), max_size=4)
    )
    for _ in range(data.draw(st.integers(1, 3))):
        rows = data.draw(st.sampled_from([results, *(truth[key] for key in ("images", "annotations", "categories"))]))
        row = data.draw(st.integers(0, len(rows) - 1))
        if isinstance(rows[row], dict) and rows[row] and data.draw(st.integers(0, 5)):
            rows[row][data.draw(st.sampled_from(sorted(rows[row])))] = data.draw(value)
        else:
            rows[row] = data.draw(value)
    paths = stored(tmp_path, truth), stored(tmp_path, results, "results.json")
    category = data.draw(st.sampled_from([None, "3", "nodule"]))
    for read in (lambda: read_coco_truth(paths[0], category), lambda: read_coco_results(paths[1], category, paths[0])):
        try:
            found: object = read()
        except InputDataError as error:
            found = str(error)
        assert isinstance(found, list) or ".json" in str(found)
