"""What all readers of registration data sets share: a survey of the folder, its check, and its datalist.

A reader is a ``RegistrationSet``: the name of a manifest and a function that surveys a folder. The survey lists volumes
and says which sections and pairs were published; headers are read here, in the same way for every layout.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.errors import InputDataError

from .findings import Finding, error, info, warning
from .lookalikes.marker import read_marker
from .manifests import load_manifest
from .names import some_names
from .registration_datalist import REFERENCE
from .splits import PARTS, Fractions, check_fractions, split_by_patient
from .surveys import refuse_errors
from .volume_files import VolumeHeader, inside_hdf5, read_volume_header

__all__ = ["RegistrationSet", "Survey", "by_number", "files_below", "read_json_table"]

Entry = dict[str, Any]
_SHIFT = 0.1
"""Voxels by which a label may lie beside its image before a warning says so: rounding of headers stays below."""


@dataclass
class Survey:
    """What lies in a folder.

    Attributes:
        findings: What a check says.
        volumes: Entries of a registration datalist.
        sections: Case -> "training", "validation", "test" or "reference", where published; the others are divided by
            subject if nothing is published, and left out if something is.
        pairs: Section -> rule of the datalist.
        labels: Value -> name; empty for the manifest's.
        counts: Key of the manifest's counts -> number found.
        split: How the published sections were made, for the datalist.
    """

    findings: list[Finding] = field(default_factory=list)
    volumes: list[Entry] = field(default_factory=list)
    sections: dict[str, str] = field(default_factory=dict)
    pairs: dict[str, dict[str, Any]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    split: str = ""


@dataclass(frozen=True)
class RegistrationSet:
    """The reader of one data set.

    Attributes:
        name: Of its manifest.
        look: Surveys a folder; headers of volumes are left to the check.
    """

    name: str
    look: Callable[[Path], Survey]

    def check(self, root: Path) -> list[Finding]:
        """Compare the folder ``root`` with the published layout.

        Errors: no volume, damaged files, volumes that are not 3-D, labels of another size than their image.
        Warnings: files that are listed and missing or there and not listed, labels that lie beside their image.
        """
        return self._survey(Path(root)).findings

    def prepare(self, root: Path, *, seed: int = 0, fractions: Fractions = (0.7, 0.1, 0.2)) -> dict[str, Any]:
        """Make a registration datalist of the folder ``root``.

        Published sections are kept. Otherwise subjects are divided at random; those without any label, which nothing
        can be scored on, all go to training where others have labels.

        Args:
            root: The folder as distributed.
            seed: Of the division.
            fractions: Of the subjects, for training, validation and test.

        Raises:
            InputDataError: The check finds an error.
            RequestError: The fractions do not add up to 1.
        """
        check_fractions(fractions)
        survey = self._survey(Path(root))
        refuse_errors(root, survey.findings)
        manifest, marker = load_manifest(self.name), read_marker(Path(root))
        shown = "/".join(f"{fraction:g}" for fraction in fractions)
        return {
            "name": self.name,
            "description": f"{manifest['title']}; {len(survey.volumes):,} volumes",
            "generated": marker is not None,
            "split": survey.split or f"by subject, training/validation/test {shown}, seed {seed}",
            "labels": survey.labels or {value: name for value, name in manifest["labels"].items() if value != "0"},
            "pairs": {part: survey.pairs.get(part, {"how": "all"}) for part in PARTS},
            **_sections(survey, seed, fractions),
        }

    def _survey(self, root: Path) -> Survey:
        try:
            survey = self.look(root)
            marker = read_marker(root)
        except InputDataError as fault:
            return Survey([error("layout", str(fault))])
        if marker is not None:
            survey.findings.insert(0, info("look_alike", f"{root} is a look-alike: {marker['statement']}"))
        if not survey.volumes and not any(finding.severity == "error" for finding in survey.findings):
            survey.findings.append(error("no_volumes", f"no volume of {self.name} is in {root}"))
        survey.findings += _repeated(survey.volumes)
        survey.findings += _header_findings(root, survey.volumes)
        if marker is None:
            survey.findings += _count_findings(self.name, survey.counts)
        return survey


def files_below(root: Path, pattern: str) -> Iterator[tuple[Path, re.Match[str]]]:
    """Files below ``root`` whose name matches ``pattern`` as a whole, in order of numbers.

    Hidden files are left out: archives made on a Mac carry a ``._name`` beside every file, which is no volume.
    """
    for path in by_number(root.rglob("*")):
        match = re.fullmatch(pattern, path.name)
        if match and not path.name.startswith(".") and path.is_file():
            yield path, match


def read_json_table(path: Path, schema: dict[str, Any]) -> dict[str, Any]:
    """Read a JSON object that a data set comes with.

    Args:
        path: The file.
        schema: JSON schema of what is used of it.

    Raises:
        InputDataError: Not readable, or of another form; the message names the place in the file.
    """
    import jsonschema  # slow to import, and only some layouts have such a file

    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as fault:
        raise InputDataError(f"{path}: not readable as JSON: {fault}") from fault
    schema = {"type": "object", **schema}
    wrong = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(table))
    if wrong is not None:
        raise InputDataError(f"{path}: {wrong.json_path}: {wrong.message[:200]}")
    return dict(table)


def by_number(paths: Iterable[Path]) -> list[Path]:
    """Paths in the order of the numbers in them: 2 comes before 10."""

    def key(path: Path) -> list[tuple[int, int, str]]:
        parts = re.split(r"(\d+)", path.as_posix())
        return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]

    return sorted(paths, key=key)


def _sections(survey: Survey, seed: int, fractions: Fractions) -> dict[str, list[Entry]]:
    if survey.sections:
        of = survey.sections
        known = {part: [entry for entry in survey.volumes if of.get(entry["case"]) == part] for part in PARTS}
        reference = [entry for entry in survey.volumes if of.get(entry["case"]) == REFERENCE]
        return known | ({REFERENCE: reference} if reference else {})
    labelled = {entry["subject"] for entry in survey.volumes if "label" in entry}
    divided = [entry for entry in survey.volumes if not labelled or entry["subject"] in labelled]
    rows = [{"patient": entry["subject"], "label": 0, "case": entry["case"]} for entry in divided]
    parts = split_by_patient(rows, seed=seed, fractions=fractions)
    part_of = {row["case"]: part for part, chosen in parts.items() for row in chosen}
    return {
        part: [entry for entry in survey.volumes if part_of.get(entry["case"], "training") == part] for part in PARTS
    }


def _repeated(volumes: list[Entry]) -> Iterator[Finding]:
    places: dict[str, list[str]] = {}
    for entry in volumes:
        places.setdefault(entry["case"], []).append(entry["image"])
    for case, files in places.items():
        if len(files) > 1:
            yield error("repeated_case", f"{len(files)} files are the volume '{case}': {', '.join(sorted(files))}")


def _header_findings(root: Path, volumes: list[Entry]) -> Iterator[Finding]:
    unplaced, beside = [], []
    for entry in volumes:
        if inside_hdf5(entry["image"]):
            continue  # those readers look inside the file themselves
        try:
            header = read_volume_header(root / entry["image"])
            label = read_volume_header(root / entry["label"]) if "label" in entry else None
        except InputDataError as fault:
            yield error("unreadable", str(fault))
            continue
        if len(header.shape) != 3:
            yield error("not_3d", f"{entry['image']} has the shape {header.shape}; expected one volume of 3 dimensions")
        elif label is not None and label.shape != header.shape:
            yield error(
                "label_size", f"{entry['label']} has the shape {label.shape}, {entry['image']} has {header.shape}"
            )
        elif label is not None and header.oriented and label.oriented and _apart(header, label) > _SHIFT:
            beside.append(entry["case"])
        if not header.oriented:
            unplaced.append(entry["case"])
    if beside:
        yield warning(
            "label_place",
            f"{len(beside):,} labels do not lie where their images do, by their headers: {some_names(beside)}",
        )
    if unplaced:
        yield info(
            "no_orientation",
            f"{len(unplaced):,} files do not say how they lie in the patient: {some_names(unplaced)}",
        )


def _apart(first: VolumeHeader, second: VolumeHeader) -> float:
    """Largest distance of equal corners, in voxels of the first grid's smallest spacing."""
    ends = np.array([0, *(size - 1 for size in first.shape)])
    corners = np.array([[x, y, z, 1] for x in ends[[0, 1]] for y in ends[[0, 2]] for z in ends[[0, 3]]], float)
    distance = np.linalg.norm(corners @ (first.affine - second.affine).T, axis=1).max()
    return float(distance / np.linalg.norm(first.affine[:3, :3], axis=0).min())


def _count_findings(name: str, found: dict[str, int]) -> Iterator[Finding]:
    published = {key: count["value"] for key, count in load_manifest(name)["counts"].items()}
    here = {key: value for key, value in found.items() if key in published}
    if not any(here.values()):
        return
    message = "found " + ", ".join(f"{value:,} of {published[key]:,} {key}" for key, value in here.items())
    more = any(value > published[key] for key, value in here.items())
    yield warning("more_than_published", message) if more else info("counts", message)
