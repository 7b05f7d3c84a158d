"""Reader of PathVQA, as its authors distribute it, and in the layout that MMQ's authors made of it.

    qas/train_vqa.pkl, qas/val_vqa.pkl, qas/test_vqa.pkl     pickled lists of questions
    images/{train,val,test}/<part>_<4 digits>.jpg            found by name in any depth of folders

    pathvqa_maml/                                            MMQ: copies of images by class for meta-learning; left out here
    trainset.json, valset.json, testset.json                 MMQ: lists of questions in the style of VQA-RAD, without pickles

In the pickles a question is ``{"img_id": "train_0001", "question_id": ..., "sent": "...", "label": {answer: score}, "answer_type":
"yes/no" | "other" | "number", "question_type": "..."}``. The pickles are read as plain data, which runs nothing; the
datalist made from them is JSON, so that they are needed once. In MMQ's files it is ``{"qid": ..., "image_name":
"train_0001.jpg", "question": "...", "answer": "...", "answer_type": "yes/no" or "CLOSED" | ..., "question_type": "..."}``. The
pickles are used where both are there. No image is in two parts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from medpipe.errors import InputDataError

from .findings import Finding, error, info, warning
from .manifests import load_manifest
from .names import some_names
from .plain_pickles import read_plain_pickle
from .splits import Fractions
from .vqa_datalist import shared_images
from .vqa_survey import Entry, VqaSurvey, find_images, repeated_questions, survey_folder, vqa_datalist

__all__ = ["META", "NAME", "PARTS", "check", "prepare"]

NAME = "path_vqa"
META = "pathvqa_maml"
"""MMQ's folder for meta-learning, with copies of the images."""
PARTS = {"training": "train", "validation": "val", "test": "test"}
_NEEDED = ("img_id", "question_id", "sent", "label", "answer_type")
_NEEDED_OF_MMQ = ("qid", "image_name", "question", "answer", "answer_type")
_CLOSED = ("yes/no", "closed")


def check(root: Path) -> list[Finding]:
    """Compare the folder ``root`` with the published layout.

    Errors: a pickle is missing, damaged or names anything but plain data, a question stands twice, no images, two of one
    name, unreadable ones. Warnings: images that are not on disk, or in two parts. The counts beside the published ones are
    for information.
    """
    return _survey(Path(root)).findings


def prepare(
    root: Path, *, seed: int = 0, fractions: Fractions = (0.7, 0.1, 0.2), split: str | None = None
) -> dict[str, Any]:
    """Make a datalist of the folder ``root``.

    Splits:
        ``published``: by the authors, whose parts share no image.
        ``image-disjoint``: all questions by image, as ``seed`` and ``fractions`` say. The default.

    Args:
        root: The folder with ``qas`` and ``images``.
        seed: Of the division by image.
        fractions: Of the images, for training, validation and test.
        split: ``published`` or ``image-disjoint``.

    Raises:
        InputDataError: The check finds an error.
        RequestError: The split is unknown, or the fractions do not add up to 1.
    """
    return vqa_datalist(NAME, Path(root), _survey(Path(root)), seed=seed, fractions=fractions, split=split)


def _survey(root: Path) -> VqaSurvey:
    return survey_folder(root, _read_questions, partial(find_images, skip=(META,)), _compare)


def _read_questions(root: Path, survey: VqaSurvey) -> Iterator[Finding]:
    if not (root / "qas").is_dir() and any((root / f"{stem}set.json").is_file() for stem in PARTS.values()):
        yield from _read_mmq(root, survey)
    else:
        yield from _read_pickles(root, survey)
    yield from repeated_questions(survey)


def _read_pickles(root: Path, survey: VqaSurvey) -> Iterator[Finding]:
    survey.source = "qas"
    for part, stem in PARTS.items():
        path = root / "qas" / f"{stem}_vqa.pkl"
        if not path.is_file():
            yield error("no_questions", f"no qas/{path.name} in {root}, nor {stem}set.json of MMQ")
            continue
        content = read_plain_pickle(path, dtypes=())
        survey.rows[part] = [_entry(record, where) for record, where in _listed(content, path)]


def _read_mmq(root: Path, survey: VqaSurvey) -> Iterator[Finding]:
    survey.source = "MMQ's files"
    for part, stem in PARTS.items():
        path = root / f"{stem}set.json"
        if not path.is_file():
            yield error("no_questions", f"no {path.name} in {root}")
            continue
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as fault:
            raise InputDataError(f"{path}: not readable as a JSON file: {fault}") from fault
        survey.rows[part] = [_mmq_entry(record, where) for record, where in _listed(content, path)]


def _listed(content: Any, path: Path) -> list[tuple[Any, str]]:
    if not isinstance(content, list):
        raise InputDataError(f"{path}: holds a {type(content).__name__}; expected a list of questions")
    return [(record, f"{path}: [{number}]") for number, record in enumerate(content)]


def _mmq_entry(record: Any, where: str) -> Entry:
    missing = [key for key in _NEEDED_OF_MMQ if not isinstance(record, dict) or key not in record]
    if missing:
        raise InputDataError(f"{where}: no key {', '.join(map(repr, missing))}; expected a question of MMQ's files")
    for key in ("image_name", "question", "answer", "answer_type"):
        if not isinstance(record[key], str | int | float):
            raise InputDataError(f"{where}: {key!r} is {str(record[key])[:40]!r}; expected a text")
    kind, name = str(record.get("question_type", "")).strip(), str(record["image_name"])
    return {
        "image_name": name,
        "case": str(record["qid"]),
        "patient": Path(name).stem,
        "question": str(record["question"]).strip(),
        "answers": [str(record["answer"]).strip()],
        "answer_type": _answer_type(record["answer_type"]),
    } | ({"question_type": [kind]} if kind else {})


def _answer_type(text: Any) -> str:
    return "closed" if str(text).strip().lower() in _CLOSED else "open"


def _entry(record: Any, where: str) -> Entry:
    missing = [key for key in _NEEDED if not isinstance(record, dict) or key not in record]
    if missing:
        raise InputDataError(f"{where}: no key {', '.join(map(repr, missing))}; expected a question as published")
    label = record["label"]
    if not isinstance(label, dict) or not label:
        raise InputDataError(f"{where}: 'label' is {str(label)[:40]!r}; expected an object from answer to score")
    kind = str(record.get("question_type", "")).strip()
    return {
        "image_name": str(record["img_id"]),
        "case": str(record["question_id"]),
        "patient": str(record["img_id"]),
        "question": str(record["sent"]).strip(),
        "answers": [str(answer).strip() for answer in label],
        "answer_type": _answer_type(record["answer_type"]),
    } | ({"question_type": [kind]} if kind else {})


def _compare(root: Path, survey: VqaSurvey) -> Iterator[Finding]:
    if not any(survey.rows.values()):
        return
    found = {part: [row for row in rows if "image" in row] for part, rows in survey.rows.items()}
    if both := shared_images(found):
        yield warning("shared_images", f"{len(both):,} images are in two parts: {some_names(both)}")
    if survey.marker is None:
        published = {key: count["value"] for key, count in load_manifest(NAME)["counts"].items()}
        here = {part: len(rows) for part, rows in survey.rows.items()}
        parts = [f"{value:,} of {published[key]:,} {key}" for key, value in here.items()]
        yield info("counts", f"{root} holds {', '.join(parts)} questions of the published set")
