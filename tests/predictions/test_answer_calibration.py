"""calibration.json beside weights."""

from __future__ import annotations

import json
import math

import pytest

from medpipe.errors import RequestError
from medpipe.predictions.answer_calibration import (
    AnswerCalibration,
    fitted_questions,
    question_digest,
    stored_calibration,
    write_calibration,
)

CURVE = AnswerCalibration(0.5, -1.0, 40, 8)


@pytest.fixture
def weights(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"weights")
    write_calibration(tmp_path / "model.pt", CURVE, section="validation", accuracy=0.5)
    return tmp_path / "model.pt"


def test_the_probability_is_the_logistic_of_the_curve_and_never_overflows() -> None:
    assert CURVE.probability(3) == pytest.approx(1 / (1 + math.exp(-0.5)))
    assert CURVE.probability(1e9) == 1
    assert CURVE.probability(-1e9) == 0


def test_it_is_found_beside_its_weights_or_where_it_is_said_to_be(weights, tmp_path) -> None:
    assert stored_calibration(None, weights) == CURVE
    file = weights.with_name("calibration.json").rename(tmp_path / "other.json")
    assert stored_calibration(None, weights) is None
    assert stored_calibration(file, weights) == CURVE
    assert json.loads(file.read_text())["section"] == "validation"


def test_without_weights_there_is_none_to_be_found(tmp_path) -> None:
    assert stored_calibration(None, tmp_path / "gone.pt") is None


def test_the_questions_that_it_was_fitted_on_are_known_by_digests(weights) -> None:
    assert fitted_questions(None, weights) == frozenset()
    digests = [question_digest(case, "Is there a mass?") for case in ("1", "2")]
    write_calibration(weights, CURVE, fitted=digests)
    assert fitted_questions(None, weights) == set(digests)
    assert question_digest("1", "Why?") not in digests
    weights.with_name("calibration.json").unlink()
    assert fitted_questions(None, weights) == frozenset()


def test_a_calibration_of_other_weights_is_refused(weights) -> None:
    weights.write_bytes(b"others")
    with pytest.raises(RequestError, match="calibrates other weights"):
        stored_calibration(None, weights)


@pytest.mark.parametrize("change", [{"format": "x"}, {"slope": "steep"}, {"slope": float("nan")}, {"images": None}])
def test_what_is_no_calibration_is_refused(weights, change) -> None:
    file = weights.with_name("calibration.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(RequestError, match="not readable as a calibration"):
        stored_calibration(None, weights)
    with pytest.raises(RequestError, match=r"gone\.json"):
        stored_calibration("gone.json", weights)
