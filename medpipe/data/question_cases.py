"""From paths and questions to cases: every question about every image is one case, with a status and a reason.

What is asked is either the same of all images that are found, or stands in a table (.csv) with the columns

    image       a file; relative to the table's folder
    question    about it
    case        name of the question, where wanted
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medpipe.data.tables import read_lines
from medpipe.data.vqa_datalist import vqa_entries
from medpipe.data.vqa_text import UNKNOWN, QuestionVocabulary, tokenize
from medpipe.errors import InputDataError, RequestError
from medpipe.io.cases import Case, RadiographRules, find_radiographs, safe_name
from medpipe.io.dicom_radiograph import patient_words_of
from medpipe.io.privacy import PatientWords
from medpipe.io.sources import Source

__all__ = ["check_watch", "find_questions", "listed_questions"]

NOT_UNDERSTOOD = "no word of the question is known to the model"
_COLUMNS = ("image", "question")

Paths = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class _Row:
    line: int
    image: str
    question: str
    case: str


def find_questions(
    paths: Paths,
    question: str | Sequence[str] | None,
    vocabulary: QuestionVocabulary,
    rules: RadiographRules | None = None,
    privacy: PatientWords | None = None,
) -> list[dict[str, Any]]:
    """The cases of a request.

    A question without any known word is not put to the network: its case is skipped.

    Args:
        paths: Images, folders, zip archives; or one table.
        question: What is asked of each image, one text or several; None with a table.
        vocabulary: The words that the network knows.
        rules: Which files are images.
        privacy: Takes up what headers say of their patients.

    Returns:
        One dictionary per question and image: the keys of ``medpipe.io.cases.Case``, "question", and "refused" where the
        question is not understood.

    Raises:
        RequestError: A path does not exist, there is no question, it is empty, or there are questions and a table.
        InputDataError: The table cannot be read, lacks a column, or has no rows.
    """
    given = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    tables = [path for path in given if path.suffix.lower() == ".csv" and not path.is_dir()]
    words = PatientWords() if privacy is None else privacy
    if tables:
        if len(given) > 1 or question is not None:
            raise RequestError(f"table '{tables[0]}' names images and questions; leave other inputs and questions out")
        return _named([_understood(case, vocabulary) for case in _table_cases(tables[0], rules, words)])
    texts = _questions(question)
    images = find_radiographs(given, rules, words)
    return _named([_understood(_asked(case, text), vocabulary) for case in images for text in texts])


def check_watch(paths: Paths, question: str | Sequence[str] | None, vocabulary: QuestionVocabulary) -> None:
    """Refuse what could not be asked of anything that arrives in a folder.

    Args:
        paths: What is watched.
        question: What is asked of each image.
        vocabulary: The words that the network knows.

    Raises:
        RequestError: A path is no folder; there is no question, one is empty, given twice, or without any known word.
    """
    for path in [paths] if isinstance(paths, str | Path) else paths:
        if not Path(path).is_dir():
            raise RequestError(f"'{path}' is no folder, and only folders can be watched")
    for text in _questions(question):
        if not _is_understood(text, vocabulary):
            raise RequestError(f"question '{text}': {NOT_UNDERSTOOD}; ask in words of its training questions")


def _questions(question: str | Sequence[str] | None) -> list[str]:
    if question is None:
        raise RequestError(
            "no question given; add --question TEXT, or name a table with the columns image and question"
        )
    texts: list[Any] = list(question) if isinstance(question, list | tuple) else [question]
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise RequestError("a question is empty or no text; write one, such as --question 'Is there a mass?'")
    if len(set(texts)) < len(texts):
        raise RequestError("a question is given twice; leave one out")
    return texts


def _asked(case: dict[str, Any], question: str, name: str = "") -> dict[str, Any]:
    place = case["image"] or case["file"]
    key = hashlib.sha256(f"{place}\0{question}\0{name}".encode("utf-8", "surrogatepass")).hexdigest()
    return {**case, "question": question, "key": key, **({"case": name} if name else {})}


def _understood(case: dict[str, Any], vocabulary: QuestionVocabulary) -> dict[str, Any]:
    if case["status"] == "pending" and not _is_understood(case["question"], vocabulary):
        return {**case, "status": "skipped", "reason": NOT_UNDERSTOOD, "refused": True}
    return case


def _is_understood(question: str, vocabulary: QuestionVocabulary) -> bool:
    known = set(vocabulary.words) - {UNKNOWN}
    return bool(known.intersection(tokenize(question, vocabulary.profile)))


def _named(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cases with names of their own: several questions about an image are numbered."""
    often = Counter(case["case"].lower() for case in cases)
    taken: set[str] = {name for name, count in often.items() if count == 1}
    result = []
    for case in cases:
        name, number = case["case"], 1
        if often[name.lower()] > 1:
            while f"{name}_q{number}".lower() in taken:
                number += 1
            name = f"{name}_q{number}"
            taken.add(name.lower())
        result.append({**case, "case": name})
    return result


def _table_cases(path: Path, rules: RadiographRules | None, words: PatientWords) -> list[dict[str, Any]]:
    rows = _rows(path)
    problems = {row.image: _problem(Path(row.image)) for row in rows}
    sound = [image for image, problem in problems.items() if not problem]
    found = {
        str(Source.parse(case["image"]).path): case for case in (find_radiographs(sound, rules, words) if sound else [])
    }
    taken: set[str] = set()
    cases = []
    for row in rows:
        label = Path(row.image).name
        case = (
            found.get(row.image) or Case(safe_name(Path(label).stem) or "image", words(label), "", "failed").as_dict()
        )
        reason = f"image '{label}' {problems[row.image]}" if problems[row.image] else ""
        reason = reason or ("the question is empty" if not row.question else "")
        if row.case and row.case.lower() in taken:
            reason = f"the case name '{row.case}' stands twice"
        elif row.case:
            taken.add(row.case.lower())
        if reason:
            case = {**case, "status": "failed", "reason": words(f"line {row.line}: {reason}")}
        name = "" if words.hides(row.case) else safe_name(row.case)
        cases.append({**_asked(case, row.question, name), "key": _key(row)})
    return cases


def _key(row: _Row) -> str:
    return hashlib.sha256(f"{row.image}\0{row.question}\0{row.case}\0{row.line}".encode("utf-8", "replace")).hexdigest()


def _problem(image: Path) -> str:
    if not image.exists():
        return "does not exist"
    if not image.is_file() or image.suffix.lower() == ".zip" or image.name.upper() == "DICOMDIR":
        return "is no single image; name a file"
    return ""


def _rows(path: Path) -> list[_Row]:
    if not path.is_file():
        raise RequestError(f"table '{path}' does not exist")
    header, *lines = read_lines(path)
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise InputDataError(
            f"table '{path}' lacks the column '{missing[0]}'; it has {', '.join(filter(None, header))}"
        )
    if not lines:
        raise InputDataError(f"table '{path}' has no rows below its header")
    rows = []
    for number, fields in enumerate(lines, start=2):
        if len(fields) != len(header):
            raise InputDataError(
                f"table '{path}', line {number}: {len(fields)} fields, but {len(header)} columns; quote commas"
            )
        row = dict(zip(header, fields, strict=True))
        image = str(path.parent / row["image"]) if row["image"] else ""
        if not image:
            raise InputDataError(f"table '{path}', line {number}: the image is empty")
        rows.append(_Row(number, image, row["question"], row.get("case", "")))
    return rows


def listed_questions(
    datalist: str | Path,
    root: str | Path,
    section: str,
    vocabulary: QuestionVocabulary,
    privacy: PatientWords | None = None,
) -> list[dict[str, Any]]:
    """The questions of a section of a datalist as cases, without their answers.

    Patients are numbered in order of appearance, and their ids are hidden in paths.

    Args:
        datalist: The file.
        root: Folder that its paths start from.
        section: Which part of it.
        vocabulary: As for ``find_questions``.
        privacy: Takes up what headers and the datalist say of patients.

    Raises:
        InputDataError: As ``vqa_entries``; also where a case cannot name a folder.
    """
    words = PatientWords() if privacy is None else privacy
    patients: dict[str, str] = {}
    seen: set[str] = set()
    cases = []
    for entry in vqa_entries(datalist, root, section):
        if safe_name(entry["case"]) != entry["case"]:
            raise InputDataError(
                f"datalist '{datalist}': case {entry['case']!r} cannot name a folder; use letters, digits, '.', '_', '-'"
            )
        if entry["image"] not in seen:
            seen.add(entry["image"])
            words.add(patient_words_of(Path(entry["image"])))
        number = patients.setdefault(entry["patient"], f"P{len(patients) + 1:05d}")
        file = Path(entry["image"]).relative_to(root).as_posix()
        case = Case(entry["case"], file, entry["image"], patient=number).as_dict()
        cases.append(_understood({**_asked(case, entry["question"]), "key": _listed_key(entry)}, vocabulary))
    return [{**case, "file": words(case["file"])} for case in cases]


def _listed_key(entry: dict[str, Any]) -> str:
    return hashlib.sha256(f"{entry['image']}\0{entry['case']}".encode("utf-8", "surrogatepass")).hexdigest()
