"""calibration.json: how often an answer of a network is right, given the logit of the answer.

It lies beside the weights that it was made for. The candidates of a network are each a yes or no of its own, so the most
probable one's own probability says little about how often such answers are right; a logistic curve through the questions of
other images says more.

    format, method       "medpipe-answer-calibration/1", "logistic"
    slope, intercept     P(right) = 1 / (1 + exp(-(slope logit + intercept)))
    section, questions, images, accuracy     what it was fitted on; of images that are not in training
    before, after        "brier", "ece", each with its interval over images: of the answer's own probability, and of
                         probabilities from curves that were fitted without the image in question
    fitted               of each of those questions, what tells it from others (see question_digest)
    weights_sha256       of the weights
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medpipe.errors import RequestError
from medpipe.io.atomic import write_text
from medpipe.predictions.fingerprints import sha256_of_file

__all__ = [
    "NAME",
    "AnswerCalibration",
    "fitted_questions",
    "question_digest",
    "stored_calibration",
    "write_calibration",
]

NAME = "calibration.json"
_HEAD = {"format": "medpipe-answer-calibration/1", "method": "logistic"}


@dataclass(frozen=True)
class AnswerCalibration:
    """The curve from an answer's logit to the probability that it is right.

    Attributes:
        slope, intercept: Of the curve.
        questions: That it was fitted on.
        images: That these are about.
    """

    slope: float
    intercept: float
    questions: int
    images: int

    def probability(self, logit: float) -> float:
        """That an answer with this logit is right."""
        return 0.5 * (1 + math.tanh((self.slope * logit + self.intercept) / 2))


def write_calibration(weights: Path, found: AnswerCalibration, **facts: Any) -> None:
    """Write calibration.json beside weights.

    Args:
        weights: The file of the network that was calibrated.
        found: The curve.
        facts: What else the file shall say.
    """
    content = {**_HEAD, **vars(found), **facts, "weights_sha256": sha256_of_file(weights)}
    write_text(weights.with_name(NAME), json.dumps(content, indent=1) + "\n")


def question_digest(case: str, question: str) -> str:
    """What tells a question of a datalist from others, without its words."""
    return hashlib.sha256(f"{case}\0{question}".encode()).hexdigest()[:16]


def fitted_questions(path: str | Path | None, weights: str | Path) -> frozenset[str]:
    """Digests of the questions that the calibration of weights was fitted on; none where there is no calibration.

    Args:
        path: As for :func:`stored_calibration`.
        weights: As there.

    Raises:
        RequestError: As there.
    """
    if stored_calibration(path, weights) is None:
        return frozenset()
    file = Path(weights).with_name(NAME) if path is None else Path(path)
    return frozenset(json.loads(file.read_text(encoding="utf-8")).get("fitted", ()))


def stored_calibration(path: str | Path | None, weights: str | Path) -> AnswerCalibration | None:
    """The calibration of weights; None where there is none, and where there are no weights.

    Args:
        path: Its file; None for calibration.json beside the weights.
        weights: The weight file.

    Raises:
        RequestError: The file is missing, is no calibration, or is of other weights.
    """
    file = Path(weights).with_name(NAME) if path is None else Path(path)
    if not Path(weights).is_file() or (path is None and not file.is_file()):
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if {key: content[key] for key in _HEAD} != _HEAD:
            raise ValueError(f"expected the format {_HEAD['format']}")
        found = AnswerCalibration(
            float(content["slope"]), float(content["intercept"]), int(content["questions"]), int(content["images"])
        )
        if not (math.isfinite(found.slope) and math.isfinite(found.intercept)):
            raise ValueError("slope and intercept must be finite")
        made_for = str(content["weights_sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"'{file}' is not readable as a calibration ({error}); train again, or move it away"
        ) from error
    if made_for != sha256_of_file(Path(weights)):
        raise RequestError(f"'{file}' calibrates other weights than '{weights}'; train again, or move it away")
    return found
