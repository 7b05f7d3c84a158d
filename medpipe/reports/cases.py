"""The table of cases: what was said of each, what is true, and which are wrong, the worst first.

A miss is a diseased case whose score lies below the threshold of the first operating point, or with a lesion that no
mark found. A false positive is a non-diseased case whose score reaches that threshold; where the cases have no scores,
one with a mark that hit nothing. Without a threshold only lesions tell.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from medpipe.predictions.tables import read_table
from medpipe.reports.formats import number
from medpipe.reports.thumbnails import picture_path, thumbnails

__all__ = ["LISTED", "PRINTED", "cases_section"]

PRINTED = 50
"""Cases in the table for print and for readers without scripts."""

LISTED = 20_000
"""Most cases that a page lists; a browser takes long over more, and all are in results.json."""

_MISS, _FALSE_POSITIVE, _RIGHT, _UNKNOWN = "miss", "false positive", "right", ""


def cases_section(folder: Path, rows: list[dict[str, str]], results: dict[str, Any] | None) -> dict[str, Any] | None:
    """Columns, rows and pictures of the case table; None where nothing is known of single cases."""
    threshold = _threshold(results)
    answers = _answers(folder)
    cases = [_Case(case, run, threshold) for case, run in _joined(rows, results, _class_scores(folder), answers)]
    cases.sort(key=lambda case: case.order)
    total = len(cases)
    del cases[LISTED:]
    columns = [column for column in _COLUMNS if any(column.value(case) not in (None, "") for case in cases)]
    if len(columns) < 3 and all(case.score is None for case in cases):  # no more than names and labels
        return None
    paths = [picture_path(folder, case.name) for case in cases]
    pictures = thumbnails(paths)
    links = [
        f"../cases/{quote(case.name)}/{path.name}" if path else "" for case, path in zip(cases, paths, strict=True)
    ]
    cells = [[_cell(column.value(case)) for column in columns] for case in cases]
    return {
        "columns": columns,
        "total": total,
        "listed": len(cases),
        "order": _order_in_words(results),
        "remark": _remark(answers),
        "judged": any(case.outcome for case in cases),
        "threshold": threshold,
        "lesions": any(case.lesions for case in cases),
        "pictured": sum(bool(picture) for picture in pictures),
        "pictures_first": results is None and any(pictures),
        "printed": [
            {"cells": row, "picture": picture, "link": link, "name": case.name}
            for case, row, picture, link in list(zip(cases, cells, pictures, links, strict=True))[:PRINTED]
        ],
        "data": {
            "columns": [column.label for column in columns],
            "rows": cells,
            "outcomes": [case.outcome for case in cases],
            "links": links,
            # The printed table holds its own pictures, which the script takes from there.
            "pictures": ["" for _ in pictures[:PRINTED]] + pictures[PRINTED:],
        },
    }


def _order_in_words(results: dict[str, Any] | None) -> str:
    """What stands first where no outcome is known."""
    cases = (results or {}).get("cases", [])
    if any("accuracy" in case for case in cases):
        return "wrong answers first"
    if any(case.get("labels") for case in cases):
        return "those with the lowest score of a class that is present"
    if any(case["diseased"] for case in cases):
        return "diseased cases from the lowest score, then the others from the highest"
    return "those with the highest scores"


def _remark(answers: dict[str, dict[str, Any]]) -> str:
    """What the probabilities of answers are."""
    if not answers:
        return ""
    if any("right" in answer for answer in answers.values()):
        return (
            "The probability that an answer is right was calibrated on questions about images that were not in training; "
            "those of the next answers are not calibrated."
        )
    return "The probabilities of answers are not calibrated: they do not say how often such an answer is right."


def _threshold(results: dict[str, Any] | None) -> dict[str, Any] | None:
    points = [point for point in (results or {}).get("operating_points", []) if point["threshold"] is not None]
    points.sort(key=lambda point: not point["preset"])
    return points[0] if points else None


def _class_scores(folder: Path) -> dict[str, dict[str, float]]:
    """Scores by class of each case of a run, where it gave some."""
    path = folder / "scores.csv"
    if not path.is_file():
        return {}
    rows = read_table(path, ["case"])
    return {row["case"]: {name: float(value) for name, value in row.items() if name != "case"} for row in rows}


def _answers(folder: Path) -> dict[str, dict[str, Any]]:
    """Question and answers of each case of a run, where it gave some; the answers with their probabilities."""
    path = folder / "answers.csv"
    if not path.is_file():
        return {}
    found = {}
    for row in read_table(path, ["case", "question", "answer", "probability"]):
        next_ones = [
            f"{row[f'answer_{rank}']} {number(float(row[f'probability_{rank}']))}"
            for rank in range(2, len(row))
            if row.get(f"answer_{rank}")
        ]
        found[row["case"]] = {
            "question": row["question"],
            "answer": row["answer"],
            **({"right": float(row["calibrated"])} if row.get("calibrated") else {}),
            "next_answers": ", ".join(next_ones),
        }
    return found


def _joined(
    rows: list[dict[str, str]],
    results: dict[str, Any] | None,
    scores: dict[str, dict[str, float]],
    answers: dict[str, dict[str, Any]],
) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """Cases of the results with their row of the run, then cases that only the run knows."""
    done = {row["case"]: row for row in rows if row["status"] == "done"}
    known = [{**answers.get(case["case"], {}), **case} for case in (results or {}).get("cases", [])]
    names = {case["case"] for case in known}
    alone = [
        (
            {
                "case": name,
                "diseased": None,
                "score": float(row["score"]) if row.get("score") else None,
                "scores": scores.get(name),
                **answers.get(name, {}),
            },
            row,
        )
        for name, row in done.items()
        if name not in names
    ]
    return [(case, done.get(case["case"], {})) for case in known] + alone


class _Case:
    """One case with what decides its place in the table."""

    def __init__(self, case: dict[str, Any], run: dict[str, str], threshold: dict[str, Any] | None) -> None:
        self.name: str = case["case"]
        self.diseased: bool | None = case["diseased"]
        self.score: float | None = case["score"]
        self.found: int = case.get("found") or 0
        self.lesions: int = (case.get("lesions") or 0) if "found" in case else 0
        self.false_positives: int | None = case.get("false_positives")
        self.highest: float | None = max(case.get("false_positive_ratings") or [], default=None)
        self.facts, self.run = case, run
        limit = None if threshold is None or self.score is None else threshold["threshold"]
        self.outcome = self._outcome(limit)
        self.order = self._order()

    def _outcome(self, limit: float | None) -> str:
        low = limit is not None and self.score is not None and self.score < limit
        if self.diseased:
            if low or self.found < self.lesions:
                return _MISS
            return _RIGHT if limit is not None or self.lesions else _UNKNOWN
        if self.diseased is None:
            return _UNKNOWN
        if self.score is None and self.false_positives is not None:
            return _FALSE_POSITIVE if self.false_positives else _RIGHT
        return _UNKNOWN if limit is None else _RIGHT if low else _FALSE_POSITIVE

    def _order(self) -> tuple[float, float, float, str]:
        """Misses with the lowest scores, then false positives with the highest, then the others in the same way."""
        group = (_MISS, _FALSE_POSITIVE).index(self.outcome) if self.outcome in (_MISS, _FALSE_POSITIVE) else 2
        falling = not self.diseased
        labels, scores = self.facts.get("labels"), self.facts.get("scores")
        if "accuracy" in self.facts:  # of an answer: the wrong ones first
            falling, score = False, self.facts["accuracy"]
        elif labels and scores:  # several labels: the lowest score of one that is there
            falling, present = False, [scores.get(name) for name, label in labels.items() if label]
            score = min((value for value in present if value is not None), default=2.0)
        elif scores:
            score = max(value for value in scores.values() if value is not None)
        else:
            score = self.score if self.score is not None else (self.highest or 0.0)
        return (group, float(falling), -score if falling else score + self.found / max(self.lesions, 1), self.name)


class _Column:
    """A column: its label, whether it holds numbers, and its value for a case (text, number, or text with its rank)."""

    def __init__(self, label: str, value: Any, *, numeric: bool = False) -> None:
        self.label, self.value, self.numeric = label, value, numeric


def _found(case: _Case) -> Any:
    return [f"{case.found} of {case.lesions}", round(case.found / case.lesions, 4)] if case.lesions else ""


def _truth(case: _Case) -> str:
    if case.facts.get("labels"):
        return ", ".join(name for name, label in case.facts["labels"].items() if label) or "none"
    return "" if case.diseased is None else "diseased" if case.diseased else "not diseased"


def _top(case: _Case) -> str:
    known = [(score, name) for name, score in (case.facts.get("scores") or {}).items() if score is not None]
    return ", ".join(f"{name} {number(score)}" for score, name in sorted(known, key=lambda pair: -pair[0])[:3])


def _size(case: _Case) -> str:
    return f"{case.run['rows']} x {case.run['columns']}" if case.run.get("rows") and case.run.get("columns") else ""


def _marks(case: _Case) -> Any:
    """None where nothing could be marked, as in an answer to a question."""
    return int(case.run["marks"]) if case.run.get("marks") and "question" not in case.facts else None


_COLUMNS = (
    _Column("Case", lambda case: case.name),
    _Column("Outcome", lambda case: case.outcome),
    _Column("Truth", _truth),
    _Column("Question", lambda case: case.facts.get("question", "")),
    _Column("Answer", lambda case: case.facts.get("answer", "")),
    _Column("Right with probability", lambda case: case.facts.get("right"), numeric=True),
    _Column("Next answers", lambda case: case.facts.get("next_answers", "")),
    _Column("Right answer", lambda case: " | ".join(case.facts.get("true_answers") or [])),
    _Column("Accuracy", lambda case: case.facts.get("accuracy"), numeric=True),
    _Column("Score", lambda case: case.score, numeric=True),
    _Column("Highest scores", _top),
    _Column("Lesions found", _found, numeric=True),
    _Column("False positives", lambda case: case.false_positives, numeric=True),
    _Column("Marks", _marks, numeric=True),
    _Column("Groups", lambda case: ", ".join((case.facts.get("groups") or {}).values())),
    _Column("View", lambda case: case.run.get("view", "")),
    _Column("Size", _size),
)


def _cell(value: Any) -> Any:
    """What the page shows and what it sorts by, as [text, rank] where they differ."""
    if isinstance(value, float):
        return [number(value, 4), round(value, 6)]
    return "" if value is None else value
