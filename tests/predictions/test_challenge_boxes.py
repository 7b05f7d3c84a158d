from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medpipe.errors import RequestError
from medpipe.evaluation.formats.grand_challenge import read_boxes
from medpipe.predictions.challenge_boxes import ChallengeBoxes
from medpipe.predictions.journal import CaseResult
from medpipe.predictions.tables import write_cases, write_marks

FORMAT = {
    "type": "object",
    "required": ["type", "boxes", "version"],
    "additionalProperties": False,
    "properties": {
        "type": {"const": "Multiple 2D bounding boxes"},
        "version": {"const": {"major": 1, "minor": 0}},
        "boxes": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["corners", "probability"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string"},
                    "probability": {"type": "number", "minimum": 0, "maximum": 1},
                    "corners": {
                        "type": "array",
                        "minItems": 4,
                        "maxItems": 4,
                        "items": {"type": "array", "minItems": 3, "maxItems": 3, "items": {"type": "number"}},
                    },
                },
            },
        },
    },
}
"""As grand-challenge.org and NODE21 describe the interface."""


def mark(x: float, y: float, score: float) -> dict[str, Any]:
    return {"label": "nodule", "score": score, "x": x, "y": y}


def done(case: str, *marks: dict[str, Any], row_mm: float | None = 0.5, column_mm: float | None = 0.25) -> CaseResult:
    return CaseResult(case, "done", "", {"row_mm": row_mm, "column_mm": column_mm}, 0.9, list(marks))


def written(folder: Path, *results: CaseResult, box_mm: float = 20.0) -> dict[str, Any]:
    write_cases(folder / "cases.csv", results)
    write_marks(folder / "marks.csv", results)
    ChallengeBoxes(folder, wanted=True, box_mm=box_mm).write()
    content = json.loads((folder / "nodules.json").read_text())
    jsonschema.validate(content, FORMAT)
    return content


def test_a_box_is_a_square_in_millimetres_around_the_mark(tmp_path) -> None:
    content = written(tmp_path, done("a", mark(400, 100, 0.75)))  # 100 mm from the left, 50 mm from the top
    corners = [[110, 60, 0], [90, 60, 0], [90, 40, 0], [110, 40, 0]]
    assert content["boxes"] == [{"name": "a", "corners": corners, "probability": 0.75}]


def test_the_slice_is_the_row_of_the_case_also_behind_one_without_a_result(tmp_path) -> None:
    failed = CaseResult("b", "failed", "no pixels")
    content = written(tmp_path, done("a"), failed, done("c", mark(1, 1, 0.5)), done("d", mark(1, 1, 0.5)))
    assert [(box["name"], box["corners"][0][2]) for box in content["boxes"]] == [("c", 2), ("d", 3)]


def test_a_pixel_of_unknown_size_counts_as_a_millimetre(tmp_path) -> None:
    (box,) = written(tmp_path, done("a", mark(30, 40, 0.5), row_mm=None, column_mm=None))["boxes"]
    assert box["corners"][2] == [20, 30, 0]


def test_a_run_without_marks_has_no_boxes(tmp_path) -> None:
    assert written(tmp_path, done("a"))["boxes"] == []


def test_nothing_is_written_where_it_is_not_wanted(tmp_path) -> None:
    ChallengeBoxes(tmp_path, wanted=False, box_mm=20).write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("side", [0, -1, float("nan"), float("inf")])
def test_a_side_that_is_no_length_is_refused(tmp_path, side) -> None:
    with pytest.raises(RequestError, match="box_mm=.* must be above 0"):
        ChallengeBoxes(tmp_path, wanted=True, box_mm=side)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 4000), st.integers(0, 4000), st.integers(1, 100)),
        max_size=12,
        unique=True,
    ),
    box_mm=st.sampled_from([5.0, 13.4, 20.0]),
)
def test_the_reader_of_the_challenges_files_gives_the_marks_back(tmp_path, places, box_mm) -> None:
    marks = {case: [mark(x, y, score / 100) for c, x, y, score in places if c == case] for case in range(4)}
    written(tmp_path, *(done(str(case), *marks[case]) for case in range(4)), box_mm=box_mm)
    found = {case.case: case.marks for case in read_boxes(tmp_path / "nodules.json", spacing=(0.5, 0.25), stacked=True)}
    assert found.keys() == {f"nodules/{case}" for case, listed in marks.items() if listed}
    for case, listed in marks.items():
        for before, after in zip(listed, found.get(f"nodules/{case}", []), strict=True):
            assert (after.x, after.y, after.rating) == pytest.approx((before["x"], before["y"], before["score"]))
            assert after.box is not None
            assert after.box[2:] == pytest.approx((box_mm / 0.25, box_mm / 0.5))
