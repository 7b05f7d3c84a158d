"""`froc-json/1`: a reader study in one JSON object.

    format              "froc-json/1"
    id, name, source, licence_note   texts that describe the study
    type                "ROC" (every reader rates every case once) or "FROC"
    n_nondiseased       number of non-diseased cases, K1
    n_diseased          number of diseased cases, K2
    modalities          I names
    readers             J names
    lesions_per_case    K2 whole numbers, at least 1
    lesion_weights      K2 lists, each summing to 1
    lesion_ids          K2 lists of labels; may be missing
    NL                  [I][J] lists of [case, rating]
    LL                  [I][J] lists of [diseased case, lesion, rating]
    case_ids, patients  K1 + K2 names; may be missing

Everything is counted from 0. A case in NL runs over all cases, the non-diseased ones first; a diseased case in LL runs
over the diseased ones alone; a lesion is its place in the case's list. What is unmarked is absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medpipe.errors import InputDataError
from medpipe.evaluation.formats.json_values import entries, finite, name, numbers, part, read_json, shown, whole
from medpipe.evaluation.formats.study_tables import StudyCase, StudyMark, StudyTables, build_study
from medpipe.io.atomic import write_text
from medpipe.metrics.reader_study import ReaderStudy

__all__ = ["FORMAT", "read_froc_json", "write_froc_json"]

FORMAT = "froc-json/1"
_MOST = 100_001


def read_froc_json(path: Path) -> ReaderStudy:
    """Read a study.

    Raises:
        InputDataError: The file does not follow the format; the message names the key.
    """
    content = read_json(path)
    where = f"study '{path}'"
    if part(content, "format", where) != FORMAT:
        raise InputDataError(f"{where}, format: {shown(content['format'])}, expected '{FORMAT}'")
    kind = part(content, "type", where)
    if kind not in ("ROC", "FROC"):
        raise InputDataError(f"{where}, type: {shown(kind)}, expected 'ROC' or 'FROC'")
    modalities = _names(content, "modalities", where)
    readers = _names(content, "readers", where)
    cases = _cases(content, where)
    marks = _marks(content, where, modalities, readers, cases)
    return build_study(StudyTables(where, cases, marks, modalities, readers, is_roc=kind == "ROC", may_be_empty=True))


def _names(content: dict[str, Any], key: str, where: str, length: int | None = None) -> list[str]:
    given = entries(part(content, key, where), f"{where}, {key}", length)
    return [name(value, f"{where}, {key}[{index}]") for index, value in enumerate(given)]


def _cases(content: dict[str, Any], where: str) -> list[StudyCase]:
    n_nondiseased = whole(part(content, "n_nondiseased", where), f"{where}, n_nondiseased", _MOST)
    n_diseased = whole(part(content, "n_diseased", where), f"{where}, n_diseased", _MOST)
    total = n_nondiseased + n_diseased
    case_ids = _names(content, "case_ids", where, total) if "case_ids" in content else [str(k) for k in range(total)]
    patients = _names(content, "patients", where, total) if "patients" in content else [None] * total
    counts = entries(part(content, "lesions_per_case", where), f"{where}, lesions_per_case", n_diseased)
    weights = entries(part(content, "lesion_weights", where), f"{where}, lesion_weights", n_diseased)
    healthy = [StudyCase(case_ids[k], f"{where}, case {k}", patient=patients[k]) for k in range(n_nondiseased)]
    diseased = []
    for k in range(n_diseased):
        count = whole(counts[k], f"{where}, lesions_per_case[{k}]", _MOST)
        if not count:
            raise InputDataError(f"{where}, lesions_per_case[{k}]: 0; a diseased case has at least one lesion")
        given = numbers(weights[k], f"{where}, lesion_weights[{k}]", count)
        labels = [str(lesion) for lesion in range(count)]
        number = n_nondiseased + k
        diseased.append(StudyCase(case_ids[number], f"{where}, lesion_weights[{k}]", labels, given, patients[number]))
    return healthy + diseased


def _marks(
    content: dict[str, Any], where: str, modalities: list[str], readers: list[str], cases: list[StudyCase]
) -> list[StudyMark]:
    marks = []
    for place, i, j, mark in _readings(content, "NL", where, len(modalities), len(readers)):
        number, rating = entries(mark, place, 2)
        case = cases[whole(number, f"{place}[0]", len(cases))]
        marks.append(StudyMark(place, modalities[i], readers[j], case.name, None, finite(rating, f"{place}[1]")))
    diseased = [case for case in cases if case.lesions]
    for place, i, j, mark in _readings(content, "LL", where, len(modalities), len(readers)):
        number, lesion, rating = entries(mark, place, 3)
        case = diseased[whole(number, f"{place}[0]", len(diseased))]
        label = case.lesions[whole(lesion, f"{place}[1]", len(case.lesions))]
        marks.append(StudyMark(place, modalities[i], readers[j], case.name, label, finite(rating, f"{place}[2]")))
    return marks


def _readings(
    content: dict[str, Any], key: str, where: str, n_modalities: int, n_readers: int
) -> Iterator[tuple[str, int, int, Any]]:
    """Place, modality, reader and content of every mark."""
    rows = entries(part(content, key, where), f"{where}, {key}", n_modalities)
    for i, row in enumerate(rows):
        for j, marks in enumerate(entries(row, f"{where}, {key}[{i}]", n_readers)):
            for n, mark in enumerate(entries(marks, f"{where}, {key}[{i}][{j}]")):
                yield f"{where}, {key}[{i}][{j}][{n}]", i, j, mark


def write_froc_json(
    path: Path, study: ReaderStudy, *, title: str = "", source: str = "", licence_note: str = ""
) -> None:
    """Write a study.

    Args:
        path: The file; its stem becomes the study's id.
        study: The study.
        title: The study's name.
        source: Where it comes from.
        licence_note: Under which terms it may be used.
    """
    first = study.readings[0][0]
    ends = first.lesions_per_case.cumsum().tolist()
    weights = first.lesion_weights.tolist()
    content = {
        "format": FORMAT,
        "id": path.stem,
        "name": title,
        "type": "ROC" if study.is_roc else "FROC",
        "source": source,
        "licence_note": licence_note,
        "n_nondiseased": study.n_nondiseased,
        "n_diseased": study.n_diseased,
        "modalities": list(study.modalities),
        "readers": list(study.readers),
        "lesions_per_case": first.lesions_per_case.tolist(),
        "lesion_weights": [weights[end - count : end] for end, count in zip(ends, first.lesions_per_case, strict=True)],
        "lesion_ids": [list(range(1, count + 1)) for count in first.lesions_per_case.tolist()],
        "NL": [[_rows(data.nl_case, data.nl_rating) for data in row] for row in study.readings],
        "LL": [[_rows(data.ll_case, data.ll_lesion, data.ll_rating) for data in row] for row in study.readings],
    }
    content |= {key: list(names) for key in ("case_ids", "patients") if (names := getattr(first, key)) is not None}
    write_text(path, json.dumps(content, allow_nan=False, ensure_ascii=False) + "\n")


def _rows(*columns: Any) -> list[list[Any]]:
    return [list(row) for row in zip(*(column.tolist() for column in columns), strict=True)]
