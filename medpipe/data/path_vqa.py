"""Reader of PathVQA, as its authors distribute it.

    qas/train_vqa.pkl, qas/val_vqa.pkl, qas/test_vqa.pkl     pickled lists of questions
    images/{train,val,test}/<part>_<4 digits>.jpg            found by name in any depth of folders

A question is ``{"img_id": "train_0001", "question_id": ..., "sent": "...", "label": {answer: score}, "answer_type":
"yes/no" | "other" | "number", "question_type": "..."}``. The pickles are read as plain data, which runs nothing; the
datalist made from them is JSON, so that they are needed once. No image is in two parts.
"""

from __future__ import annotations

from collections.abc import Iterator
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

__all__ = ["NAME", "PARTS", "check", "prepare"]

NAME = "path_vqa"
PARTS = {"training": "train", "validation": "val", "test": "test"}
_NEEDED = ("img_id", "question_id", "sent", "label", "answer_type")


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
    return survey_folder(root, _read_questions, find_images, _compare)


def _read_questions(root: Path, survey: VqaSurvey) -> Iterator[Finding]:
    survey.source = "qas"
    for part, stem in PARTS.items():
        path = root / "qas" / f"{stem}_vqa.pkl"
        if not path.is_file():
            yield error("no_questions", f"no qas/{path.name} in {root}")
            continue
        content = read_plain_pickle(path, dtypes=())
        if not isinstance(content, list):
            raise InputDataError(f"{path}: holds a {type(content).__name__}; expected a list of questions")
        survey.rows[part] = [_entry(record, f"{path}: [{number}]") for number, record in enumerate(content)]
    yield from repeated_questions(survey)


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
        "answer_type": "closed" if str(record["answer_type"]).strip().lower() == "yes/no" else "open",
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
