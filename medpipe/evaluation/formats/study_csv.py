"""A reader study in two CSV tables, for people without Excel.

truth.csv: a row per lesion, and a row with an empty lesion per non-diseased case. A lesion's label is any text that is
unique in its case. The weights of a case sum to 1; empty or 0 for all its lesions means equal weights, and the column may be
missing. A column patient may be added.

    case,lesion,weight        modality,reader,case,lesion,rating
    a,1,0.6                   film,r1,a,1,4
    a,2,0.4                   film,r1,a,,2
    b,,                       film,r1,b,,1

ratings.csv: a row per mark; an empty lesion is a non-lesion localisation. What is unmarked has no row.

An ROC study is shorter. Every reader rates every case once in every modality:

    case,label                modality,reader,case,rating
    a,1                       film,r1,a,4
    b,0                       film,r1,b,1
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from medpipe.errors import InputDataError
from medpipe.evaluation.formats.study_tables import (
    StudyCase,
    StudyMark,
    StudyTables,
    build_study,
    case_names,
    in_order,
    require_marks,
    study_lesions,
    study_marks,
)
from medpipe.evaluation.truth import number_in
from medpipe.io.atomic import write_text
from medpipe.metrics.reader_study import ReaderStudy
from medpipe.predictions.tables import numbered_rows

__all__ = ["RATINGS", "TRUTH", "read_study_csv", "write_study_csv"]

TRUTH, RATINGS = "truth.csv", "ratings.csv"
_LESION = "1"


def read_study_csv(ratings: Path, truth: Path) -> ReaderStudy:
    """Read a study. Modalities and readers are ordered by name, numbers by value.

    Raises:
        InputDataError: A table does not follow the format; the message names line and column.
    """
    lines = numbered_rows(truth, ["case"])
    if not lines:
        raise InputDataError(f"table '{truth}' lists no cases")
    is_roc = "label" in lines[0][1]
    cases = _labelled(truth, lines) if is_roc else _localised(truth, lines)
    marks = _marks(ratings, {case.name for case in cases if case.lesions} if is_roc else None)
    columns = {key: f"'{key}'" for key in ("modality", "reader", "case", "lesion")}
    modalities = in_order(mark.modality for mark in marks)
    readers = in_order(mark.reader for mark in marks)
    return build_study(
        StudyTables(f"table '{ratings}'", cases, marks, modalities, readers, is_roc=is_roc, columns=columns)
    )


def _labelled(path: Path, lines: Sequence[tuple[int, dict[str, str]]]) -> list[StudyCase]:
    if "lesion" in lines[0][1]:
        raise InputDataError(f"table '{path}' has both columns 'label' (ROC) and 'lesion' (FROC); delete one of them")
    cases = []
    for line, row in lines:
        where = f"table '{path}', line {line}"
        if row["label"] not in ("0", "1"):
            raise InputDataError(f"{where}, column 'label': '{row['label']}' must be 0 or 1")
        lesions = [_LESION] if row["label"] == "1" else []
        cases.append(StudyCase(_named(where, row, "case"), where, lesions, patient=row.get("patient") or None))
    return cases


def _localised(path: Path, lines: Sequence[tuple[int, dict[str, str]]]) -> list[StudyCase]:
    if "lesion" not in lines[0][1]:
        raise InputDataError(f"table '{path}' lacks the column 'lesion' (or, for an ROC study, 'label')")
    by_case: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for line, row in lines:
        by_case.setdefault(_named(f"table '{path}', line {line}", row, "case"), []).append((line, row))
    return [_case(path, case, rows) for case, rows in by_case.items()]


def _case(path: Path, case: str, lines: Sequence[tuple[int, dict[str, str]]]) -> StudyCase:
    where = f"table '{path}', line {lines[-1][0]}"
    if len(lines) > 1 and not all(row["lesion"] for _, row in lines):
        raise InputDataError(
            f"{where}, column 'lesion': case '{case}' has rows with and without a lesion, or twice none;"
            " a case without lesions has one row"
        )
    patients = {row.get("patient", "") for _, row in lines}
    if len(patients) > 1:
        raise InputDataError(f"{where}, column 'patient': case '{case}' has several patients: {sorted(patients)}")
    lesions = [row["lesion"] for _, row in lines if row["lesion"]]
    weighted = [(line, row) for line, row in lines if row["lesion"] and row.get("weight")]
    if weighted and len(weighted) != len(lesions):
        raise InputDataError(
            f"{where}, column 'weight': {len(weighted)} of the {len(lesions)} lesions of case '{case}' have a weight;"
            " give all or none"
        )
    weights = [number_in(path, line, row, "weight") for line, row in weighted] or None
    place = f"{where}, column 'weight'" if weights else where
    return StudyCase(case, place, lesions, weights, patients.pop() or None)


def _marks(path: Path, diseased: set[str] | None) -> list[StudyMark]:
    """The marks; for an ROC study with the names of the diseased cases, whose ratings are those of their lesion."""
    required = ["modality", "reader", "case", "rating"]
    lines = numbered_rows(path, required if diseased is not None else [*required, "lesion"])
    if not lines:
        raise InputDataError(f"table '{path}' holds no rating")
    if diseased is not None and "lesion" in lines[0][1]:
        raise InputDataError(
            f"table '{path}' has a column 'lesion', but the truth has labels alone; give a truth with lesions"
        )
    marks = []
    for line, row in lines:
        where = f"table '{path}', line {line}"
        modality, reader, case = (_named(where, row, key) for key in ("modality", "reader", "case"))
        lesion = (_LESION if case in diseased else None) if diseased is not None else row["lesion"] or None
        marks.append(StudyMark(where, modality, reader, case, lesion, number_in(path, line, row, "rating")))
    return marks


def _named(where: str, row: dict[str, str], key: str) -> str:
    if not row[key] or not row[key].isprintable():
        raise InputDataError(f"{where}, column '{key}': {ascii(row[key])[:60]}, expected a name")
    return row[key]


def write_study_csv(folder: Path, study: ReaderStudy) -> None:
    """Write truth.csv and ratings.csv into a folder, an ROC study in its short form. Lesions are numbered 1, 2, ...

    Raises:
        InputDataError: A reader has no mark in a modality, which the tables cannot say.
    """
    require_marks(study)
    cases = case_names(study)
    patients = study.readings[0][0].patients or [""] * study.n_cases
    truth: list[Sequence[Any]] = [("case", "lesion", "weight", "patient")]
    ratings: list[Sequence[Any]] = [("modality", "reader", "case", "lesion", "rating")]
    for case, lesion, weight in study_lesions(study):
        truth.append((cases[case], *(("", "") if lesion is None else (lesion + 1, weight)), patients[case]))
    for modality, reader, case, lesion, rating in study_marks(study):
        ratings.append((modality, reader, cases[case], "" if lesion is None else lesion + 1, rating))
    if study.is_roc:
        labels = [(case, int(lesion != ""), patient) for case, lesion, _, patient in truth[1:]]
        truth = [("case", "label", "patient"), *labels]
        ratings = [(modality, reader, case, rating) for modality, reader, case, _, rating in ratings]
    _write(folder / TRUTH, truth)
    _write(folder / RATINGS, ratings)


def _write(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())
