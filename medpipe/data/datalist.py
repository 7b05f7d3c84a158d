"""The datalist: the JSON file that lists a data set's images with their truth, and how they are split.

It is MONAI's datalist (``training``, ``validation`` and ``test`` hold dictionaries with ``image`` and
``label``) with what an evaluation of localisation needs besides:

    {
      "name": "siim_acr", "description": "...", "generated": false, "split": "how the split was made",
      "labels": {"0": "no pneumothorax", "1": "pneumothorax"}, "tensorImageSize": "2D",
      "training": [{
        "image": "dicom-images-train/1.2/1.3/1.4.dcm",    relative to the data set's folder
        "case": "1.4", "patient": "p7", "label": 1, "rows": 1024, "columns": 1024,
        "localized": true,                                the positions of all lesions are known
        "rle": ["5 3 1021 2"],                            or "boxes": [[x, y, width, height]] in pixels
        "sex": "F", "age": 61, "view": "PA"               where known
      }],
      "validation": [], "test": [],
      "unlabelled": [{"image": "...", "case": "...", "patient": "...", "rows": 1024, "columns": 1024}]
    }

A data set of several labels names them under ``"classes": ["Atelectasis", ...]`` instead of ``"labels"``; an entry's
``label`` is then a list with 0, 1 or null (unknown) for each class, and its ``boxes``, where there are any, an object from
class to boxes. It has neither ``localized`` nor ``rle``.

Further keys are kept as they are. A patient may be in two parts only where ``"shares_patients": true`` says
so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medpipe.errors import InputDataError
from medpipe.io.atomic import write_text

from .names import some_names
from .rle import decode_relative_rle
from .splits import PARTS

__all__ = ["UNLABELLED", "lesion_mask", "load_datalist", "validate_datalist", "write_datalist"]

Entry = dict[str, Any]
UNLABELLED = "unlabelled"
_HEAD_KEYS = {
    "name": str,
    "description": str,
    "generated": bool,
    "split": str,
    "tensorImageSize": str,
}
_JSON_WORDS = {str: "a text", bool: "true or false", dict: "an object", list: "a list", int: "a whole number"}


def write_datalist(datalist: dict[str, Any], path: Path) -> None:
    """Check ``datalist`` and write it as JSON; the file appears only when it is whole.

    Raises:
        InputDataError: as :func:`load_datalist`.
    """
    validate_datalist(datalist, str(path))
    write_text(path, json.dumps(datalist, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def load_datalist(path: Path) -> dict[str, Any]:
    """Read and check a datalist.

    Raises:
        InputDataError: it is no JSON object of the format above; the message names the entry and the key.
            Also when a case is listed twice, or a patient is in two parts and the file does not say
            ``"shares_patients": true``.
    """
    try:
        datalist = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise InputDataError(f"{path}: not readable as a JSON file: {fault}") from fault
    validate_datalist(datalist, str(path))
    return dict(datalist)


def validate_datalist(datalist: Any, source: str) -> None:
    """Raise InputDataError unless ``datalist`` follows the format; ``source`` opens the message."""
    if not isinstance(datalist, dict):
        raise InputDataError(f"{source}: found {_shown(datalist)}; expected a JSON object with {', '.join(PARTS)}")
    for key, kind in _HEAD_KEYS.items():
        _require(datalist, key, kind, source)
    classes = _classes(datalist, source)
    for part in PARTS:
        _require(datalist, part, list, source)
    for where, part, entry in _entries(datalist, source):
        _validate_entry(entry, where)
        if part != UNLABELLED:
            _validate_labels(entry, classes, where) if classes else _validate_truth(entry, where)
    _refuse_repeated_cases(datalist, source)
    if datalist.get("shares_patients") is not True:
        _refuse_shared_patients(datalist, source)


def _classes(datalist: dict[str, Any], source: str) -> list[str]:
    """Names of the labels of a data set that has several; empty for one of a single label."""
    if "classes" not in datalist:
        _require(datalist, "labels", dict, source)
        missing = {"0", "1"} - set(datalist["labels"])
        if missing:
            raise InputDataError(f"{source}: 'labels' names no class {', '.join(sorted(missing))}")
        return []
    _require(datalist, "classes", list, source)
    classes: list[str] = datalist["classes"]
    if not classes or not all(isinstance(name, str) and name for name in classes) or len(set(classes)) < len(classes):
        raise InputDataError(f"{source}: 'classes' is {_shown(classes)}; expected different names")
    return classes


def lesion_mask(entry: Entry) -> NDArray[np.bool_]:
    """The union of an entry's lesions, (rows, columns); all False for a negative image.

    A box fills the pixels whose centres lie in it, and at least the pixel at its own centre.

    Raises:
        InputDataError: the lesions' positions are not known (``"localized": false``), or a mask does not
            decode.
    """
    if not entry["localized"]:
        raise InputDataError(f"case {entry['case']!r}: the positions of its lesions are not known")
    mask = np.zeros((entry["rows"], entry["columns"]), bool)
    for number, text in enumerate(entry.get("rle", ())):
        try:
            mask |= decode_relative_rle(text, *mask.shape)
        except InputDataError as fault:
            raise InputDataError(f"case {entry['case']!r}, rle[{number}]: {fault}") from fault
    for x, y, width, height in entry.get("boxes", ()):
        mask[_filled(y, height, len(mask)), _filled(x, width, mask.shape[1])] = True
    return mask


def _filled(start: float, length: float, size: int) -> slice:
    first, last = int(np.ceil(start - 0.5)), int(np.ceil(start + length - 0.5))
    if last <= first:
        first = int(start + length / 2)
        last = first + 1
    return slice(max(first, 0), min(last, size))


def _entries(datalist: dict[str, Any], source: str) -> Iterator[tuple[str, str, Entry]]:
    """Every entry with its part and how a message names it."""
    for part in (*PARTS, UNLABELLED):
        for index, entry in enumerate(datalist.get(part, ())):
            where = f"{source}: {part}[{index}]"
            if not isinstance(entry, dict):
                raise InputDataError(f"{where}: found {_shown(entry)}; expected an object")
            yield (f"{where} (case {entry['case']!r})" if "case" in entry else where), part, entry


def _validate_entry(entry: Entry, where: str) -> None:
    for key in ("image", "case", "patient"):
        _require(entry, key, str, where)
        if not entry[key]:
            raise InputDataError(f"{where}: {key!r} is empty")
    image = PurePosixPath(entry["image"])
    if image.is_absolute() or ".." in image.parts or "\\" in entry["image"]:
        raise InputDataError(
            f"{where}: 'image' is {entry['image']!r}; expected a path below the data set's folder, with /"
        )
    for key in ("rows", "columns"):
        _require(entry, key, int, where)
        if entry[key] < 1:
            raise InputDataError(f"{where}: {key!r} is {entry[key]}; expected at least 1")


def _validate_labels(entry: Entry, classes: list[str], where: str) -> None:
    _require(entry, "label", list, where)
    known = all(value is None or (type(value) is int and value in (0, 1)) for value in entry["label"])
    if len(entry["label"]) != len(classes) or not known:
        raise InputDataError(
            f"{where}: 'label' is {_shown(entry['label'])}; expected 0, 1 or null for each of {len(classes)} classes"
        )
    boxes = entry.get("boxes", {})
    if not isinstance(boxes, dict):
        raise InputDataError(f"{where}: 'boxes' is {_shown(boxes)}; expected an object from class to boxes")
    for name in boxes:
        if name not in classes:
            raise InputDataError(f"{where}: 'boxes' names {name!r}, which is none of the classes")
        for box in _optional_list(boxes, name, where):
            _validate_box(box, where)


def _validate_truth(entry: Entry, where: str) -> None:
    _require(entry, "label", int, where)
    if entry["label"] not in (0, 1):
        raise InputDataError(f"{where}: 'label' is {entry['label']}; expected 0 or 1")
    _require(entry, "localized", bool, where)
    for text in _optional_list(entry, "rle", where):
        if not isinstance(text, str):
            raise InputDataError(f"{where}: 'rle' holds {_shown(text)}; expected texts")
    for box in _optional_list(entry, "boxes", where):
        _validate_box(box, where)
    lesions = len(entry.get("rle", ())) + len(entry.get("boxes", ()))
    if lesions and not (entry["label"] == 1 and entry["localized"]):
        raise InputDataError(f"{where}: has 'rle' or 'boxes', so 'label' must be 1 and 'localized' true")
    if not lesions and entry["label"] == 1 and entry["localized"]:
        raise InputDataError(f"{where}: is positive and localized, but has neither 'rle' nor 'boxes'")


def _validate_box(box: Any, where: str) -> None:
    numbers = isinstance(box, list | tuple) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value) for value in box
    )
    if not numbers or len(box) != 4 or box[2] <= 0 or box[3] <= 0:
        raise InputDataError(
            f"{where}: 'boxes' holds {_shown(box)}; expected [x, y, width, height] with a size above 0"
        )


def _optional_list(entry: Entry, key: str, where: str) -> list[Any]:
    if key in entry:
        _require(entry, key, list, where)
    return list(entry.get(key, ()))


def _require(entry: Entry, key: str, kind: type, where: str) -> None:
    if key not in entry:
        raise InputDataError(f"{where}: the key {key!r} is missing; expected {_JSON_WORDS[kind]}")
    value = entry[key]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputDataError(f"{where}: {key!r} is {_shown(value)}; expected {_JSON_WORDS[kind]}")


def _refuse_repeated_cases(datalist: dict[str, Any], source: str) -> None:
    seen: set[str] = set()
    for where, _, entry in _entries(datalist, source):
        if entry["case"] in seen:
            raise InputDataError(f"{where}: this case is listed before; expected every case once")
        seen.add(entry["case"])


def _refuse_shared_patients(datalist: dict[str, Any], source: str) -> None:
    parts = {part: {entry["patient"] for entry in datalist[part]} for part in PARTS}
    for first, second in (("training", "validation"), ("training", "test"), ("validation", "test")):
        shared = parts[first] & parts[second]
        if shared:
            raise InputDataError(
                f"{source}: {first} and {second} share patients ({some_names(shared)}); split by patient, "
                'or say "shares_patients": true where the published split does so'
            )


def _shown(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 40 else f"{text[:37]}..."
