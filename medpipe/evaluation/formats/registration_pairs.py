"""Pairs of images with the field that registers them: a table, or the layout of Learn2Reg.

A table (CSV, or JSON with a list of objects) has one row per pair; paths are relative to it:

    pair             name, must be there
    field            displacement field or transform (see medpipe.io.displacements); empty: the pair has no result
    fixed, moving    the images, for pictures
    fixed_labels, moving_labels, fixed_points, moving_points
    fixed_subject, moving_subject    whose images these are; ``subject`` where both are of one
    seconds, memory_mb               what the registration took

What describes the pairs and what a method gave may stand in two tables, joined by ``pair``; or the fields lie in a folder,
named by the pair. Learn2Reg's layout is its dataset's JSON file, and a folder of disp_FFFF_MMMM.nii.gz or .npz.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from medpipe.errors import InputDataError
from medpipe.evaluation.formats.json_values import read_json
from medpipe.predictions.tables import numbered_rows

__all__ = ["RegistrationPair", "check_pair", "read_label_names", "read_registration_pairs"]

_FILES = ("field", "fixed", "moving", "fixed_labels", "moving_labels", "fixed_points", "moving_points")
_OTHERS = ("pair", "fixed_subject", "moving_subject", "subject", "seconds", "memory_mb")
_SUFFIXES = ("_disp.nii.gz", "_Warp.nii.gz", "_disp.nii", ".nii.gz", ".nii", ".npz", ".mha", ".nrrd", ".h5", ".tfm")
_SECTIONS = ("registration_val", "registration_test")
_IDENTITY = re.compile(r"(\d{3,})(?:_\d{4})?\.nii(?:\.gz)?$")


@dataclass(frozen=True)
class RegistrationPair:
    """A pair and its files.

    Attributes:
        name: Of the pair.
        source: Where it is listed, for messages.
        files: By column: field, fixed, moving, fixed_labels, moving_labels, fixed_points, moving_points.
        subjects: Whose the fixed and the moving image are.
        seconds, memory_mb: What the registration took; NaN where not known.
        reason: Why there is no field.
    """

    name: str
    source: str
    files: Mapping[str, Path]
    subjects: tuple[str, str]
    seconds: float = float("nan")
    memory_mb: float = float("nan")
    reason: str = "no field"

    def where(self, column: str) -> str:
        """The place of a file, for messages."""
        return f"{self.source}, pair '{self.name}', column '{column}'"


def read_registration_pairs(fields: Path, truth: Path | None = None) -> list[RegistrationPair]:
    """The pairs to score.

    Args:
        fields: A table of pairs, or a folder of fields.
        truth: A table that describes the pairs, or a dataset file of Learn2Reg; may be left out where ``fields`` is a
            table that holds everything.

    Raises:
        InputDataError: A table or a file is missing, a pair stands twice or is not in the truth, or has neither labels
            nor landmarks.
    """
    if truth is not None and truth.suffix.lower() == ".json" and isinstance(read_json(truth), dict):
        pairs = _learn2reg(fields, truth)
    elif fields.is_dir():
        if truth is None:
            raise InputDataError(f"'{fields}' is a folder of fields; give the table of their pairs after it")
        pairs = [_with_field(pair, fields) for pair in _table(truth)]
    else:
        pairs = _table(fields) if truth is None else _joined(_table(fields), _table(truth), fields, truth)
    if not pairs:
        raise InputDataError(f"'{truth or fields}' lists no pair")
    for pair in pairs:
        check_pair(pair)
    return pairs


def _table(path: Path) -> list[RegistrationPair]:
    pairs: dict[str, RegistrationPair] = {}
    for line, row in numbered_rows(path, ["pair"]):
        source = f"table '{path}', line {line}"
        _check_columns(path, row)
        if not row["pair"] or row["pair"] in pairs:
            raise InputDataError(f"{source}: pair '{row['pair']}' {'stands twice' if row['pair'] else 'has no name'}")
        files = {name: path.parent / row[name] for name in _FILES if row.get(name)}
        both = row.get("subject", "")
        subjects = row.get("fixed_subject") or both, row.get("moving_subject") or both
        seconds, memory = (_number(source, row, name) for name in ("seconds", "memory_mb"))
        pairs[row["pair"]] = RegistrationPair(row["pair"], source, files, subjects, seconds, memory)
    return [_named_subjects(pair) for pair in pairs.values()]


def _check_columns(path: Path, row: Mapping[str, str]) -> None:
    for name in row:
        if name not in _FILES + _OTHERS:
            near = difflib.get_close_matches(name.lower(), _FILES + _OTHERS, n=1, cutoff=0.8)
            if near:
                raise InputDataError(f"table '{path}' has a column '{name}'; did you mean '{near[0]}'?")


def _named_subjects(pair: RegistrationPair) -> RegistrationPair:
    """Images of nobody named are taken as of a subject each, of this pair alone."""
    fixed, moving = pair.subjects
    alone = f"pair {pair.name}"
    subjects = fixed or (f"fixed of {alone}" if moving else alone), moving or (f"moving of {alone}" if fixed else alone)
    return RegistrationPair(pair.name, pair.source, pair.files, subjects, pair.seconds, pair.memory_mb)


def _number(source: str, row: Mapping[str, str], name: str) -> float:
    text = row.get(name, "")
    try:
        value = float(text) if text else float("nan")
    except ValueError:
        value = -1.0
    if value < 0 or value == float("inf"):
        raise InputDataError(f"{source}, column '{name}': expected a number of at least 0, found '{text}'")
    return value


def _joined(
    fields: list[RegistrationPair], truth: list[RegistrationPair], fields_path: Path, truth_path: Path
) -> list[RegistrationPair]:
    known = {pair.name: pair for pair in truth}
    given = {pair.name: pair for pair in fields}
    for name, pair in given.items():
        if name not in known:
            raise InputDataError(f"{pair.source}: pair '{name}' is not in '{truth_path.name}'")
        changed = [key for key in pair.files if key != "field" and pair.files[key] != known[name].files.get(key)]
        if changed:
            raise InputDataError(
                f"{pair.source}, column '{changed[0]}': '{truth_path.name}' describes the pairs; leave the column out"
            )
    if not any("field" in pair.files for pair in fields):
        raise InputDataError(f"table '{fields_path}' names no field; it needs a column 'field'")
    pairs = []
    for name, pair in known.items():
        own = given.get(name)
        files = {key: path for key, path in pair.files.items() if key != "field"}
        if own is not None and "field" in own.files:
            files["field"] = own.files["field"]
        seconds, memory = (own.seconds, own.memory_mb) if own else (float("nan"), float("nan"))
        pairs.append(RegistrationPair(name, own.source if own else pair.source, files, pair.subjects, seconds, memory))
    return pairs


def _with_field(pair: RegistrationPair, folder: Path) -> RegistrationPair:
    found = [folder / f"{pair.name}{suffix}" for suffix in _SUFFIXES if (folder / f"{pair.name}{suffix}").is_file()]
    if len(found) != 1:
        what = f"'{found[0].name}' and '{found[1].name}'" if found else f"no '{pair.name}{_SUFFIXES[0]}' or the like"
        raise InputDataError(f"{pair.source}: folder '{folder}' holds {what}; expected one field named by the pair")
    files = {**pair.files, "field": found[0]}
    return RegistrationPair(pair.name, pair.source, files, pair.subjects, pair.seconds, pair.memory_mb)


def _learn2reg(folder: Path, dataset: Path) -> list[RegistrationPair]:
    content = read_json(dataset)
    section = next((name for name in _SECTIONS if content.get(name)), None)
    if section is None:
        raise InputDataError(
            f"'{dataset}' lists no pairs: it needs '{_SECTIONS[0]}' with objects of 'fixed' and 'moving'"
        )
    if not folder.is_dir():
        raise InputDataError(f"'{folder}' is no folder; expected one with disp_FFFF_MMMM.nii.gz for '{dataset.name}'")
    return [
        _learn2reg_pair(folder, dataset, section, number, entry) for number, entry in enumerate(content[section], 1)
    ]


def _learn2reg_pair(folder: Path, dataset: Path, section: str, number: int, entry: Any) -> RegistrationPair:
    source = f"'{dataset}', {section}, entry {number}"
    if not isinstance(entry, dict) or not all(isinstance(entry.get(side), str) for side in ("fixed", "moving")):
        raise InputDataError(f"{source}: expected an object with 'fixed' and 'moving'")
    files, identities = {}, []
    for side in ("fixed", "moving"):
        name = PurePosixPath(entry[side])
        identity = _IDENTITY.search(name.name)
        if identity is None:
            raise InputDataError(
                f"{source}: '{name.name}' does not end with the number of its case, as NAME_0001_0000.nii.gz"
            )
        identities.append(identity.group(1).zfill(4))
        files[side] = dataset.parent / name
        files |= _beside(dataset.parent, name, side)
    stem = f"disp_{identities[0]}_{identities[1]}"
    field = next(
        (folder / f"{stem}{end}" for end in (".nii.gz", ".npz", ".nii") if (folder / f"{stem}{end}").is_file()), None
    )
    if field is None:
        raise InputDataError(f"{source}: folder '{folder}' has no {stem}.nii.gz or {stem}.npz")
    pair = f"{identities[0]}_{identities[1]}"
    return RegistrationPair(pair, source, {**files, "field": field}, (identities[0], identities[1]))


def _beside(root: Path, image: PurePosixPath, side: str) -> dict[str, Path]:
    """Labels and landmarks, in folders named as that of the images."""
    folder, stem = image.parent.name, image.name.removesuffix(".gz").removesuffix(".nii")
    found = {}
    for kind, word, name in (
        ("labels", "labels", image.name),
        ("points", "keypoints", f"{stem}.csv"),
        ("points", "landmarks", f"{stem}.csv"),
    ):
        path = root / image.parent.parent / folder.replace("images", word) / name
        if folder.startswith("images") and path.is_file():
            found[f"{side}_{kind}"] = path
    return found


def check_pair(pair: RegistrationPair) -> None:
    """Look whether the files are there, and whether something says how good the registration is.

    Raises:
        InputDataError: It is not so; the message names the column.
    """
    for column, path in pair.files.items():
        if not path.is_file():
            raise InputDataError(f"{pair.where(column)}: '{path}' does not exist")
    for kind in ("labels", "points"):
        sides = [side for side in ("fixed", "moving") if f"{side}_{kind}" in pair.files]
        if len(sides) == 1:
            other = "moving" if sides == ["fixed"] else "fixed"
            raise InputDataError(
                f"{pair.where(f'{other}_{kind}')}: empty, but '{sides[0]}_{kind}' is given; give both or none"
            )
    if not {"fixed_labels", "fixed_points"} & pair.files.keys():
        raise InputDataError(
            f"{pair.source}, pair '{pair.name}': neither labels nor landmarks; nothing says how good it is"
        )
    if "fixed_labels" not in pair.files and not {"fixed", "moving"} <= pair.files.keys():
        raise InputDataError(
            f"{pair.source}, pair '{pair.name}': landmarks need the images 'fixed' and 'moving', for their grids"
        )


def read_label_names(text: str) -> dict[int, str]:
    """Labels with their names, from ``1=anterior,2=posterior``, from ``1,2``, or from a table with label and name.

    Raises:
        InputDataError: Neither of these.
    """
    if Path(text).is_file():
        rows = [(row["label"], row.get("name") or row["label"]) for _, row in numbered_rows(Path(text), ["label"])]
    else:
        rows = [(part.partition("=")[0].strip(), part.partition("=")[2].strip()) for part in text.split(",")]
    names: dict[int, str] = {}
    for label, name in rows:
        if not label.isdecimal() or not 0 < int(label) <= 65535 or int(label) in names:
            raise InputDataError(
                f"--labels: '{label}' is no label, or stands twice; expected a table with label and name, or as "
                "1=anterior,2=posterior"
            )
        names[int(label)] = name or label
    twice = [name for name in names.values() if list(names.values()).count(name) > 1]
    if twice:
        raise InputDataError(f"--labels: two labels have the name '{twice[0]}'; names tell structures apart")
    return names
