"""How good scores of several labels are: an area under the ROC curve per class, and their mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.errors import InputDataError
from medpipe.evaluation.results import curve_entry, figure, patient_numbers, settings_entry
from medpipe.evaluation.truth import number_in
from medpipe.metrics._arrays import FloatArray
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.multilabel import multilabel_estimates
from medpipe.metrics.precision_recall import average_precision_estimate
from medpipe.metrics.roc import roc_curve
from medpipe.predictions.tables import numbered_rows

__all__ = ["LabelledScores", "evaluate_multilabel", "multilabel_from_tables"]

_AUC = "area under the ROC curve of this class against all other known cases"
_AP = "average precision of this class; chance is its prevalence"


@dataclass(frozen=True, eq=False)
class LabelledScores:
    """Scores and labels by class.

    Attributes:
        classes: names of the classes.
        cases, patients: one of each per case.
        scores: (cases, classes).
        labels: (cases, classes), 0 or 1, NaN where unknown.
        without: cases of the truth that have no scores.
    """

    classes: tuple[str, ...]
    cases: tuple[str, ...]
    patients: tuple[str, ...]
    scores: FloatArray
    labels: FloatArray
    without: tuple[str, ...]


def multilabel_from_tables(predictions: Path, truth: Path) -> LabelledScores:
    """Read two CSV tables with a column per class.

    Predictions: case and one column of scores per class. Truth: case, the same classes with 0, 1 or an empty cell where
    unknown, and optionally patient; columns of the truth that are not predicted are left out.

    Raises:
        InputDataError: A case stands twice or is not in the truth, a class is missing, or a cell holds something else.
    """
    scored = _rows(predictions)
    known = _rows(truth)
    classes = tuple(name for name in next(iter(scored.values()))[1] if name not in ("case", "patient"))
    lacking = [name for name in classes if name not in next(iter(known.values()))[1]]
    if not classes:
        raise InputDataError(f"table '{predictions}' has no column of scores beside 'case'")
    if lacking:
        raise InputDataError(f"table '{truth}' lacks the column '{lacking[0]}', which '{predictions.name}' predicts")
    unknown = [case for case in scored if case not in known]
    if unknown:
        raise InputDataError(
            f"table '{predictions}', line {scored[unknown[0]][0]}: case '{unknown[0]}' is not in the truth '{truth.name}'"
        )
    cases = tuple(case for case in known if case in scored)
    return LabelledScores(
        classes,
        cases,
        tuple(known[case][1].get("patient") or case for case in cases),
        np.array([[number_in(predictions, *scored[case], name) for name in classes] for case in cases]),
        np.array([[_label(truth, *known[case], name) for name in classes] for case in cases]),
        tuple(case for case in known if case not in scored),
    )


def _rows(path: Path) -> dict[str, tuple[int, dict[str, str]]]:
    rows: dict[str, tuple[int, dict[str, str]]] = {}
    for line, row in numbered_rows(path, ["case"]):
        if row["case"] in rows:
            raise InputDataError(f"table '{path}', line {line}: case '{row['case']}' stands twice")
        rows[row["case"]] = line, row
    if not rows:
        raise InputDataError(f"table '{path}' lists no cases")
    return rows


def _label(path: Path, line: int, row: dict[str, str], name: str) -> float:
    if row[name] not in ("0", "1", ""):
        raise InputDataError(
            f"table '{path}', line {line}, column '{name}': label '{row[name]}' must be 0, 1 or empty (unknown)"
        )
    return float(row[name]) if row[name] else math.nan


def evaluate_multilabel(data: LabelledScores, bootstrap: Bootstrap) -> dict[str, Any]:
    """Score several labels; the content of results.json.

    Raises:
        InputDataError: No case has scores.
    """
    if not data.cases:
        raise InputDataError("no case has both scores and labels")
    found = multilabel_estimates(data.scores, data.labels, data.classes, data.patients, bootstrap)
    positive = (data.labels == 1).any(axis=1)
    numbers = patient_numbers(data.patients)
    mean = figure("Mean AUC", found.mean, f"unweighted mean over {len(data.classes) - len(found.undefined)} classes")
    return {
        "task": "multilabel",
        "settings": settings_entry(bootstrap),
        "cohort": {
            "listed": len(data.cases) + len(data.without),
            "without_result": [{"case": case, "reason": "no scores"} for case in data.without],
            "analysed": len(data.cases),
            "diseased": int(positive.sum()),
            "nondiseased": int((~positive).sum()),
            "patients": len(numbers),
        },
        "headline": [mean],
        "curves": {},
        "multilabel": {
            "classes": [_class_entry(data, k, found.classes[k], bootstrap) for k in range(len(data.classes))],
            "mean": mean,
            "undefined": list(found.undefined),
        },
        "cases": [_case_row(data, i, numbers[data.patients[i]], bool(positive[i])) for i in range(len(data.cases))],
    }


def _class_entry(data: LabelledScores, k: int, area: Any, bootstrap: Bootstrap) -> dict[str, Any]:
    known: Sequence[int] = np.flatnonzero(~np.isnan(data.labels[:, k])).tolist()
    scores, labels = data.scores[known, k], data.labels[known, k] == 1
    entry = {
        "name": area.name,
        "positives": area.positives,
        "negatives": area.negatives,
        "auc": figure("AUC", area.auc, _AUC),
    }
    if area.positives and area.negatives:
        precision = average_precision_estimate(scores, labels, [data.patients[i] for i in known], bootstrap)
        entry["average_precision"] = figure("Average precision", precision, _AP)
        entry["curve"] = curve_entry(roc_curve(scores, labels))
    return entry


def _case_row(data: LabelledScores, i: int, patient: str, positive: bool) -> dict[str, Any]:
    labels = [None if math.isnan(value) else int(value) for value in data.labels[i]]
    return {
        "case": data.cases[i],
        "patient": patient,
        "diseased": positive,
        "score": None,
        "scores": dict(zip(data.classes, data.scores[i].tolist(), strict=True)),
        "labels": dict(zip(data.classes, labels, strict=True)),
    }
