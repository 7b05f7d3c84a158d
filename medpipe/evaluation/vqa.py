"""How well questions about images are answered, from tables or datalists, by type of answer, type of question and organ.

An answer is right when it equals the true one in the normalised spelling (``medpipe.data.vqa_text.normalize_answer``); with
ten annotators it has the official accuracy of VQA 2.0. Papers on VQA-RAD evaluate on different rows of one test set, so
where questions have phrase types both conventions are given by name: A, the free-form questions alone (as MEVF and MMQ), and
B, all questions (most later work).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.data.vqa_datalist import ANSWER_TYPES, TASK, load_vqa_datalist
from medpipe.data.vqa_text import AnswerVocabulary, normalize_answer
from medpipe.errors import InputDataError
from medpipe.evaluation.results import calibration_entry, figure, patient_numbers, settings_entry
from medpipe.metrics._arrays import FloatArray
from medpipe.metrics.calibration import calibration
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.vqa import accuracy_estimate, bleu, consensus_accuracy, token_f1
from medpipe.predictions.tables import numbered_rows

__all__ = [
    "CONSTANT",
    "AnsweredQuestions",
    "TruthQuestion",
    "accuracy_groups",
    "answered_questions",
    "evaluate_vqa",
    "most_frequent_answer",
    "questions_from",
]

CONSTANT = "Constant answer"
"""Name of the accuracy of one answer to all questions."""

FREE_FORM = "freeform"
_OFFICIAL = 10  # annotators per question in VQA 2.0
_RIGHT = "share of questions whose answer equals the true one in normalised spelling"
_SEPARATOR = "|"


@dataclass(frozen=True)
class TruthQuestion:
    """One question with what is true of it.

    Attributes:
        case: Its id.
        image: What is resampled: the image, or whoever is in it.
        answers: True answers as written, one per annotator.
        answer_type: "closed", "open" or "" where unknown.
        question_types: Kinds of question, may be several.
        organ: Body part; empty where unknown.
        phrase: Phrase type, as "freeform"; empty where unknown.
        question: Its text; empty where unknown.
    """

    case: str
    image: str
    answers: tuple[str, ...]
    answer_type: str = ""
    question_types: tuple[str, ...] = ()
    organ: str = ""
    phrase: str = ""
    question: str = ""


@dataclass(frozen=True)
class AnsweredQuestions:
    """Questions with the answers given to them.

    Attributes:
        questions: Those that have an answer.
        answers: As given, one per question.
        without: Cases of the truth that have none.
        data: What results.json says of the data set.
        probabilities: That each answer is right; None where one has none, as a question that was refused.
        calibrated: Whether the probabilities were calibrated; else each is that of the answer alone.
    """

    questions: tuple[TruthQuestion, ...]
    answers: tuple[str, ...]
    without: tuple[str, ...]
    data: dict[str, Any] = field(default_factory=dict)
    probabilities: tuple[float | None, ...] = ()
    calibrated: bool = False

    def accuracies(self) -> FloatArray:
        """Accuracy of each answer, from 0 to 1."""
        pairs = zip(self.questions, self.answers, strict=True)
        return np.array([_accuracy(question.answers, answer) for question, answer in pairs])


def _accuracy(truth: Sequence[str], answer: str) -> float:
    given = normalize_answer(answer)
    matches = [normalize_answer(text) == given for text in truth]
    return float(consensus_accuracy([matches])[0]) if len(truth) == _OFFICIAL else float(any(matches))


def questions_from(path: Path, section: str = "test") -> tuple[list[TruthQuestion], dict[str, Any]]:
    """Questions of a datalist of visual question answering, or of a table.

    A table (CSV, or JSON: a list of objects) has the columns case and answer, of several annotators joined by "|", and where
    known image, answer_type (closed or open), question_type (several joined by ","), organ, phrase_type and question.

    Args:
        path: A datalist (.json) or a table.
        section: Of a datalist.

    Returns:
        The questions, and what results.json says of the data set.

    Raises:
        InputDataError: The file follows neither form, or lists a case twice.
    """
    if path.suffix.lower() == ".json" and _is_datalist(path):
        content = load_vqa_datalist(path)
        entries = content.get(section, [])
        if not entries:
            raise InputDataError(f"datalist '{path}' has no questions in its section '{section}'")
        head = {key: content[key] for key in ("name", "description", "generated", "split")}
        return [_from_entry(entry) for entry in entries], {**head, "section": section}
    rows = numbered_rows(path, ["case", "answer"])
    if not rows:
        raise InputDataError(f"table '{path}' lists no questions")
    questions = [_from_row(path, line, row) for line, row in rows]
    _refuse_twice(path, [(line, row["case"]) for line, row in rows])
    return questions, {"name": path.name}


def _is_datalist(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False  # the reader of tables says what is wrong
    return isinstance(content, dict) and content.get("task") == TASK


def _from_entry(entry: dict[str, Any]) -> TruthQuestion:
    return TruthQuestion(
        entry["case"],
        entry["patient"],
        tuple(entry["answers"]),
        entry["answer_type"],
        tuple(entry.get("question_type", ())),
        str(entry.get("organ", "")),
        str(entry.get("phrase_type", "")),
        entry["question"],
    )


def _from_row(path: Path, line: int, row: dict[str, str]) -> TruthQuestion:
    kind = row.get("answer_type", "").lower()
    if kind not in (*ANSWER_TYPES, ""):
        raise InputDataError(
            f"table '{path}', line {line}, column 'answer_type': '{kind}' must be {' or '.join(ANSWER_TYPES)}"
        )
    types = tuple(part.strip() for part in row.get("question_type", "").split(",") if part.strip())
    return TruthQuestion(
        row["case"],
        row.get("image") or row["case"],
        tuple(part.strip() for part in row["answer"].split(_SEPARATOR)),
        kind,
        types,
        row.get("organ", ""),
        row.get("phrase_type", "").lower(),
        row.get("question", ""),
    )


def _refuse_twice(path: Path, cases: Sequence[tuple[int, str]]) -> None:
    seen: set[str] = set()
    for line, case in cases:
        if case in seen:
            raise InputDataError(f"table '{path}', line {line}: case '{case}' stands twice")
        seen.add(case)


def answered_questions(predictions: Path, truth: Path, section: str = "test") -> AnsweredQuestions:
    """Join a table of answers (CSV or JSON with case and answer) with the truth.

    Raises:
        InputDataError: A table is wrong, or an answer is to a question that the truth does not have.
    """
    questions, data = questions_from(truth, section)
    rows = numbered_rows(predictions, ["case", "answer"])
    _refuse_twice(predictions, [(line, row["case"]) for line, row in rows])
    known = {question.case for question in questions}
    for line, row in rows:
        if row["case"] not in known:
            raise InputDataError(
                f"table '{predictions}', line {line}: case '{row['case']}' is not in the truth '{truth.name}'"
            )
    given = {row["case"]: row["answer"] for _, row in rows}
    answered = tuple(question for question in questions if question.case in given)
    column = next((name for name in ("calibrated", "probability") if any(row.get(name) for _, row in rows)), "")
    probabilities = {row["case"]: _probability(predictions, line, column, row) for line, row in rows} if column else {}
    return AnsweredQuestions(
        answered,
        tuple(given[question.case] for question in answered),
        tuple(question.case for question in questions if question.case not in given),
        data,
        tuple(probabilities.get(question.case) for question in answered),
        column == "calibrated",
    )


def _probability(path: Path, line: int, column: str, row: dict[str, str]) -> float | None:
    text = row.get(column, "")
    try:
        value = float(text) if text else None
    except ValueError:
        value = math.nan
    if value is not None and not 0 <= value <= 1:
        raise InputDataError(
            f"table '{path}', line {line}, column '{column}': '{text}' must be a probability, from 0 to 1"
        )
    return value


def most_frequent_answer(datalist: Path, section: str = "training") -> str | None:
    """The answer that most questions of a section have, in normalised spelling; the first of equal ones.

    Returns:
        None where the section has no question.

    Raises:
        InputDataError: The datalist does not follow its format.
    """
    answers = [normalize_answer(text) for entry in load_vqa_datalist(datalist)[section] for text in entry["answers"]]
    return Counter(answers).most_common(1)[0][0] if answers else None


def accuracy_groups(
    questions: Sequence[TruthQuestion], figure: str = "Accuracy"
) -> Iterator[tuple[str, str, list[int]]]:
    """The groups that papers report a figure of: all questions, closed and open ones, by both conventions where they differ.

    Args:
        questions: All of them.
        figure: What is reported.

    Yields:
        Name of the figure, words that say which questions it is of, and their places. Groups without a question are left out.
    """
    every: list[tuple[str, str, Callable[[TruthQuestion], bool]]] = [("", "", lambda _: True)]
    if _two_conventions(questions):
        every = [
            (", convention B", " (convention B: all questions)", lambda _: True),
            (", convention A", " (convention A: free-form questions alone)", lambda q: q.phrase == FREE_FORM),
        ]
    for name, words, belongs in every:
        for kind in ("", *ANSWER_TYPES):
            places = [n for n, q in enumerate(questions) if belongs(q) and kind in ("", q.answer_type)]
            if places:
                kept = f", {kind} answers alone" if kind else ""
                yield f"{figure}{f', {kind}' if kind else ''}{name}", f"{kept}{words}", places


def _two_conventions(questions: Sequence[TruthQuestion]) -> bool:
    phrases = {question.phrase for question in questions}
    return FREE_FORM in phrases and len(phrases) > 1


def evaluate_vqa(
    data: AnsweredQuestions,
    bootstrap: Bootstrap,
    candidates: AnswerVocabulary | None = None,
    constant: str | None = None,
) -> dict[str, Any]:
    """Score answers; the content of results.json.

    Args:
        data: Questions with answers.
        bootstrap: Of images.
        candidates: The answers that the network can give, for the upper bound that they set.
        constant: An answer whose accuracy is told beside, were it given to every question: what must be surpassed.

    Raises:
        InputDataError: No question has an answer.
    """
    if not data.questions:
        raise InputDataError("no question has an answer")
    scored = _Scored(data, data.accuracies(), bootstrap)
    numbers = patient_numbers(question.image for question in data.questions)
    return {
        "task": "vqa",
        "settings": settings_entry(bootstrap),
        "cohort": {
            "listed": len(data.questions) + len(data.without),
            "without_result": [{"case": case, "reason": "no answer"} for case in data.without],
            "analysed": len(data.questions),
            "diseased": 0,
            "nondiseased": 0,
            "patients": len(numbers),
        },
        "headline": [
            *scored.conventions(),
            *scored.free_text(),
            *scored.bound(candidates),
            *scored.of_constant(constant),
        ],
        "curves": {},
        **scored.calibration(),
        "subgroups": scored.tables(),
        "cases": [
            {
                "case": question.case,
                "patient": numbers[question.image],
                "diseased": None,
                "score": None,
                "question": question.question,
                "answer": answer,
                "true_answers": list(dict.fromkeys(question.answers)),
                "accuracy": float(accuracy),
                "answer_type": question.answer_type,
                "phrase_type": question.phrase,
            }
            for question, answer, accuracy in zip(data.questions, data.answers, scored.accuracies, strict=True)
        ],
    }


@dataclass(frozen=True)
class _Scored:
    data: AnsweredQuestions
    accuracies: FloatArray
    bootstrap: Bootstrap

    def conventions(self) -> list[dict[str, Any]]:
        """Overall, closed and open accuracy, of all questions and of the free-form ones where they are told apart."""
        return [
            self._figure(name, places, self.accuracies, f"{_RIGHT}{words}")
            for name, words, places in accuracy_groups(self.data.questions)
        ]

    def of_constant(self, answer: str | None) -> list[dict[str, Any]]:
        """The accuracy of one answer to all questions."""
        if answer is None:
            return []
        right = np.array([_accuracy(question.answers, answer) for question in self.data.questions])
        said = f"accuracy if the most frequent answer of training, '{answer}', were given to every question"
        groups = accuracy_groups(self.data.questions, CONSTANT)
        return [self._figure(name, places, right, f"{said}{words}") for name, words, places in groups]

    def free_text(self) -> list[dict[str, Any]]:
        """How many words of the open answers are right."""
        places = [place for place, question in enumerate(self.data.questions) if question.answer_type == "open"]
        if not places:
            return []
        pairs = [(self.data.answers[place], self.data.questions[place].answers) for place in places]
        measures: dict[str, tuple[Callable[[list[str], list[str]], float], str]] = {
            f"BLEU-{order}, open": (
                partial(bleu, order=order),
                f"mean over open questions of BLEU with up to {order} words in a row, after normalising",
            )
            for order in (1, 2, 3)
        }
        measures["Word F1, open"] = token_f1, "mean over open questions of the F1 of words, after normalising"
        found = []
        for name, (measure, words) in measures.items():
            values = np.zeros(len(self.data.questions))
            values[places] = [
                max(measure(normalize_answer(given).split(), normalize_answer(text).split()) for text in true)
                for given, true in pairs
            ]
            found.append(self._figure(name, places, values, words))
        return found

    def bound(self, candidates: AnswerVocabulary | None) -> list[dict[str, Any]]:
        """The accuracy of always giving the best candidate."""
        if candidates is None:
            return []
        known = [any(normalize_answer(text) in candidates.numbers for text in q.answers) for q in self.data.questions]
        words = f"share of questions whose true answer is among the {len(candidates.answers)} candidates"
        return [self._figure("Answerable", range(len(known)), np.array(known, float), words)]

    def calibration(self) -> dict[str, Any]:
        """How far the probabilities of the answers come true, where they have some and are right or wrong, not in part."""
        places = [place for place, value in enumerate(self.data.probabilities) if value is not None]
        right = self.accuracies[places]
        if not places or not np.isin(right, (0, 1)).all():
            return {}
        values = np.array([self.data.probabilities[place] for place in places], float)
        images = [self.data.questions[place].image for place in places]
        entry = calibration_entry(calibration(values, right, 10, images, self.bootstrap), of="right answers")
        kind = "calibrated" if self.data.calibrated else "uncalibrated"
        for part in entry["figures"]:
            part["definition"] += f"; of the {kind} probabilities of the {len(places)} answers that have one"
        for part in [*entry["figures"], *(row["observed"] for row in entry["bins"])]:
            part |= {key: part[key] and part[key].replace("patients", "images") for key in ("method", "reason")}
        return {"calibration": entry}

    def tables(self) -> list[dict[str, Any]]:
        """Accuracy by type of answer, type of question and organ; a question of several types counts in each."""
        labels: dict[str, Callable[[TruthQuestion], Sequence[str]]] = {
            "answer type": lambda q: [q.answer_type],
            "question type": lambda q: q.question_types,
            "organ": lambda q: [q.organ],
        }
        entries = []
        for variable, of in labels.items():
            places: dict[str, list[int]] = {}
            for place, question in enumerate(self.data.questions):
                for name in dict.fromkeys(of(question)):
                    places.setdefault(name, []).append(place)
            if len(places) > 1:
                rows = [self._group(variable, name, places[name]) for name in sorted(places)]
                entries.append({"variable": variable, "figure": self._overall, "groups": rows})
        return entries

    @property
    def _overall(self) -> str:
        """Name of the figure over all questions."""
        return "Accuracy, convention B" if _two_conventions(self.data.questions) else "Accuracy"

    def _group(self, variable: str, name: str, places: list[int]) -> dict[str, Any]:
        images = {self.data.questions[place].image for place in places}
        words = f"of the questions with {variable} {name or 'not known'} alone"
        entry = self._figure(self._overall, places, self.accuracies, words)
        return {"name": name, "n": len(places), "patients": len(images), "figure": entry}

    def _figure(self, name: str, places: Sequence[int], values: FloatArray, definition: str) -> dict[str, Any]:
        images = [self.data.questions[place].image for place in places]
        return figure(name, accuracy_estimate(values[list(places)], images, self.bootstrap), definition)
