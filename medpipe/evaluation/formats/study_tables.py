"""What every reader-study format comes down to: cases with their lesions, and marks with their place in the file.

A reader of a format makes :class:`StudyTables`; :func:`build_study` makes all the checks and the study. A writer goes
through :func:`case_names`, :func:`study_lesions` and :func:`study_marks`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from medpipe.errors import InputDataError
from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.reader_study import ReaderStudy

__all__ = [
    "StudyCase",
    "StudyMark",
    "StudyTables",
    "build_study",
    "case_names",
    "in_order",
    "require_marks",
    "study_lesions",
    "study_marks",
]

_ROUNDED = 0.01
"""Weights written with few digits (0.333 three times) may miss 1 by this much; RJafroc allows as much."""

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class StudyCase:
    """Truth of one case.

    Attributes:
        name: Unique.
        where: Its place in the file, which opens error messages.
        lesions: Labels of its lesions; none for a non-diseased case.
        weights: One per lesion, summing to 1; None or all 0 for equal weights.
        patient: None where unknown.
    """

    name: str
    where: str
    lesions: Sequence[str] = ()
    weights: Sequence[float] | None = None
    patient: str | None = None


@dataclass(frozen=True)
class StudyMark:
    """One mark: a lesion localisation with the label of its lesion, a non-lesion localisation with None.

    In ROC data the rating of a diseased case is that of its one lesion, any other rating has no lesion.
    """

    where: str
    modality: str
    reader: str
    case: str
    lesion: str | None
    rating: float


@dataclass(frozen=True)
class StudyTables:
    """A reader study as its file states it.

    Attributes:
        source: The file, for messages.
        cases: In the order that the study is to have; non-diseased ones move to the front.
        marks: In any order.
        modalities, readers: In the order that the study is to have.
        is_roc: Whether every reader must have rated every case exactly once in every modality.
        may_be_empty: Whether the format states outright that a reader has marked nothing in a modality.
        columns: The file's names of the columns modality, reader, case and lesion, for messages; empty where it has none.
    """

    source: str
    cases: Sequence[StudyCase]
    marks: Sequence[StudyMark]
    modalities: Sequence[str]
    readers: Sequence[str]
    is_roc: bool = False
    may_be_empty: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)

    def place(self, mark: StudyMark, column: str) -> str:
        """Where a part of the mark stands."""
        return f"{mark.where}, column {self.columns[column]}" if column in self.columns else mark.where


def build_study(tables: StudyTables) -> ReaderStudy:
    """Check the tables and make the study.

    Raises:
        InputDataError: A case stands twice, has weights that are negative or do not sum to 1, or no case has a lesion; a
            mark is of an unknown case, lesion, modality or reader, stands twice, or has no finite rating; a reader has
            marked nothing in a modality, or lacks a rating of a case in ROC data. The message names the place.
    """
    cases = _checked_cases(tables)
    _check_marks(tables, cases)
    if tables.is_roc:
        _check_roc(tables, cases)
    elif not tables.may_be_empty:
        _check_crossed(tables)
    ordered = sorted(cases.values(), key=lambda case: bool(case.lesions))
    by_reading: dict[tuple[str, str], list[StudyMark]] = {}
    for mark in tables.marks:
        by_reading.setdefault((mark.modality, mark.reader), []).append(mark)
    try:
        readings = tuple(
            tuple(_reading(ordered, by_reading.get((modality, reader), ())) for reader in tables.readers)
            for modality in tables.modalities
        )
        return ReaderStudy(tuple(tables.modalities), tuple(tables.readers), readings)
    except ValueError as error:
        raise InputDataError(f"{tables.source}: {error}") from error


def _checked_cases(tables: StudyTables) -> dict[str, StudyCase]:
    cases: dict[str, StudyCase] = {}
    for case in tables.cases:
        if case.name in cases:
            raise InputDataError(f"{case.where}: case '{case.name}' stands twice; see {cases[case.name].where}")
        repeated = _repeated(case.lesions)
        if repeated is not None:
            raise InputDataError(f"{case.where}: lesion '{repeated}' of case '{case.name}' stands twice")
        cases[case.name] = replace(case, weights=_checked_weights(case))
    if not any(case.lesions for case in tables.cases):
        raise InputDataError(
            f"{tables.source}: none of its {len(cases)} cases has a lesion; expected diseased cases too"
        )
    return cases


def _checked_weights(case: StudyCase) -> list[float]:
    if case.weights is None or not any(case.weights):
        return [1 / len(case.lesions) for _ in case.lesions]
    if len(case.weights) != len(case.lesions):
        raise InputDataError(
            f"{case.where}: case '{case.name}' has {len(case.weights)} weights for {len(case.lesions)} lesions"
        )
    for weight in case.weights:
        if not (math.isfinite(weight) and weight >= 0):
            raise InputDataError(f"{case.where}: weight {weight:g} of case '{case.name}' must be finite, not negative")
    total = math.fsum(case.weights)
    if round(abs(total - 1), 9) > _ROUNDED:
        raise InputDataError(
            f"{case.where}: the lesion weights of case '{case.name}' sum to {total:g}, expected 1;"
            " for equal weights write 0 for every lesion"
        )
    # Sums that are 1 but for the last digits stay: a study that was written is read as it was.
    return list(case.weights) if abs(total - 1) < 1e-6 else [weight / total for weight in case.weights]


def _check_marks(tables: StudyTables, cases: dict[str, StudyCase]) -> None:
    _check_names(tables)
    seen: dict[tuple[str, str, str, str], str] = {}
    for mark in tables.marks:
        if mark.modality not in tables.modalities:
            raise InputDataError(
                f"{tables.place(mark, 'modality')}: modality '{mark.modality}' is not among {_few(tables.modalities)}"
            )
        if mark.reader not in tables.readers:
            raise InputDataError(
                f"{tables.place(mark, 'reader')}: reader '{mark.reader}' is not among {_few(tables.readers)}"
            )
        if mark.case not in cases:
            raise InputDataError(f"{tables.place(mark, 'case')}: case '{mark.case}' is not in the truth")
        if not math.isfinite(mark.rating):
            raise InputDataError(f"{mark.where}: rating {mark.rating} must be finite; leave out what is not marked")
        if mark.lesion is None:
            continue
        lesions = cases[mark.case].lesions
        if mark.lesion not in lesions:
            has = f"lesions {_few(lesions)}" if lesions else "none"
            raise InputDataError(
                f"{tables.place(mark, 'lesion')}: lesion '{mark.lesion}' of case '{mark.case}' is not in the truth, which has {has}"
            )
        key = (mark.modality, mark.reader, mark.case, mark.lesion)
        if key in seen:
            raise InputDataError(
                f"{mark.where}: {_who(mark)} rates lesion '{mark.lesion}' of case '{mark.case}' twice;"
                f" see {seen[key]}, and keep the highest rating"
            )
        seen[key] = mark.where


def _check_names(tables: StudyTables) -> None:
    for kind, names in (("modality", tables.modalities), ("reader", tables.readers)):
        repeated = _repeated(names)
        if repeated is not None:
            raise InputDataError(f"{tables.source}: {kind} '{repeated}' stands twice; names must differ")
        if not names:
            raise InputDataError(
                f"{tables.source}: no mark, and so no {kind}; expected the marks of at least one reader"
            )


def _check_roc(tables: StudyTables, cases: dict[str, StudyCase]) -> None:
    for case in cases.values():
        if len(case.lesions) > 1:
            raise InputDataError(
                f"{case.where}: case '{case.name}' has {len(case.lesions)} lesions; ROC data have one per diseased case"
            )
    rated: dict[tuple[str, str, str], str] = {}
    for mark in tables.marks:
        if mark.lesion is None and cases[mark.case].lesions:
            raise InputDataError(
                f"{mark.where}: case '{mark.case}' is diseased; in ROC data its rating is that of its lesion"
            )
        key = (mark.modality, mark.reader, mark.case)
        if key in rated:
            raise InputDataError(f"{mark.where}: {_who(mark)} rates case '{mark.case}' twice; see {rated[key]}")
        rated[key] = mark.where
    for modality in tables.modalities:
        for reader in tables.readers:
            missing = [case for case in cases if (modality, reader, case) not in rated]
            if missing:
                raise InputDataError(
                    f"{tables.source}: reader '{reader}' has no rating in modality '{modality}' for {len(missing)} of"
                    f" {len(cases)} cases (first: '{missing[0]}'); in ROC data every reader rates every case in every"
                    " modality, so add the ratings, or leave out the case, reader or modality"
                )


def _check_crossed(tables: StudyTables) -> None:
    present = {(mark.modality, mark.reader) for mark in tables.marks}
    for modality in tables.modalities:
        for reader in tables.readers:
            if (modality, reader) not in present:
                raise InputDataError(
                    f"{tables.source}: reader '{reader}' has no mark in modality '{modality}'; every reader must have"
                    " read every case in every modality, so add the marks, or leave out the reader or the modality"
                )


def _reading(ordered: Sequence[StudyCase], marks: Iterable[StudyMark]) -> FreeResponseData:
    diseased = [case for case in ordered if case.lesions]
    n_nondiseased = len(ordered) - len(diseased)
    number = {case.name: index for index, case in enumerate(ordered)}
    lesion_number = {case.name: {label: index for index, label in enumerate(case.lesions)} for case in diseased}
    nls = [(number[mark.case], mark.rating) for mark in marks if mark.lesion is None]
    lls = [
        (number[mark.case] - n_nondiseased, lesion_number[mark.case][mark.lesion], mark.rating)
        for mark in marks
        if mark.lesion is not None
    ]
    has_patients = any(case.patient for case in ordered)
    return FreeResponseData(
        n_nondiseased=n_nondiseased,
        n_diseased=len(diseased),
        nl_case=np.array([case for case, _ in nls], dtype=np.int64),
        nl_rating=np.array([rating for _, rating in nls], dtype=np.float64),
        ll_case=np.array([case for case, _, _ in lls], dtype=np.int64),
        ll_lesion=np.array([lesion for _, lesion, _ in lls], dtype=np.int64),
        ll_rating=np.array([rating for _, _, rating in lls], dtype=np.float64),
        lesions_per_case=np.array([len(case.lesions) for case in diseased], dtype=np.int64),
        lesion_weights=np.array([weight for case in diseased for weight in case.weights or ()], dtype=np.float64),
        case_ids=tuple(case.name for case in ordered),
        patients=tuple(case.patient or case.name for case in ordered) if has_patients else None,
    )


def case_names(study: ReaderStudy) -> list[str]:
    """Names of the study's cases, non-diseased first; their numbers 0, 1, ... where they have none."""
    names = study.readings[0][0].case_ids
    return [str(number) for number in range(study.n_cases)] if names is None else list(names)


def study_lesions(study: ReaderStudy) -> Iterator[tuple[int, int | None, float]]:
    """Case (0 ... K-1), lesion (0, 1, ...) and weight of every lesion; before them the non-diseased cases with None and 0."""
    first = study.readings[0][0]
    for case in range(study.n_nondiseased):
        yield case, None, 0.0
    lesions = np.arange(first.n_lesions) - np.searchsorted(first.lesion_case, first.lesion_case)
    rows = zip(first.lesion_case.tolist(), lesions.tolist(), first.lesion_weights.tolist(), strict=True)
    for case, lesion, weight in rows:
        yield study.n_nondiseased + case, lesion, weight


def require_marks(study: ReaderStudy) -> None:
    """Raise InputDataError when a reader has marked nothing in a modality: a table of marks could not tell that."""
    for modality, row in zip(study.modalities, study.readings, strict=True):
        for reader, data in zip(study.readers, row, strict=True):
            if not data.nl_rating.size + data.ll_rating.size:
                raise InputDataError(
                    f"reader '{reader}' has no mark in modality '{modality}', which a table of marks cannot say;"
                    " write the study as froc-json/1 (.json)"
                )


def study_marks(study: ReaderStudy) -> Iterator[tuple[str, str, int, int | None, float]]:
    """Modality, reader, case (0 ... K-1), lesion (0, 1, ...; None for an NL) and rating of every mark."""
    for modality, row in zip(study.modalities, study.readings, strict=True):
        for reader, data in zip(study.readers, row, strict=True):
            for case, rating in zip(data.nl_case.tolist(), data.nl_rating.tolist(), strict=True):
                yield modality, reader, case, None, rating
            lls = zip(data.ll_case.tolist(), data.ll_lesion.tolist(), data.ll_rating.tolist(), strict=True)
            for case, lesion, rating in lls:
                yield modality, reader, study.n_nondiseased + case, lesion, rating


def in_order(names: Iterable[str]) -> list[str]:
    """The distinct names: numbers first, by value, then texts."""

    def key(name: str) -> tuple[bool, float, str]:
        try:
            value = float(name)
        except ValueError:
            value = math.nan
        return (False, value, name) if math.isfinite(value) else (True, 0.0, name)

    return sorted(set(names), key=key)


def _repeated(items: Sequence[_Item]) -> _Item | None:
    seen: set[_Item] = set()
    return next((item for item in items if item in seen or seen.add(item)), None)  # type: ignore[func-returns-value]


def _who(mark: StudyMark) -> str:
    return f"reader '{mark.reader}' in modality '{mark.modality}'"


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"
