"""The datalist of visual question answering: the JSON file that lists questions about images with their answers.

It is MONAI's datalist whose cases are questions, so that an image may stand in many of them:

    {
      "name": "vqa_rad", "description": "...", "generated": false, "split": "how the split was made",
      "task": "vqa", "tensorImageSize": "2D",
      "training": [{
        "image": "images/synpic29265.jpg",      relative to the data set's folder
        "case": "2",                            the question's own id
        "patient": "synpic29265",               whoever is in the image: the published case where known, else the image
        "question": "Are the lungs normal appearing?",
        "answers": ["No"],                      as written; one per annotator
        "answer_type": "closed",                or "open"
        "question_type": ["ABN"],               where known, may be several
        "organ": "CHEST", "phrase_type": "freeform"                           where known
      }],
      "validation": [], "test": []
    }

Further keys are kept as they are. An image may be in two parts only where ``"shares_images": true`` says so, as the
published split of VQA-RAD does: a network can then answer test questions from images that it was trained on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from medpipe.errors import InputDataError
from medpipe.io.atomic import write_text

from .names import some_names
from .splits import PARTS, Fractions, check_fractions, shares

__all__ = [
    "ANSWER_TYPES",
    "TASK",
    "load_vqa_datalist",
    "shared_images",
    "split_by_image",
    "validate_vqa_datalist",
    "vqa_entries",
    "write_vqa_datalist",
]

Entry = dict[str, Any]
TASK = "vqa"
ANSWER_TYPES = ("closed", "open")
_HEAD = {"name": str, "description": str, "generated": bool, "split": str, "tensorImageSize": str}
_TEXTS = ("image", "case", "patient", "question")
_WORDS = {str: "a text", bool: "true or false", list: "a list", dict: "an object"}


def write_vqa_datalist(datalist: dict[str, Any], path: Path) -> None:
    """Check ``datalist`` and write it as JSON; the file appears only when it is whole.

    Raises:
        InputDataError: As :func:`load_vqa_datalist`.
    """
    validate_vqa_datalist(datalist, str(path))
    write_text(path, json.dumps(datalist, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def load_vqa_datalist(path: str | Path) -> dict[str, Any]:
    """Read and check a datalist of questions.

    Raises:
        InputDataError: It is no JSON object of the format above; the message names the entry and the key. Also when a
            question is listed twice, or an image is in two parts and the file does not say ``"shares_images": true``.
    """
    try:
        datalist = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as fault:
        raise InputDataError(f"{path}: not readable as a JSON file: {fault}") from fault
    validate_vqa_datalist(datalist, str(path))
    return dict(datalist)


def vqa_entries(datalist: str | Path, root: str | Path, section: str) -> list[Entry]:
    """Questions of one section ("training", "validation", "test") with absolute image paths.

    Args:
        datalist: The file.
        root: Folder that its paths start from.
        section: Which part of it.

    Raises:
        InputDataError: The datalist is wrong, the section is missing or empty, or an image is not on disk.
    """
    entries = load_vqa_datalist(datalist).get(section, [])
    if not entries:
        raise InputDataError(f"datalist '{datalist}' has no questions in its section '{section}'")
    items = [{**entry, "image": str(Path(root) / entry["image"])} for entry in entries]
    missing = sorted({item["image"] for item in items if not Path(item["image"]).is_file()})
    if missing:
        raise InputDataError(
            f"{len(missing)} images of datalist '{datalist}' are not under '{root}' (first: {missing[0]}); "
            "give the root that the datalist was made from"
        )
    return items


def shared_images(parts: dict[str, list[Entry]]) -> set[str]:
    """Images and patients that stand in more than one of the parts."""
    found: set[str] = set()
    for key in ("image", "patient"):
        names = [{entry[key] for entry in parts[part]} for part in PARTS]
        found |= (names[0] & names[1]) | (names[0] & names[2]) | (names[1] & names[2])
    return found


def split_by_image(entries: Sequence[Entry], *, seed: int, fractions: Fractions) -> dict[str, list[Entry]]:
    """Divide questions so that all about one image, or one patient, are in one part.

    Organs are divided apart, so that all parts have about the same share of each. The result depends on the seed and on
    the questions, not on their order.

    Args:
        entries: Entries of a datalist.
        seed: Of the shuffling, from 0.
        fractions: Of the patients, for training, validation and test; they add up to 1.

    Returns:
        Part name -> entries, in the order given.

    Raises:
        RequestError: The fractions are negative or do not add up to 1.
    """
    check_fractions(fractions)
    organs: dict[str, str] = {}
    for entry in entries:
        organs[entry["patient"]] = min(str(entry.get("organ", "")), organs.get(entry["patient"], "~"))
    part_of: dict[str, str] = {}
    for number, organ in enumerate(sorted(set(organs.values()))):
        patients = sorted(patient for patient, found in organs.items() if found == organ)
        np.random.default_rng([seed, number]).shuffle(patients)
        part_of.update(zip(patients, np.repeat(PARTS, shares(len(patients), fractions)).tolist(), strict=True))
    return {part: [entry for entry in entries if part_of[entry["patient"]] == part] for part in PARTS}


def validate_vqa_datalist(datalist: Any, source: str) -> None:
    """Raise InputDataError unless ``datalist`` follows the format; ``source`` opens the message."""
    if not isinstance(datalist, dict):
        raise InputDataError(f"{source}: found {_shown(datalist)}; expected a JSON object with {', '.join(PARTS)}")
    if datalist.get("task") != TASK:
        raise InputDataError(
            f"{source}: 'task' is {_shown(datalist.get('task'))}; expected {TASK!r}, a datalist of questions"
        )
    for key, kind in _HEAD.items():
        _require(datalist, key, kind, source)
    seen: set[str] = set()
    for part in PARTS:
        _require(datalist, part, list, source)
        for index, entry in enumerate(datalist[part]):
            where = f"{source}: {part}[{index}]"
            _validate_entry(entry, where)
            if entry["case"] in seen:
                raise InputDataError(f"{where}: question {entry['case']!r} is listed before; expected each one once")
            seen.add(entry["case"])
    both = shared_images(datalist)
    if both and datalist.get("shares_images") is not True:
        raise InputDataError(
            f"{source}: parts share images ({some_names(both)}); split by image, "
            'or say "shares_images": true where the published split does so'
        )


def _validate_entry(entry: Any, where: str) -> None:
    if not isinstance(entry, dict):
        raise InputDataError(f"{where}: found {_shown(entry)}; expected an object")
    for key in _TEXTS:
        _require(entry, key, str, where)
        if not entry[key] and key != "question":
            raise InputDataError(f"{where}: {key!r} is empty")
    image = PurePosixPath(entry["image"])
    if image.is_absolute() or ".." in image.parts or "\\" in entry["image"]:
        raise InputDataError(
            f"{where}: 'image' is {entry['image']!r}; expected a path below the data set's folder, with /"
        )
    if entry.get("answer_type") not in ANSWER_TYPES:
        raise InputDataError(
            f"{where}: 'answer_type' is {_shown(entry.get('answer_type'))}; expected {' or '.join(ANSWER_TYPES)}"
        )
    for key in ("answers", *(["question_type"] if "question_type" in entry else [])):
        _require(entry, key, list, where)
        if not entry[key] or not all(isinstance(text, str) for text in entry[key]):
            raise InputDataError(f"{where}: {key!r} is {_shown(entry[key])}; expected a list of one or more texts")


def _require(entry: Entry, key: str, kind: type, where: str) -> None:
    if key not in entry:
        raise InputDataError(f"{where}: the key {key!r} is missing; expected {_WORDS[kind]}")
    if not isinstance(entry[key], kind):
        raise InputDataError(f"{where}: {key!r} is {_shown(entry[key])}; expected {_WORDS[kind]}")


def _shown(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 40 else f"{text[:37]}..."
