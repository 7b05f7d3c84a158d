"""The Excel workbook of JAFROC and RJafroc: a reader study in three sheets.

    TRUTH       CaseID, LesionID, Weight; in the newer form also ReaderID, ModalityID, Paradigm
    NL or FP    ReaderID, ModalityID, CaseID, NLRating (NL_Rating, FP_Rating)
    LL or TP    ReaderID, ModalityID, CaseID, LesionID, LLRating (LL_Rating, TP_Rating)

TRUTH has a row per lesion (LesionID 1, 2, ...; the weights of a case sum to 1, or are all 0 for equal weights) and one row
with LesionID 0 per non-diseased case. CaseID and LesionID are whole numbers. In the newer form, ReaderID and ModalityID of
TRUTH list who has read the case and how ("0,1,2"), the first two cells of Paradigm give the kind of data (ROC, FROC) and the
design (FCTRL or CROSSED: everybody reads everything). In ROC data FP holds the ratings of non-diseased cases and TP those
of diseased ones. Cells under other headers are not looked at; formulas are never evaluated, their stored values are read.

Not read, with an error that says so: LROC data, split-plot designs, and studies crossed with a second modality factor.

References:
    DP Chakraborty, The RJafroc Quick Start Book, chapters on the data format; RJafroc, `DfReadDataFile`.
"""

from __future__ import annotations

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
from medpipe.evaluation.formats.workbook_rows import Row, Sheet, read_sheets
from medpipe.io.atomic import write_bytes
from medpipe.metrics.reader_study import ReaderStudy

__all__ = ["read_workbook", "write_workbook"]

_DESIGNS = ("FCTRL", "CROSSED")
_CASE = {"CaseID": ["caseid"]}
_LESION = {"LesionID": ["lesionid"]}
_READING = {"ReaderID": ["readerid"], "ModalityID": ["modalityid"]}
_RATING = {"rating": ["rating", "nlrating", "fprating", "llrating", "tprating"]}


def read_workbook(path: Path) -> ReaderStudy:
    """Read a study.

    Modalities and readers come in the order in which TRUTH lists them; in the older form by name.

    Raises:
        InputDataError: The file does not follow the format, or holds a design that is not read; the message names sheet,
            row and column.
    """
    sheets = read_sheets(path)
    truth = _chosen(path, sheets, "TRUTH")
    rows = truth.rows(
        {**_CASE, **_LESION, "Weight": ["weight"], **_READING, "Paradigm": ["paradigm"]},
        optional=[*_READING, "Paradigm"],
    )
    kind = _paradigm(truth, rows)
    cases = _cases(truth, rows)
    marks = _marks(_chosen(path, sheets, "NL", "FP"), lesion=False)
    marks += _marks(_chosen(path, sheets, "LL", "TP"), lesion=True)
    if kind is None:
        modalities = in_order(mark.modality for mark in marks)
        readers = in_order(mark.reader for mark in marks)
    else:
        modalities, readers = _listed(rows, "ModalityID"), _listed(rows, "ReaderID")
    columns = {"modality": "ModalityID", "reader": "ReaderID", "case": "CaseID", "lesion": "LesionID"}
    return build_study(
        StudyTables(f"workbook '{path}'", cases, marks, modalities, readers, is_roc=kind == "ROC", columns=columns)
    )


def _chosen(path: Path, sheets: dict[str, Sheet], *names: str) -> Sheet:
    found = [sheet for title, sheet in sheets.items() if title.strip().upper() in names]
    if len(found) != 1:
        raise InputDataError(
            f"workbook '{path}' has {len(found)} sheets named {' or '.join(names)}, expected one;"
            f" its sheets are {', '.join(sheets) or 'none'}"
        )
    return found[0]


def _paradigm(truth: Sheet, rows: Sequence[Row]) -> str | None:
    """ROC or FROC; None in the older form, which does not say. Refuses what is not read."""
    newer = [key for key in truth.titles() if key in ("readerid", "modalityid", "paradigm")]
    if not newer:
        return None
    stated = [row for row in rows if not row.is_blank("Paradigm")]
    if len(stated) < 2:
        raise InputDataError(
            f"{truth.where}, column Paradigm: {len(stated)} cells are filled, expected two: ROC or FROC, then FCTRL"
        )
    kind, design = (row.name("Paradigm").upper() for row in stated[:2])
    if design not in _DESIGNS:
        raise InputDataError(
            f"{stated[1].place('Paradigm')}: design {design} is not read, only FCTRL or CROSSED: every reader reads every"
            " case in every modality"
        )
    if kind not in ("ROC", "FROC"):
        raise InputDataError(f"{stated[0].place('Paradigm')}: {kind} data are not read, only ROC and FROC")
    if len(newer) < 3:
        raise InputDataError(f"{truth.where}, row 1: of ReaderID, ModalityID and Paradigm only {', '.join(newer)}")
    return kind


def _cases(truth: Sheet, rows: Sequence[Row]) -> list[StudyCase]:
    if not rows:
        raise InputDataError(f"{truth.where}: no case; expected a row per lesion and per non-diseased case")
    cases = [row.whole("CaseID") for row in rows]  # column by column, so that a column's first fault is told
    lesions = [row.whole("LesionID") for row in rows]
    weights = [row.number("Weight") for row in rows]
    truth.check_no_gap(rows)
    by_case: dict[int, dict[int, tuple[Row, float]]] = {}
    for row, case, lesion, weight in zip(rows, cases, lesions, weights, strict=True):
        known = by_case.setdefault(case, {})
        if lesion < 0:
            raise InputDataError(f"{row.place('LesionID')}: {lesion}; expected 1, 2, ..., or 0 for no lesion")
        if lesion in known:
            raise InputDataError(f"{row.place('LesionID')}: lesion {lesion} of case {case} stands twice in the sheet")
        if known and 0 in (lesion, *known):
            raise InputDataError(f"{row.place('LesionID')}: case {case} has rows with and without a lesion")
        known[lesion] = (row, weight)
    return [_case(case, known) for case, known in by_case.items()]


def _case(case: int, lesions: dict[int, tuple[Row, float]]) -> StudyCase:
    where = next(iter(lesions.values()))[0].place("Weight")
    numbers = sorted(lesion for lesion in lesions if lesion)
    return StudyCase(str(case), where, [str(lesion) for lesion in numbers], [lesions[lesion][1] for lesion in numbers])


def _marks(sheet: Sheet, *, lesion: bool) -> list[StudyMark]:
    rows = sheet.rows({**_READING, **_CASE, **(_LESION if lesion else {}), **_RATING})
    marks = [
        StudyMark(
            where=row.where,
            modality=row.name("ModalityID"),
            reader=row.name("ReaderID"),
            case=str(row.whole("CaseID")),
            lesion=str(row.whole("LesionID")) if lesion else None,
            rating=row.number("rating"),
        )
        for row in rows
    ]
    sheet.check_no_gap(rows)
    return marks


def _listed(rows: Sequence[Row], key: str) -> list[str]:
    """The names of the first row's list, which all rows must repeat."""
    first = _names(rows[0], key)
    for row in rows:
        names = _names(row, key)
        if sorted(names) != sorted(first):
            raise InputDataError(
                f"{row.place(key)}: '{','.join(names)}', but the first row has '{','.join(first)}'; every reader must read"
                " every case in every modality (format lists as text, or Excel makes numbers of them)"
            )
    return first


def _names(row: Row, key: str) -> list[str]:
    names = [name.strip() for name in row.name(key).split(",")]
    if "" in names or len(set(names)) != len(names):
        raise InputDataError(
            f"{row.place(key)}: '{','.join(names)}'; expected different names with commas between them"
        )
    return names


def write_workbook(path: Path, study: ReaderStudy) -> None:
    """Write a study in the newer form.

    CaseID is a whole number in this format: cases with other names are numbered 1, 2, ..., and their names stand in a
    further column CaseName. Patients have no place in the format and are left out.

    Raises:
        InputDataError: A name has a comma, or a reader no mark in a modality, which the format cannot say.
    """
    import openpyxl

    require_marks(study)
    for kind, names in (("modality", study.modalities), ("reader", study.readers)):
        for name in names:
            if "," in name or name != name.strip() or not name:
                raise InputDataError(f"{kind} '{name}': a workbook's names have no commas, and no blanks around them")
    cases = case_names(study)
    ids = list(range(1, study.n_cases + 1))
    if all(name.isascii() and name.isdigit() and str(int(name)) == name for name in cases):
        ids = [int(name) for name in cases]
    book = openpyxl.Workbook(write_only=True)
    _append(book, "TRUTH", _truth_rows(study, cases, ids))
    nl: list[Sequence[Any]] = [("ReaderID", "ModalityID", "CaseID", "FP_Rating")]
    ll: list[Sequence[Any]] = [("ReaderID", "ModalityID", "CaseID", "LesionID", "TP_Rating")]
    for modality, reader, case, lesion, rating in study_marks(study):
        if lesion is None:
            nl.append((reader, modality, ids[case], rating))
        else:
            ll.append((reader, modality, ids[case], lesion + 1, rating))
    _append(book, "FP", nl)
    _append(book, "TP", ll)
    stream = io.BytesIO()
    book.save(stream)
    write_bytes(path, stream.getvalue())


def _truth_rows(study: ReaderStudy, names: Sequence[str], ids: Sequence[int]) -> Iterable[Sequence[Any]]:
    yield "CaseID", "LesionID", "Weight", "ReaderID", "ModalityID", "Paradigm", "CaseName"
    paradigm = iter(("ROC" if study.is_roc else "FROC", "FCTRL"))
    lists = (",".join(study.readers), ",".join(study.modalities))
    for case, lesion, weight in study_lesions(study):
        yield ids[case], 0 if lesion is None else lesion + 1, weight, *lists, next(paradigm, None), names[case]


def _append(book: Any, title: str, rows: Iterable[Sequence[Any]]) -> None:
    from openpyxl.cell import WriteOnlyCell

    sheet = book.create_sheet(title)
    for row in rows:
        cells = [WriteOnlyCell(sheet, repr(value) if isinstance(value, float) else value) for value in row]
        for cell, value in zip(cells, row, strict=True):
            if isinstance(value, float):
                cell.data_type = "n"  # the library itself would write 16 digits, which are not all
            elif isinstance(value, str):
                cell.data_type = "s"  # also a name that begins with =
        sheet.append(cells)
