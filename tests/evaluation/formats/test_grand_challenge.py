from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medpipe.errors import InputDataError
from medpipe.evaluation.formats.grand_challenge import read_boxes, read_boxes_truth, write_boxes
from medpipe.metrics.matching import Mark


def corners(left: float, top: float, right: float, bottom: float, z: float = 0) -> list[list[float]]:
    return [[right, bottom, z], [left, bottom, z], [left, top, z], [right, top, z]]


def boxes(*given: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Multiple 2D bounding boxes", "boxes": list(given), "version": {"major": 1, "minor": 0}}


ONE = boxes(
    {"name": "nodule", "corners": corners(54.8, 95.5, 92.8, 136.5), "probability": 0.6},
    {"corners": corners(1, 2, 3, 4), "probability": 0.25},
)


def entry(image: str, value: dict[str, Any]) -> dict[str, Any]:
    return {
        "pk": "1-2-3",
        "inputs": [{"interface": {"slug": "generic-medical-image"}, "image": {"name": image}}],
        "outputs": [
            {"interface": {"slug": "score"}, "value": 0.4},
            {"interface": {"slug": "nodules"}, "value": value},
        ],
        "status": "Succeeded",
    }


NODE21 = [entry("n0001.mha", ONE), entry("n0002.mha", boxes())]


def stored(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_a_file_is_an_image_and_its_boxes_are_marks(tmp_path) -> None:
    (case,) = read_boxes(stored(tmp_path / "n0001.json", ONE))
    assert (case.case, case.score) == ("n0001", None)
    assert [mark.rating for mark in case.marks] == [0.6, 0.25]
    assert case.marks[0].box == pytest.approx((54.8, 95.5, 38, 41))
    assert (case.marks[0].x, case.marks[0].y) == pytest.approx((73.8, 116))


def test_a_folder_holds_a_file_per_image(tmp_path) -> None:
    stored(tmp_path / "b.json", boxes())
    stored(tmp_path / "a.json", ONE)
    assert [(case.case, len(case.marks)) for case in read_boxes(tmp_path)] == [("a", 2), ("b", 0)]


def test_predictions_of_an_evaluation_have_the_names_of_their_images(tmp_path) -> None:
    cases = read_boxes(stored(tmp_path / "predictions.json", NODE21))
    assert [(case.case, len(case.marks)) for case in cases] == [("n0001.mha", 2), ("n0002.mha", 0)]


def test_truth_needs_no_probability(tmp_path) -> None:
    content = copy.deepcopy(NODE21)
    for box in content[0]["outputs"][1]["value"]["boxes"]:
        del box["probability"]
    first, second = read_boxes_truth(stored(tmp_path / "reference.json", content))
    assert (first.case, first.diseased, second.diseased) == ("n0001.mha", True, False)
    assert [lesion.box for lesion in first.lesions or []][1] == (1, 2, 2, 2)


def test_corners_may_come_in_any_order_and_be_rounded(tmp_path) -> None:
    turned = boxes({"corners": [[1.001, 2, 0], [3, 4, 0], [3, 2.001, 0], [1, 4, 0]], "probability": 1})
    (case,) = read_boxes(stored(tmp_path / "a.json", turned))
    assert case.marks[0].box == (1, 2, 2, 2)


def test_spacing_turns_millimetres_into_pixels(tmp_path) -> None:
    (case,) = read_boxes(
        stored(tmp_path / "a.json", boxes({"corners": corners(1, 2, 3, 4), "probability": 1})), spacing=(0.5, 0.2)
    )
    assert case.marks[0].box == pytest.approx((5, 4, 10, 4))


def test_slices_of_a_stack_are_cases(tmp_path) -> None:
    stack = boxes(
        {"corners": corners(1, 2, 3, 4, z=0), "probability": 1},
        {"corners": corners(1, 2, 3, 4, z=2), "probability": 1},
    )
    path = stored(tmp_path / "stack.json", stack)
    assert [(case.case, len(case.marks)) for case in read_boxes(path, stacked=True)] == [("stack/0", 1), ("stack/2", 1)]
    assert [case.case for case in read_boxes_truth(path, stacked=True)] == ["stack/0", "stack/2"]
    with pytest.raises(InputDataError, match="boxes lie in 2 slices of 'stack' .*read it as stacked"):
        read_boxes(path)


def test_marks_are_read_as_they_were_written(tmp_path) -> None:
    marks = [Mark(12, 13, 0.5, box=(10, 11, 4, 4)), Mark(3, 4, 1, box=(0.5, 1.5, 5, 5))]
    write_boxes(tmp_path / "a.json", marks, spacing=(0.5, 0.25))
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["version"] == {"major": 1, "minor": 0}
    assert content["boxes"][0]["corners"] == [[3.5, 7.5, 0], [2.5, 7.5, 0], [2.5, 5.5, 0], [3.5, 5.5, 0]]
    (case,) = read_boxes(tmp_path / "a.json", spacing=(0.5, 0.25))
    assert [(mark.box, mark.rating) for mark in case.marks] == [(mark.box, mark.rating) for mark in marks]


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (Mark(1, 2, 0.5), "mark 0 has no box"),
        (Mark(1, 2, 0.5, box=(0, 0, 0, 1, 1, 1), z=0), "mark 0 has no box"),
        (Mark(1, 2, 1.5, box=(0, 0, 1, 1)), "mark 0: rating 1.5 must lie between 0 and 1"),
    ],
)
def test_what_the_format_cannot_say_is_not_written(tmp_path, mark: Mark, message: str) -> None:
    with pytest.raises(InputDataError, match=message):
        write_boxes(tmp_path / "a.json", [mark])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (7, "'.*a.json': found 7, expected an object with the key 'type'"),
        ({**ONE, "type": "Point"}, "type: 'Point', expected 'Multiple 2D bounding boxes'"),
        ({"type": ONE["type"]}, "the key 'boxes' is missing; found 'type'"),
        (boxes({"probability": 1}), r"boxes\[0\]: the key 'corners' is missing"),
        (boxes({"corners": corners(1, 2, 3, 4)}), r"boxes\[0\]: the key 'probability' is missing"),
        (
            boxes({"corners": corners(1, 2, 3, 4), "probability": "1"}),
            r"boxes\[0\].probability: found '1', expected a number",
        ),
        (boxes({"corners": corners(1, 2, 3, 4)[:3], "probability": 1}), r"boxes\[0\].corners: a list of 3, expected 4"),
        (boxes({"corners": [[1, 2]] * 4, "probability": 1}), r"boxes\[0\].corners\[0\]: a list of 2, expected 3"),
        (boxes({"corners": corners(1, 2, 1, 4), "probability": 1}), r"boxes\[0\].corners: no upright box in one slice"),
        (boxes({"corners": [[2, 0, 0], [4, 2, 0], [2, 4, 0], [0, 2, 0]], "probability": 1}), "no upright box"),
        (boxes({"corners": [[0, 0, 0], [0, 0, 0], [4, 4, 0], [4, 0, 0]], "probability": 1}), "no upright box"),
        (boxes({"corners": [*corners(1, 2, 3, 4)[:3], [3, 2, 1]], "probability": 1}), "no upright box in one slice"),
        (boxes(*[{"corners": corners(1, 2, 3, 4), "probability": 1}] * 2), "case 'a' has the same box .* twice"),
        ([entry("x", ONE), entry("x", ONE)], "entry 1: image 'x' stands twice"),
        ([{**entry("x", ONE), "inputs": []}], "entry 0, inputs: 0 images, expected one"),
        ([{**entry("x", ONE), "outputs": [{"value": {}}]}], "entry 0, outputs: 0 values of the type"),
        ([{"inputs": []}], "entry 0.*"),
    ],
)
def test_what_is_wrong_is_named_with_its_key(tmp_path, content: object, message: str) -> None:
    with pytest.raises(InputDataError, match=message):
        read_boxes(stored(tmp_path / "a.json", content))


def test_an_empty_folder_is_refused(tmp_path) -> None:
    with pytest.raises(InputDataError, match=r"holds no .json file"):
        read_boxes(tmp_path)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from([1e300, 1e99, -1, 0]),
    lambda part: (
        st.lists(part, max_size=4)
        | st.dictionaries(st.sampled_from(["type", "boxes", "corners", "value"]), part, max_size=3)
    ),
    max_leaves=6,
)


def mutated(data: st.DataObject, content: Any) -> Any:
    """The content with one value in it, at any depth, replaced by anything."""
    whole: Any = [copy.deepcopy(content)]
    place, key = whole, 0
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.integers(0, 4)):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1))
    place[key] = data.draw(anything)
    return whole[0]


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.booleans())
def test_a_mutated_file_is_read_or_refused_with_a_reason(tmp_path, data: st.DataObject, stacked: bool) -> None:
    content = mutated(data, data.draw(st.sampled_from([ONE, NODE21])))
    path = stored(tmp_path / "a.json", content)
    for read in (read_boxes, read_boxes_truth):
        try:
            found: object = read(path, stacked=stacked)
        except InputDataError as error:
            found = str(error)
        assert isinstance(found, list) or "a.json" in str(found)
