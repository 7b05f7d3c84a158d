"""Reader of VQA-RAD, in the layouts of its public home and of the split that most papers use.

    trainset.json, testset.json        the split distributed with MEVF: lists of records, and with them imgid2idx.json
    VQA_RAD Dataset Public.json        the public home (osf.io/89kps): one list, the test questions by their phrase_type
    images/synpic<number>.jpg          or "VQA_RAD Image Folder/"; found by name in any depth of folders
    vqarad_maml/, meta/, unlabeled/    copies for meta-learning, of MMQ and of our look-alike; left out here

The split's files are used where both are there. From the public file, the test part is what ``test_freeform`` and
``test_para`` mark, and the framed question of a training record becomes a training question of its own, as in the split.

The published split is by question: its test questions are about images that training questions are about too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from medpipe.errors import InputDataError

from .findings import Finding, error, info, warning
from .manifests import load_manifest
from .names import some_names
from .splits import Fractions
from .vqa_survey import Entry, VqaSurvey, find_images, repeated_questions, survey_folder, vqa_datalist

__all__ = ["NAME", "PUBLIC", "QUESTION_TYPES", "check", "prepare"]

NAME = "vqa_rad"
QUESTION_TYPES = (
    "MODALITY",
    "PLANE",
    "ORGAN",
    "ABN",
    "PRES",
    "POS",
    "COLOR",
    "SIZE",
    "ATTRIB",
    "COUNT",
    "OTHER",
)
"""The kinds of questions; a question may be of several."""

PUBLIC = "VQA_RAD Dataset Public.json"
FILES = {"training": "trainset.json", "test": "testset.json"}
_SPELT = {"PRSE": "PRES", "ATRIB": "ATTRIB"}
_NEEDED = ("qid", "image_name", "question", "answer", "answer_type")
_ASIDE = ("meta", "unlabeled", "vqarad_maml")
"""Pictures for pretraining, some of them the same as those of the questions."""


def check(root: Path) -> list[Finding]:
    """Compare the folder ``root`` with the published layouts.

    Errors: no questions, files that cannot be read, a question twice, no images, two images of one name, unreadable ones.
    Warnings: images that are not on disk, test questions about training images, unknown types of questions or answers.
    For the record: questions that are repeated, and the counts beside the published ones, because subsets are legitimate.
    """
    return _survey(Path(root)).findings


def prepare(
    root: Path, *, seed: int = 0, fractions: Fractions = (0.7, 0.1, 0.2), split: str | None = None
) -> dict[str, Any]:
    """Make a datalist of the folder ``root``.

    Splits:
        ``published``: as the papers', which share images between training and test (``"shares_images": true``).
        ``image-disjoint``: all questions by image, or by MedPix case where it is known, as ``seed`` and ``fractions`` say.
            The default.

    Args:
        root: The folder with the questions and the images.
        seed: Of the division by image.
        fractions: Of the images, for training, validation and test.
        split: ``published`` or ``image-disjoint``.

    Raises:
        InputDataError: The check finds an error.
        RequestError: The split is unknown, or the fractions do not add up to 1.
    """
    return vqa_datalist(NAME, Path(root), _survey(Path(root)), seed=seed, fractions=fractions, split=split)


def _survey(root: Path) -> VqaSurvey:
    return survey_folder(root, _read_questions, partial(find_images, skip=_ASIDE), _compare)


def _read_questions(root: Path, survey: VqaSurvey) -> Iterator[Finding]:
    present = [name for name in FILES.values() if (root / name).is_file()]
    if len(present) == 1:
        absent = next(name for name in FILES.values() if name not in present)
        yield error("no_questions", f"{present[0]} is there, but {absent} is not; add it")
    elif present:
        survey.source = " and ".join(present)
        for part, name in FILES.items():
            survey.rows[part] = [_entry(record, f"{root / name}: [{n}]") for n, record in _records(root / name)]
    elif (root / PUBLIC).is_file():
        survey.source = PUBLIC
        for part, record, where in _from_public(root / PUBLIC):
            survey.rows[part].append(_entry(record, where))
    else:
        yield error("no_questions", f"neither {' and '.join(FILES.values())} nor {PUBLIC!r} in {root}")
    yield from repeated_questions(survey)
    kinds = Counter(kind for rows in survey.rows.values() for row in rows for kind in row.get("question_type", ()))
    if unknown := sorted(set(kinds) - set(QUESTION_TYPES)):
        yield warning("unknown_type", f"questions are of unknown types: {some_names(unknown)}")


def _records(path: Path) -> list[tuple[int, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as fault:
        raise InputDataError(f"{path}: not readable as a JSON file: {fault}") from fault
    if not isinstance(content, list):
        raise InputDataError(f"{path}: holds a {type(content).__name__}; expected a list of questions")
    return list(enumerate(content))


def _from_public(path: Path) -> Iterator[tuple[str, Entry, str]]:
    """Part, record and place of every question of the public file; framed ones of the training part come behind."""
    framed = []
    for number, record in _records(path):
        where = f"{path}: [{number}]"
        if not isinstance(record, dict):
            raise InputDataError(f"{where}: holds {str(record)[:40]!r}; expected a question as published")
        phrase = _text(record, "phrase_type", where).lower()
        part = "test" if phrase.startswith("test_") else "training"
        yield part, {**record, "phrase_type": phrase.removeprefix("test_")}, where
        frame = _text(record, "question_frame", where)
        if part == "training" and frame:
            qid = f"{record.get('qid')}-frame"
            framed.append((part, {**record, "qid": qid, "question": frame, "phrase_type": "frame"}, where))
    yield from framed


def _entry(record: Any, where: str) -> Entry:
    """One question, with what is known to be dirty in the published files cleaned."""
    missing = [key for key in _NEEDED if not isinstance(record, dict) or key not in record]
    if missing:
        raise InputDataError(f"{where}: no key {', '.join(map(repr, missing))}; expected a question as published")
    kind = _text(record, "answer_type", where).lower()
    if kind not in ("closed", "open"):
        raise InputDataError(f"{where}: 'answer_type' is {record['answer_type']!r}; expected CLOSED or OPEN")
    name = _text(record, "image_name", where)
    types = [part.strip().upper() for part in _text(record, "question_type", where).split(",") if part.strip()]
    known = {
        "question_type": [_SPELT.get(part, part) for part in types],
        "organ": _text(record, "image_organ", where).upper(),
        "phrase_type": _text(record, "phrase_type", where).lower(),
    }
    return {
        "image_name": name,
        "case": _text(record, "qid", where),
        "patient": _text(record, "image_case_url", where).rstrip("/").rpartition("/")[2] or Path(name).stem,
        "question": _text(record, "question", where),
        "answers": [_text(record, "answer", where)],
        "answer_type": kind,
    } | {key: value for key, value in known.items() if value}


def _text(record: Any, key: str, where: str) -> str:
    """A value as a text without blanks around it; "NULL" and a key that is not there are empty. Some answers are numbers."""
    value = record.get(key, "") if isinstance(record, dict) else ""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise InputDataError(f"{where}: {key!r} is {str(value)[:40]!r}; expected a text")
    return "" if value == "NULL" else str(value).strip()


def _compare(root: Path, survey: VqaSurvey) -> Iterator[Finding]:
    """Training against test, and both against the published counts."""
    train, test = survey.rows["training"], survey.rows["test"]
    if not (train or test):
        return
    both = {row["image"] for row in train if "image" in row} & {row["image"] for row in test if "image" in row}
    if both:
        yield warning(
            "shared_images",
            f"{len(both):,} of {len({row.get('image') for row in test}):,} images of test questions also have training "
            "questions, as the published split has them; --split image-disjoint keeps them apart",
        )
    seen = Counter(_same(row) for row in train)
    again, known = len(train) - len(seen), sum(_same(row) in seen for row in test)
    if again or known:
        yield info(
            "repeated",
            f"{again:,} training questions repeat an earlier one word for word; {known:,} test questions are among them",
        )
    if survey.marker is None:
        published = {key: count["value"] for key, count in load_manifest(NAME)["counts"].items()}
        here = {
            "training": len(train),
            "test": len(test),
            "images": len({row["image"] for row in [*train, *test] if "image" in row}),
        }
        parts = [f"{value:,} of {published[key]:,} {key}" for key, value in here.items()]
        yield info("counts", f"{root} holds {', '.join(parts)} (questions and images) of the published split")


def _same(row: Entry) -> tuple[str, str, str]:
    return row.get("image", ""), row["question"], row["answers"][0]
