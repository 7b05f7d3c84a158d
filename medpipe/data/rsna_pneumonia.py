"""Reader of the RSNA Pneumonia Detection Challenge, in the layout that Kaggle distributes.

    stage_2_train_images/<patientId>.dcm
    stage_2_test_images/<patientId>.dcm       (no labels)
    stage_2_train_labels.csv                  patientId, x, y, width, height, Target: one row per box
    stage_2_detailed_class_info.csv           optional: patientId, class: one row per box

A ``patientId`` names an image: every image is taken as a patient. The images are from NIH ChestX-ray14, where
a patient may have several.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medpipe.errors import InputDataError

from .dicom_folders import compare_names, find_dicom_files, read_header_entries
from .findings import Finding, error, info, warning
from .manifests import load_manifest
from .names import some_names
from .splits import Fractions, check_fractions, split_by_patient
from .surveys import note_look_alike, refuse_errors, run_survey
from .tables import read_columns

__all__ = ["CLASSES", "NAME", "check", "prepare"]

NAME = "rsna_pneumonia"
LABELS_TABLE, CLASSES_TABLE = "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"
TRAIN_FOLDER, TEST_FOLDER = "stage_2_train_images", "stage_2_test_images"
CLASSES = ("Normal", "No Lung Opacity / Not Normal", "Lung Opacity")
"""The detailed classes; only the last is positive."""

Box = tuple[float, float, float, float]
Entry = dict[str, Any]


@dataclass
class _Survey:
    """What lies in a folder: everything that both the check and the datalist are made from."""

    findings: list[Finding] = field(default_factory=list)
    rows: int = 0  # of the table of labels
    boxes: dict[str, list[Box]] = field(default_factory=dict)  # image -> its boxes, none where Target is 0
    classes: dict[str, str] = field(default_factory=dict)  # image -> its detailed class
    files: dict[str, Path] = field(default_factory=dict)  # image -> file
    labelled: list[Entry] = field(default_factory=list)
    unlabelled: list[Entry] = field(default_factory=list)
    marker: dict[str, Any] | None = None  # of a look-alike


def check(root: Path) -> list[Finding]:
    """Compare the folder ``root`` with the published layout.

    Errors: no table, no images, a table without its columns, rows that hold no box although their target is 1,
    two files of one name, unreadable headers. Warnings: images listed but not on disk, training images not
    listed, contradictory rows, classes that contradict the target, boxes that leave the image. Differences from
    the published counts are for information, because subsets are legitimate.
    """
    return _survey(Path(root)).findings


def prepare(root: Path, *, seed: int = 0, fractions: Fractions = (0.7, 0.1, 0.2)) -> dict[str, Any]:
    """Make a datalist of the folder ``root``: one entry per image, with all its boxes.

    The detailed class of an image is its ``finding``. The labelled images are divided (the published test
    images have no labels); images without labels are listed under ``unlabelled``.

    Args:
        root: the folder with ``stage_2_train_images``.
        seed: of the division.
        fractions: of the images, for training, validation and test.

    Raises:
        InputDataError: the check finds an error.
        RequestError: the fractions do not add up to 1.
    """
    check_fractions(fractions)
    survey = _survey(Path(root))
    refuse_errors(root, survey.findings)
    manifest = load_manifest(NAME)
    present = f"{len(survey.labelled):,} of the {len(survey.boxes):,} images listed in {LABELS_TABLE} are on disk"
    shown = "/".join(f"{fraction:g}" for fraction in fractions)
    return {
        "name": NAME,
        "description": f"{manifest['title']}; {present}",
        "generated": survey.marker is not None,
        "split": f"labelled images, each taken as a patient, training/validation/test {shown}, seed {seed}",
        "labels": manifest["labels"],
        "tensorImageSize": "2D",
        **split_by_patient(survey.labelled, seed=seed, fractions=fractions),
        "unlabelled": survey.unlabelled,
    }


def _survey(root: Path) -> _Survey:
    return run_survey(root, _Survey(), (note_look_alike, _read_labels, _read_classes, _read_images, _count))


def _read_labels(root: Path, survey: _Survey) -> Iterator[Finding]:
    path = root / LABELS_TABLE
    if not path.is_file():
        found = some_names([file.name for file in root.glob("*.csv")]) or "none"
        yield error("no_table", f"no {LABELS_TABLE} in {root}; CSV files there: {found}")
        return
    boxes: dict[str, list[Box]] = defaultdict(list)
    negative = set()
    for image, *values, target in read_columns(path, ["patientId", "x", "y", "width", "height", "Target"]):
        survey.rows += 1
        drawn = boxes[image]
        if target == "1":
            drawn.append(_box(path, image, values))
        elif target == "0" and not any(values):
            negative.add(image)
        else:
            row = ",".join([image, *values, target])
            raise InputDataError(f"{path}: the row {row!r} has the target {target!r}; expected 0 without a box, or 1")
    survey.boxes = dict(boxes)
    both = {image for image in negative if boxes[image]}
    if both:
        message = f"{len(both):,} images are listed both with target 0 and with a box, which counts: {some_names(both)}"
        yield warning("contradictory_rows", message)


def _box(path: Path, image: str, values: list[str]) -> Box:
    try:
        x, y, width, height = map(float, values)
    except ValueError:
        x = y = width = height = math.nan
    if not (all(map(math.isfinite, (x, y, width, height))) and min(width, height) > 0):
        raise InputDataError(f"{path}: {image} has the target 1 and the box {values}; expected x, y, width, height")
    return x, y, width, height


def _read_classes(root: Path, survey: _Survey) -> Iterator[Finding]:
    path = root / CLASSES_TABLE
    if not path.is_file():
        yield warning("no_classes", f"no {CLASSES_TABLE} in {root}; the datalist says no 'finding'")
        return
    classes: dict[str, set[str]] = defaultdict(set)
    for image, name in read_columns(path, ["patientId", "class"]):
        classes[image].add(name)
    unknown = {name for names in classes.values() for name in names} - set(CLASSES)
    if unknown:
        yield warning("unknown_class", f"{path.name} has classes that are none of the three: {some_names(unknown)}")
    several = {image for image, names in classes.items() if len(names) > 1}
    if several:
        yield warning("contradictory_rows", f"{len(several):,} images have several classes: {some_names(several)}")
    survey.classes = {image: names.pop() for image, names in classes.items() if image not in several}
    denied = {
        image
        for image, name in survey.classes.items()
        if image in survey.boxes and (name == CLASSES[-1]) != bool(survey.boxes[image])
    }
    if denied:
        count = f"{len(denied):,} images have a class that contradicts their target"
        yield warning("class_against_target", f"{count}; the target counts: {some_names(denied)}")


def _read_images(root: Path, survey: _Survey) -> Iterator[Finding]:
    survey.files, findings = find_dicom_files(root, (TRAIN_FOLDER, TEST_FOLDER))
    yield from findings
    if not (survey.boxes and survey.files):
        return
    train = {image for image, path in survey.files.items() if path.relative_to(root).parts[0] == TRAIN_FOLDER}
    yield from compare_names(LABELS_TABLE, survey.boxes, train | (survey.files.keys() & survey.boxes.keys()))
    entries, findings = read_header_entries(root, survey.files)
    yield from findings
    outside = set()
    for image, entry in entries.items():
        if image not in survey.boxes:
            survey.unlabelled.append(entry)
            continue
        boxes = survey.boxes[image]
        if any(x < 0 or y < 0 or x + w > entry["columns"] or y + h > entry["rows"] for x, y, w, h in boxes):
            outside.add(image)
        shown = {"finding": survey.classes[image]} if image in survey.classes else {}
        truth = {"label": int(bool(boxes)), "localized": True, "boxes": [list(box) for box in boxes]}
        survey.labelled.append(entry | truth | shown)
    if outside:
        yield warning("box_outside", f"{len(outside):,} images have a box that leaves them: {some_names(outside)}")


def _count(root: Path, survey: _Survey) -> Iterator[Finding]:
    """The tables against the published counts."""
    if not survey.boxes or survey.marker is not None:
        return
    published = {key: count["value"] for key, count in load_manifest(NAME)["counts"].items()}
    here = {
        "rows": survey.rows,
        "images": len(survey.boxes),
        "positives": sum(map(bool, survey.boxes.values())),
        "boxes": sum(map(len, survey.boxes.values())),
    }
    if survey.classes:
        here |= {name: list(survey.classes.values()).count(name) for name in CLASSES}
    parts = [f"{value:,} of {published[key]:,} {key}" for key, value in here.items()]
    message = f"the tables list {', '.join(parts)} of the published tables"
    more = any(value > published[key] for key, value in here.items())
    yield warning("more_than_published", message) if more else info("counts", message)
