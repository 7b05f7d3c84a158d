"""Reader of Learn2Reg's tasks (from 2022 on): one folder with a JSON file that lists volumes and pairs.

    NAME_dataset.json or dataset.json
    imagesTr/NAME_0001_0000.nii.gz, imagesTs/...      four digits of the case, four of the scan
    labelsTr/NAME_0001_0000.nii.gz                    optional, as masksTr
    keypointsTr/NAME_0001_0000.csv, landmarksTs/...   optional: x,y,z in voxels a row, without a header

Of the JSON file: ``training`` (volumes), ``training_paired_images``, ``registration_val`` and ``registration_test``
(pairs of "fixed" and "moving"), ``labels``, ``modality``. The volumes of ``registration_val`` lie in imagesTr and are
usually listed under ``training`` as well: they are taken out of the training here. What is in pairs of both is an atlas,
and goes to ``reference``. Paired tasks number the scans of a subject: NAME_0001_0000 and NAME_0001_0001 are of one.
"""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from medpipe.errors import InputDataError

from .findings import info, warning
from .names import some_names
from .registration_datalist import REFERENCE
from .registration_sets import RegistrationSet, Survey, read_json_table
from .volume_files import stem_of

__all__ = ["READER"]

_POINT_FOLDERS = ("keypoints", "landmarks")
_SECTIONS = {"registration_val": "validation", "registration_test": "test"}

_PLACE = {"type": "string", "minLength": 1}
_VOLUME = {"anyOf": [_PLACE, {"type": "object", "required": ["image"], "properties": {"image": _PLACE}}]}
_PAIR = {"type": "object", "additionalProperties": _PLACE, "required": ["fixed", "moving"]}
_NUMBERED = {"type": "object", "additionalProperties": _PLACE, "minProperties": 2}
_SCHEMA = {
    "required": ["training"],
    "properties": {
        "training": {"type": "array", "items": _VOLUME},
        "test": {"type": "array", "items": _VOLUME},
        "training_paired_images": {"type": "array", "items": _NUMBERED},
        **{key: {"type": "array", "items": _PAIR} for key in _SECTIONS},
        "registration_direction": {"type": "object"},
        "modality": {"type": "object", "additionalProperties": _PLACE},
        "labels": {"type": "object"},
    },
}


def _look(root: Path) -> Survey:
    path, about = _read_json(root)
    survey = Survey(labels=_labels(about))
    modality = next(iter(about.get("modality", {}).values()), "unknown")
    places = _listed(about, path)
    missing = []
    for place in places:
        if (root / place).is_file():
            survey.volumes.append(_entry(root, place, modality))
        else:
            missing.append(place)
    if missing:
        count = f"{len(missing):,} of {len(places):,} volumes of {path.name}"
        survey.findings.append(warning("missing_images", f"{count} are not on disk: {some_names(missing)}"))
    _pair_up(about, path, survey)
    survey.counts = {"volumes": len(survey.volumes)}
    return survey


def _read_json(root: Path) -> tuple[Path, dict[str, Any]]:
    candidates = sorted(root.glob("*_dataset.json")) + sorted(root.glob("dataset.json"))
    if not candidates:
        raise InputDataError(f"no NAME_dataset.json or dataset.json in {root}")
    return candidates[0], read_json_table(candidates[0], _SCHEMA)


def _labels(about: dict[str, Any]) -> dict[str, str]:
    """Value -> name, from {"1": "liver"} or, with one table per kind of scan, {"0": {"1": "liver"}}."""
    labels = about.get("labels", {})
    if labels and all(isinstance(table, dict) for table in labels.values()):
        labels = {value: name for table in labels.values() for value, name in table.items()}
    return {str(value): str(name) for value, name in labels.items() if str(value).isdigit() and int(value) > 0}


def _place(item: Any, path: Path, where: str) -> str:
    """A path of the JSON file, ``./imagesTr/A_0001_0000.nii.gz``, without its dot."""
    place = PurePosixPath(str(item["image"] if isinstance(item, dict) else item))
    if place.is_absolute() or ".." in place.parts:
        raise InputDataError(f"{path.name}: '{where}' lists {str(item)[:80]!r}; expected a path below its folder")
    return place.as_posix()


def _pairs(about: dict[str, Any], path: Path, key: str) -> list[tuple[str, str]]:
    """Places of fixed and moving volumes; tasks that number them say which number is fixed."""
    direction = about.get("registration_direction", {})
    fixed, moving = str(direction.get("fixed", 0)), str(direction.get("moving", 1))
    found = []
    for index, item in enumerate(about.get(key, ())):
        names = ("fixed", "moving") if "fixed" in item else (fixed, moving)
        if not set(names) <= item.keys():
            raise InputDataError(f"{path.name}: {key}[{index}] has {some_names(item)}; expected {' and '.join(names)}")
        found.append((_place(item[names[0]], path, key), _place(item[names[1]], path, key)))
    return found


def _listed(about: dict[str, Any], path: Path) -> list[str]:
    places = [_place(item, path, key) for key in ("training", "test") for item in about.get(key, ())]
    for key in ("training_paired_images", *_SECTIONS):
        places += [place for pair in _pairs(about, path, key) for place in pair]
    return list(dict.fromkeys(places))


def _entry(root: Path, place: str, modality: str) -> dict[str, Any]:
    case = stem_of(Path(place))
    entry = {"case": case, "subject": re.sub(r"_\d{4}$", "", case), "image": place, "modality": modality}
    folder = PurePosixPath(place).parent.name
    label = place.replace(folder, folder.replace("images", "labels"), 1)
    if label != place and (root / label).is_file():
        entry["label"] = label
    for kind in _POINT_FOLDERS:
        points = str(PurePosixPath(place.replace(folder, folder.replace("images", kind), 1)).with_name(f"{case}.csv"))
        if (root / points).is_file():
            entry["points"] = points
    return entry


def _pair_up(about: dict[str, Any], path: Path, survey: Survey) -> None:
    here = {entry["image"]: entry for entry in survey.volumes}
    taken: dict[str, str] = {}  # subject -> section
    for key, part in _SECTIONS.items():
        listed = _pairs(about, path, key)
        _list_pairs(survey, part, listed, here)
        # a volume whose partner is missing is held out all the same
        for entry in (here[place] for place in dict.fromkeys(chain.from_iterable(listed)) if place in here):
            other = taken.setdefault(entry["subject"], part)
            survey.sections[entry["case"]] = part if other == part else REFERENCE
    paired = _pairs(about, path, "training_paired_images")
    if survey.sections or paired:
        _take_training(about, path, survey, taken, paired)
        survey.split = f"as {path.name} lists volumes for training and pairs for validation and test"


def _take_training(
    about: dict[str, Any], path: Path, survey: Survey, taken: dict[str, str], paired: list[tuple[str, str]]
) -> None:
    here = {entry["image"]: entry for entry in survey.volumes}
    places = [*(_place(item, path, "training") for item in about["training"]), *chain.from_iterable(paired)]
    listed = [here[place] for place in dict.fromkeys(places) if place in here]
    kept = {entry["image"]: entry for entry in listed if entry["subject"] not in taken}
    if len(kept) < len(listed):
        message = f"{len(listed) - len(kept):,} volumes of 'training' are also for validation or test, and left there"
        survey.findings.append(info("held_out", message))
    survey.sections |= {entry["case"]: "training" for entry in kept.values()}
    _list_pairs(survey, "training", paired, kept)
    unused = [entry["case"] for entry in survey.volumes if entry["case"] not in survey.sections]
    if unused:
        message = f"{len(unused):,} volumes are in no pair and not for training, and left out: {some_names(unused)}"
        survey.findings.append(info("left_out", message))


def _list_pairs(survey: Survey, part: str, pairs: list[tuple[str, str]], known: dict[str, dict[str, Any]]) -> None:
    """The pairs of a section of which both volumes are known."""
    rows = [[known[place]["case"] for place in pair] for pair in pairs if set(pair) <= known.keys()]
    if rows:
        survey.pairs[part] = {"how": "listed", "pairs": rows}


READER = RegistrationSet("learn2reg", _look)
