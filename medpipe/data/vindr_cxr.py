"""Reader of VinDr-CXR, in the layouts of Kaggle's VinBigData challenge and of PhysioNet.

    train.csv, train/<image_id>.dicom                       Kaggle; test/<image_id>.dicom has no labels
    annotations/annotations_train.csv, train/...            PhysioNet, the same training images
    annotations/annotations_test.csv, test/...              PhysioNet, one consensus of five readers
    annotations/image_labels_train.csv, ..._test.csv        PhysioNet, optional: findings per image and reader

A training image was read by three radiologists, each with boxes of their own: one row per box, or a row with
``No finding`` and an empty box. Boxes are the corners x_min, y_min, x_max, y_max in pixels of the file. Images
carry no patient, so every image is taken as one.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medpipe.errors import InputDataError, RequestError

from .box_fusion import OVERLAP, fuse_boxes
from .dicom_folders import compare_names, find_dicom_files, read_header_entries
from .findings import Finding, error, info, warning
from .manifests import load_manifest
from .names import nearest_names, some_names
from .splits import Fractions, check_fractions, split_by_patient
from .surveys import note_look_alike, refuse_errors, run_survey
from .tables import read_columns, read_lines

__all__ = ["FINDINGS", "NAME", "NO_FINDING", "check", "prepare"]

NAME = "vindr_cxr"
FINDINGS = (
    "Aortic enlargement",
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Consolidation",
    "ILD",
    "Infiltration",
    "Lung Opacity",
    "Nodule/Mass",
    "Other lesion",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumothorax",
    "Pulmonary fibrosis",
)
"""The 14 classes of Kaggle's table, in the order of their numbers."""

NO_FINDING = "No finding"  # class 14 of Kaggle's table
READERS = 3  # of every training image
_CONSENSUS = "consensus"  # the reader of the test table
_KAGGLE, _PHYSIONET = "train.csv", "annotations/annotations_train.csv"
_PHYSIONET_TEST = "annotations/annotations_test.csv"
_IMAGE_LABELS = {_PHYSIONET: "image_labels_train.csv", _PHYSIONET_TEST: "image_labels_test.csv"}
_CORNERS = ["x_min", "y_min", "x_max", "y_max"]

Box = tuple[float, float, float, float]
Entry = dict[str, Any]


@dataclass
class _Image:
    """What the readers of one image said."""

    readers: set[str] = field(default_factory=set)
    boxes: dict[str, list[tuple[str, Box]]] = field(default_factory=lambda: defaultdict(list))  # class -> reader, box


@dataclass
class _Survey:
    """What lies in a folder: everything that both the check and the datalist are made from."""

    findings: list[Finding] = field(default_factory=list)
    table: str = ""  # of the training images
    rows: Counter[str] = field(default_factory=Counter)  # class -> rows of the training table
    train: dict[str, _Image] = field(default_factory=dict)
    test: dict[str, _Image] = field(default_factory=dict)  # PhysioNet only
    files: dict[str, Path] = field(default_factory=dict)  # image -> file
    entries: dict[str, Entry] = field(default_factory=dict)  # image -> entry without truth
    marker: dict[str, Any] | None = None  # of a look-alike


def check(root: Path) -> list[Finding]:
    """Compare the folder ``root`` with the published layouts.

    Errors: no table or those of both layouts, a table without its columns, rows without a sound box, no
    images, two files of one name, unreadable headers, an image in the training and in the test table. Warnings:
    images listed but not on disk, files not listed, images not read by three readers, image labels that
    contradict the boxes, boxes that leave the image. Findings other than the 14 and differences from the
    published counts are for information, because PhysioNet names more and subsets are legitimate.
    """
    return _survey(Path(root)).findings


def prepare(
    root: Path,
    *,
    label: str = "Nodule/Mass",
    seed: int = 0,
    fractions: Fractions = (0.7, 0.1, 0.2),
    training_readers: int = 1,
    evaluation_readers: int = 2,
) -> dict[str, Any]:
    """Make a datalist of the folder ``root`` for one finding.

    The boxes of the three readers are fused (:func:`medpipe.data.box_fusion.fuse_boxes`): a lesion is a group
    of overlapping boxes and has their mean as its box. Where at least N readers marked the finding anywhere the
    image is positive, and its lesions are the groups with boxes of at least N readers; where they agree on no
    place it is positive and not localized. N is ``training_readers`` for training and ``evaluation_readers``
    for validation and test. So an image that only a minority marked is negative there; ``marked_by`` says for
    every image how many readers marked the finding, and the description how many such images there are.

    PhysioNet's test images are the test part, with the boxes of the consensus as they are; its training images
    are divided into training and validation as ``fractions[0]`` to ``fractions[1]``. Otherwise the training
    images are divided into all three parts, and the images of ``test`` are listed under ``unlabelled``.

    Args:
        root: the folder with the tables and the images.
        label: one of ``FINDINGS``.
        seed: of the division.
        fractions: of the images, for training, validation and test.
        training_readers: readers who must agree in the training part, 1 to 3.
        evaluation_readers: readers who must agree in validation and test, 1 to 3.

    Raises:
        InputDataError: the check finds an error.
        RequestError: an unknown label, a number of readers out of range, or fractions that do not add up to 1
            or leave nothing for training and validation although the test table is there.
    """
    if label not in FINDINGS:
        raise RequestError(f"{NAME} has no label {label!r}; {nearest_names(label, FINDINGS)}")
    if not {training_readers, evaluation_readers} <= set(range(1, READERS + 1)):
        raise RequestError(f"{training_readers} and {evaluation_readers} readers; expected numbers from 1 to {READERS}")
    check_fractions(fractions)
    survey = _survey(Path(root))
    refuse_errors(root, survey.findings)
    split, parts = _split(survey, label, seed, fractions, evaluation_readers)
    parts["training"] = [_labelled(survey, entry["case"], label, training_readers) for entry in parts["training"]]
    manifest = load_manifest(NAME)
    listed = survey.train.keys() | survey.test.keys()
    present = f"{sum(map(len, parts.values())):,} of the {len(listed):,} listed images are on disk"
    fusion = (
        f"lesions are the means of boxes with IoU > {OVERLAP} by average linkage, "
        f"of at least {training_readers} of {READERS} readers for training, {evaluation_readers} for evaluation"
    )
    return {
        "name": NAME,
        "description": f"{manifest['title']}, {label}; {present}; {fusion}; {_doubts(parts)}",
        "generated": survey.marker is not None,
        "split": split,
        "labels": {"0": f"no {label}", "1": label},
        "tensorImageSize": "2D",
        **parts,
        "unlabelled": [entry for image, entry in survey.entries.items() if image not in listed],
    }


def _split(
    survey: _Survey, label: str, seed: int, fractions: Fractions, readers: int
) -> tuple[str, dict[str, list[Entry]]]:
    """How the split is made, in words, and the split, with the truth of the evaluation."""
    shown = "/".join(f"{fraction:g}" for fraction in fractions)
    by_image = "images, each taken as a patient,"
    train = [_labelled(survey, image, label, readers) for image in survey.entries if image in survey.train]
    if not survey.test:
        words = f"labelled {by_image} training/validation/test {shown}, seed {seed}"
        return words, split_by_patient(train, seed=seed, fractions=fractions)
    learning = fractions[0] + fractions[1]
    if learning == 0:
        raise RequestError(
            f"the fractions are {shown}, but {_PHYSIONET_TEST} says which images are for the test; "
            "give the training and validation fractions for the others"
        )
    parts = split_by_patient(train, seed=seed, fractions=(fractions[0] / learning, fractions[1] / learning, 0))
    parts["test"] = [_labelled(survey, image, label, 1) for image in survey.entries if image in survey.test]
    shown = shown.rpartition("/")[0]
    return f"official test images; the other {by_image} training/validation {shown}, seed {seed}", parts


def _labelled(survey: _Survey, image: str, label: str, readers: int) -> Entry:
    """The entry of an image with the truth on which at least that many readers agree."""
    said = survey.train.get(image) or survey.test[image]
    drawn = said.boxes.get(label, [])
    marked_by = len({reader for reader, _ in drawn})
    boxes = [box for _, box in drawn]
    if image in survey.train:
        fused = fuse_boxes(boxes, [reader for reader, _ in drawn])
        boxes = [lesion.box for lesion in fused if lesion.readers >= readers]
    positive = marked_by >= readers
    return survey.entries[image] | {
        "label": int(positive),
        "localized": positive == bool(boxes),
        "boxes": [list(box) for box in boxes],
        "marked_by": marked_by,
    }


def _doubts(parts: dict[str, list[Entry]]) -> str:
    """How many images of the evaluation parts are neither clean nor certain, in words."""
    evaluation = [*parts["validation"], *parts["test"]]
    minority = sum(not entry["label"] and entry["marked_by"] > 0 for entry in evaluation)
    placeless = sum(not entry["localized"] for entry in evaluation)
    return (
        f"of {len(evaluation):,} images for evaluation {minority:,} are negative although a minority of readers "
        f"marked the finding, and {placeless:,} are positive without an agreed place"
    )


def _survey(root: Path) -> _Survey:
    return run_survey(root, _Survey(), (note_look_alike, _read_tables, _read_images, _count))


def _read_tables(root: Path, survey: _Survey) -> Iterator[Finding]:
    present = [name for name in (_KAGGLE, _PHYSIONET) if (root / name).is_file()]
    if len(present) != 1:
        held = "both" if present else "neither"
        message = f"{root} holds {held} {_KAGGLE} (of Kaggle) and {_PHYSIONET} (of PhysioNet); expected one of them"
        yield error("several_tables" if present else "no_table", message)
        return
    survey.table = present[0]
    yield from _read_annotations(root, survey.table, survey.train, survey.rows)
    strange = [image for image, said in survey.train.items() if len(said.readers) != READERS]
    if strange:
        count = f"{len(strange):,} images were not read by {READERS} readers"
        yield warning("number_of_readers", f"{count} in {survey.table}: {some_names(strange)}")
    if survey.table == _PHYSIONET and (root / _PHYSIONET_TEST).is_file():
        yield from _read_annotations(root, _PHYSIONET_TEST, survey.test, Counter())
    both = survey.train.keys() & survey.test.keys()
    if both:
        yield error("in_both_tables", f"{len(both):,} images are in both tables: {some_names(both)}")


def _read_annotations(root: Path, table: str, images: dict[str, _Image], rows: Counter[str]) -> Iterator[Finding]:
    """Collect what every reader said of every image; rows may come in any order."""
    path, others = root / table, Counter[str]()
    reader_column = [] if table == _PHYSIONET_TEST else ["rad_id"]
    for image, name, *values in read_columns(path, ["image_id", "class_name", *_CORNERS, *reader_column]):
        said = images.setdefault(image, _Image())
        reader = values[4] if reader_column else _CONSENSUS
        said.readers.add(reader)
        rows[name] += 1
        if name == NO_FINDING:
            continue
        said.boxes[name].append((reader, _box(path, image, name, values[:4])))
        others.update({name} - set(FINDINGS))
    if others:
        shown = ", ".join(f"{name} ({count:,})" for name, count in others.most_common(5))
        yield info("other_findings", f"{table} names findings that are none of the {len(FINDINGS)}: {shown}")
    yield from _compare_image_labels(path.parent / _IMAGE_LABELS.get(table, ""), images)


def _box(path: Path, image: str, name: str, corners: list[str]) -> Box:
    try:
        left, top, right, bottom = map(float, corners)
    except ValueError:
        left = top = right = bottom = math.nan
    if not (all(map(math.isfinite, (left, top, right, bottom))) and left < right and top < bottom):
        found = ", ".join(corners)
        raise InputDataError(f"{path}: {image} has {name} in the box {found!r}; expected {', '.join(_CORNERS)}")
    return left, top, right - left, bottom - top


def _compare_image_labels(path: Path, images: dict[str, _Image]) -> Iterator[Finding]:
    """Findings per image and reader against the boxes; images that only this table lists have none."""
    if not path.is_file():
        return
    header = read_lines(path)[0]
    names = [name for name in FINDINGS if name in header]
    reader_column = ["rad_id"] if "rad_id" in header else []
    denied = set()
    for image, *values in read_columns(path, ["image_id", *names, *reader_column]):
        reader = values[len(names)] if reader_column else _CONSENSUS
        said = images.setdefault(image, _Image())
        said.readers.add(reader)
        for name, value in zip(names, values, strict=False):
            if (value in ("1", "1.0")) != any(by == reader for by, _ in said.boxes.get(name, [])):
                denied.add(image)
    if denied:
        count = f"{len(denied):,} images have other findings in {path.name} than boxes"
        yield warning("label_against_box", f"{count}, which count: {some_names(denied)}")


def _read_images(root: Path, survey: _Survey) -> Iterator[Finding]:
    survey.files, findings = find_dicom_files(root, ("train", "test"), (".dicom", ".dcm"))
    yield from findings
    listed = survey.train | survey.test
    if not (listed and survey.files):
        return
    unlabelled = set()
    if not survey.test:  # Kaggle gives the images of "test" no labels
        in_test = {image for image, path in survey.files.items() if path.relative_to(root).parts[0] == "test"}
        unlabelled = in_test - listed.keys()
    yield from compare_names(survey.table, listed, survey.files.keys() - unlabelled)
    survey.entries, findings = read_header_entries(root, survey.files)
    yield from findings
    outside = {image for image, entry in survey.entries.items() if image in listed and _leaves(listed[image], entry)}
    if outside:
        yield warning("box_outside", f"{len(outside):,} images have a box that leaves them: {some_names(outside)}")


def _leaves(said: _Image, entry: Entry) -> bool:
    boxes = [box for drawn in said.boxes.values() for _, box in drawn]
    return any(x < 0 or y < 0 or x + w > entry["columns"] or y + h > entry["rows"] for x, y, w, h in boxes)


def _count(root: Path, survey: _Survey) -> Iterator[Finding]:
    """The training table against the published counts, which are those of Kaggle's."""
    if survey.table != _KAGGLE or not survey.train or survey.marker is not None:
        return
    published = {key: count["value"] for key, count in load_manifest(NAME)["counts"].items()}
    here = {"rows": survey.rows.total(), "images": len(survey.train), "no_finding_rows": survey.rows[NO_FINDING]}
    parts = [f"{value:,} of {published[key]:,} {key.replace('_', ' ')}" for key, value in here.items()]
    message = f"{survey.table} lists {', '.join(parts)} of the published table"
    more = any(value > published[key] for key, value in here.items())
    yield warning("more_than_published", message) if more else info("counts", message)
