"""The registration datalist: the JSON file that lists volumes, how they are split, and which of them make a pair.

    {
      "name": "lits", "description": "...", "generated": false, "split": "how the split was made",
      "labels": {"1": "liver", "2": "lesion"},            value in the label volumes -> name, background left out
      "training": [{
        "case": "volume-0", "subject": "0",
        "image": "volume-0.nii",                          relative to the data set's folder
        "label": "segmentation-0.nii",                    optional, on the grid of the image
        "points": "keypoints/0.csv",                      optional, voxel coordinates, row by row the same landmark
        "modality": "CT"
      }],
      "validation": [], "test": [],
      "reference": [],                                    optional: volumes outside the split, such as an atlas
      "pairs": {
        "training": {"how": "all"},                       every ordered pair of two subjects
        "validation": {"how": "atlas", "fixed": "S01"},   one fixed volume, every other one moving
        "test": {"how": "listed", "pairs": [["2017_02_pregas", "2017_02_aftergas"]]}    [fixed, moving]
      }
    }

A section without a rule under ``pairs`` is paired by "all". ``{"how": "all", "distinct": "case"}`` also pairs two
volumes of one subject, as some published protocols do. Volumes, labels and points inside an HDF5 file are written
``file.h5#group/dataset``. A subject is in one of training, validation and test only; ``reference`` volumes may serve
all of them. Further keys are kept as they are. ``registration_pairs`` makes the pairs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from medpipe.errors import InputDataError
from medpipe.io.atomic import write_text

from .names import nearest_names, some_names
from .splits import PARTS

__all__ = [
    "REFERENCE",
    "entry_below",
    "load_registration_datalist",
    "validate_registration_datalist",
    "write_registration_datalist",
]

Entry = dict[str, Any]
REFERENCE = "reference"
RULES = ("all", "atlas", "listed")
_PLACES = ("image", "label", "points")
_DISTINCT = ("subject", "case")
_HEAD_KEYS = {"name": str, "description": str, "generated": bool, "split": str, "labels": dict, "pairs": dict}
_JSON_WORDS = {str: "a text", bool: "true or false", dict: "an object", list: "a list"}


def write_registration_datalist(datalist: dict[str, Any], path: Path) -> None:
    """Check ``datalist`` and write it as JSON; the file appears only when it is whole.

    Raises:
        InputDataError: As ``load_registration_datalist``.
    """
    validate_registration_datalist(datalist, str(path))
    write_text(path, json.dumps(datalist, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def load_registration_datalist(path: str | Path) -> dict[str, Any]:
    """Read and check a registration datalist.

    Raises:
        InputDataError: It is no JSON object of the format above; the message names the entry and the key. Also when a
            case is listed twice, a subject is in two sections, or a rule names a case that its section cannot use.
    """
    try:
        datalist = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise InputDataError(f"{path}: not readable as a JSON file: {fault}") from fault
    validate_registration_datalist(datalist, str(path))
    return dict(datalist)


def entry_below(entry: Entry, root: str | Path) -> Entry:
    """An entry whose image, label and points are paths below ``root``, for loading."""
    places = {key: str(Path(root) / entry[key]) for key in _PLACES if key in entry}
    return {**entry, **places}


def validate_registration_datalist(datalist: Any, source: str) -> None:
    """Raise InputDataError unless ``datalist`` follows the format; ``source`` opens the message."""
    if not isinstance(datalist, dict):
        raise InputDataError(f"{source}: found {_shown(datalist)}; expected a JSON object with {', '.join(PARTS)}")
    for key, kind in _HEAD_KEYS.items():
        _require(datalist, key, kind, source)
    for part in PARTS:
        _require(datalist, part, list, source)
    if REFERENCE in datalist:
        _require(datalist, REFERENCE, list, source)
    _validate_labels(datalist["labels"], source)
    seen: set[str] = set()
    for where, entry in _entries(datalist, source):
        _validate_entry(entry, where)
        if entry["case"] in seen:
            raise InputDataError(f"{where}: this case is listed before; expected every case once")
        seen.add(entry["case"])
    _refuse_shared_subjects(datalist, source)
    _validate_pairs(datalist, source)


def _validate_labels(labels: dict[str, Any], source: str) -> None:
    for value, name in labels.items():
        if not (value.isascii() and value.isdigit() and int(value) > 0):
            raise InputDataError(f"{source}: 'labels' has the key {value!r}; expected whole numbers from 1")
        if not (isinstance(name, str) and name):
            raise InputDataError(f"{source}: 'labels' gives {value} the name {_shown(name)}; expected a text")


def _entries(datalist: dict[str, Any], source: str) -> Iterator[tuple[str, Entry]]:
    """Every entry with how a message names it."""
    for part in (*PARTS, REFERENCE):
        for index, entry in enumerate(datalist.get(part, ())):
            where = f"{source}: {part}[{index}]"
            if not isinstance(entry, dict):
                raise InputDataError(f"{where}: found {_shown(entry)}; expected an object")
            yield (f"{where} (case {entry['case']!r})" if "case" in entry else where), entry


def _validate_entry(entry: Entry, where: str) -> None:
    for key in ("case", "subject", "image", "modality"):
        _require(entry, key, str, where)
        if not entry[key]:
            raise InputDataError(f"{where}: {key!r} is empty")
    for key in _PLACES:
        if key not in entry:
            continue
        _require(entry, key, str, where)
        path = PurePosixPath(entry[key])
        if not entry[key] or path.is_absolute() or ".." in path.parts or "\\" in entry[key]:
            raise InputDataError(
                f"{where}: {key!r} is {entry[key]!r}; expected a path below the data set's folder, with /"
            )


def _validate_pairs(datalist: dict[str, Any], source: str) -> None:
    unknown = datalist["pairs"].keys() - set(PARTS)
    if unknown:
        raise InputDataError(f"{source}: 'pairs' has a rule for {some_names(unknown)}; expected {', '.join(PARTS)}")
    for part, rule in datalist["pairs"].items():
        where = f"{source}: pairs.{part}"
        if not isinstance(rule, dict):
            raise InputDataError(f"{where} is {_shown(rule)}; expected an object")
        _require(rule, "how", str, where)
        if rule["how"] not in RULES:
            raise InputDataError(f"{where}: 'how' is {rule['how']!r}; expected {', '.join(RULES)}")
        if rule["how"] == "all" and rule.get("distinct", "subject") not in _DISTINCT:
            raise InputDataError(f"{where}: 'distinct' is {_shown(rule['distinct'])}; expected {', '.join(_DISTINCT)}")
        usable = {entry["case"] for section in (part, REFERENCE) for entry in datalist.get(section, ())}
        if rule["how"] == "atlas":
            _require(rule, "fixed", str, where)
            _known_case(rule["fixed"], usable, f"{where}.fixed", part)
        if rule["how"] == "listed":
            _validate_listed(rule, usable, where, part)


def _validate_listed(rule: dict[str, Any], usable: set[str], where: str, part: str) -> None:
    _require(rule, "pairs", list, where)
    for index, pair in enumerate(rule["pairs"]):
        here = f"{where}.pairs[{index}]"
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(case, str) for case in pair)):
            raise InputDataError(f"{here} is {_shown(pair)}; expected [fixed case, moving case]")
        for case in pair:
            _known_case(case, usable, here, part)
        if pair[0] == pair[1]:
            raise InputDataError(f"{here} pairs {pair[0]!r} with itself")


def _known_case(case: str, usable: set[str], where: str, part: str) -> None:
    if case not in usable:
        raise InputDataError(
            f"{where} names the case {case!r}, which is neither in '{part}' nor in '{REFERENCE}'; "
            f"{nearest_names(case, usable)}"
        )


def _refuse_shared_subjects(datalist: dict[str, Any], source: str) -> None:
    parts = {part: {entry["subject"] for entry in datalist[part]} for part in PARTS}
    for first, second in (("training", "validation"), ("training", "test"), ("validation", "test")):
        shared = parts[first] & parts[second]
        if shared:
            raise InputDataError(
                f"{source}: {first} and {second} share subjects ({some_names(shared)}); split by subject"
            )


def _require(entry: Entry, key: str, kind: type, where: str) -> None:
    if key not in entry:
        raise InputDataError(f"{where}: the key {key!r} is missing; expected {_JSON_WORDS[kind]}")
    if not isinstance(entry[key], kind):
        raise InputDataError(f"{where}: {key!r} is {_shown(entry[key])}; expected {_JSON_WORDS[kind]}")


def _shown(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 40 else f"{text[:37]}..."
