"""Reader of NODE21, in the layout of its Zenodo record: the original or the preprocessed images.

    metadata.csv             img_name, x, y, width, height, label in any order: one row per nodule, boxes in pixels
    images/n0001.mha         a radiograph with nodules, found by name in any depth of folders
    images/c0001.mha         a control

The two forms have different pixel grids, so each is a data set of its own: the folder to give is the one that
holds ``metadata.csv``. There are no patient ids; every image is taken as a patient.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medpipe.errors import CaseError, InputDataError
from medpipe.io.metaimage import read_metaimage_header

from .findings import Finding, error, info, warning
from .manifests import load_manifest
from .names import some_names
from .splits import Fractions, check_fractions, split_by_patient
from .surveys import note_look_alike, refuse_errors, run_survey
from .tables import read_columns

__all__ = ["NAME", "check", "prepare"]

NAME = "node21"
TABLE = "metadata.csv"
_COLUMNS = ["img_name", "x", "y", "width", "height", "label"]
_MOST_NODULES = 3  # of the annotation protocol
_LETTERS = {"n": 1, "c": 0}

Box = tuple[float, float, float, float]
Entry = dict[str, Any]


@dataclass
class _Rows:
    """What the table says of one image."""

    nodules: list[Box] = field(default_factory=list)  # of label 1; a width or height of 0 is no position
    controls: list[Box] = field(default_factory=list)  # of label 0; their boxes should be 0

    @property
    def label(self) -> int:
        return int(bool(self.nodules))

    @property
    def localized(self) -> bool:
        """Whether the positions of all nodules are known."""
        return all(map(_has_size, self.nodules)) and not any(map(_has_size, self.controls))


@dataclass
class _Survey:
    """What lies in a folder: everything that both the check and the datalist are made from."""

    findings: list[Finding] = field(default_factory=list)
    rows: dict[str, _Rows] = field(default_factory=dict)  # image -> what the table says
    sizes: dict[str, tuple[Path, int, int]] = field(default_factory=dict)  # image -> file, rows, columns
    entries: list[Entry] = field(default_factory=list)
    marker: dict[str, Any] | None = None  # of a look-alike


def check(root: Path) -> list[Finding]:
    """Compare the folder ``root`` with the published layout.

    Errors: no table, a table without its columns or with rows that are no numbers, no images, two files of one
    name, unreadable headers. Warnings: images listed but not on disk, files not listed, contradictory or
    repeated rows, nodules without a box, boxes that leave the image, labels against the letter of the name.
    Differences from the published counts are for information, because subsets are legitimate.
    """
    return _survey(Path(root)).findings


def prepare(root: Path, *, seed: int = 0, fractions: Fractions = (0.7, 0.1, 0.2)) -> dict[str, Any]:
    """Make a datalist of the folder ``root``: one entry per image, with the boxes of all its nodules.

    An image with a nodule of unknown position is not *localized* and has no boxes, nor has one whose rows
    contradict each other about a box.

    Args:
        root: the folder with ``metadata.csv``.
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
    present = f"{len(survey.entries):,} of the {len(survey.rows):,} images listed in {TABLE} are on disk"
    unlisted = len(survey.sizes) - len(survey.entries)
    shown = "/".join(f"{fraction:g}" for fraction in fractions)
    return {
        "name": NAME,
        "description": f"{manifest['title']}; {present}; {unlisted:,} other files left out",
        "generated": survey.marker is not None,
        "split": f"by image, as there are no patient ids, training/validation/test {shown}, seed {seed}; "
        "images of one patient may be in two parts",
        "labels": (survey.marker or {}).get("labels", manifest["labels"]),
        "tensorImageSize": "2D",
        **split_by_patient(survey.entries, seed=seed, fractions=fractions),
    }


def _survey(root: Path) -> _Survey:
    return run_survey(
        root, _Survey(), (note_look_alike, _read_table, _find_images, _make_entries, _compare_rows, _count)
    )


def _read_table(root: Path, survey: _Survey) -> Iterator[Finding]:
    path = root / TABLE
    if not path.is_file():
        deeper = [found.parent.relative_to(root).as_posix() for found in root.rglob(TABLE)]
        remedy = f"give one of its folders that hold one: {some_names(deeper)}" if deeper else "give the folder with it"
        yield error("no_table", f"no {TABLE} in {root}; {remedy}")
        return
    rows: dict[str, _Rows] = defaultdict(_Rows)
    repeated = set()
    for name, *values in read_columns(path, _COLUMNS):
        image, (*box, label) = name.removesuffix(".mha"), _numbers(path, name, values)
        group = rows[image].nodules if label else rows[image].controls
        place = (box[0], box[1], box[2], box[3])
        if place in group:
            repeated.add(image)
        else:
            group.append(place)
    survey.rows = dict(rows)
    if repeated:
        yield warning(
            "repeated_rows", f"{len(repeated):,} images have a row twice, it counts once: {some_names(repeated)}"
        )


def _numbers(path: Path, name: str, values: list[str]) -> list[float]:
    """x, y, width, height and label of one row."""
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)) or numbers[-1] not in (0, 1) or min(numbers[2:4]) < 0:
        row = ",".join([name, *values])
        raise InputDataError(f"{path}: found {row!r} for {','.join(_COLUMNS)}; expected a box and the label 0 or 1")
    return numbers


def _find_images(root: Path, survey: _Survey) -> Iterator[Finding]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() == ".mha" and path.is_file():
            found[path.stem].append(path)
    if not found:
        yield error("no_images", f"no .mha file in {root}")
    for image, paths in found.items():
        name = paths[0].relative_to(root).as_posix()
        if len(paths) > 1:
            places = ", ".join(path.relative_to(root).as_posix() for path in paths)
            yield error("duplicate_name", f"{len(paths)} files are named {image}.mha: {places}")
        try:
            with paths[0].open("rb") as stream:
                header = read_metaimage_header(stream)
            survey.sizes[image] = paths[0], header.rows, header.columns
        except (CaseError, OSError) as fault:
            yield error("unreadable_image", f"{name} cannot be read: {fault}")


def _make_entries(root: Path, survey: _Survey) -> Iterator[Finding]:
    outside = set()
    for image in sorted(survey.sizes.keys() & survey.rows.keys()):
        path, height, width = survey.sizes[image]
        said = survey.rows[image]
        boxes = [list(box) for box in said.nodules if _has_size(box)]
        if any(x < 0 or y < 0 or x + w > width or y + h > height for x, y, w, h in boxes):
            outside.add(image)
        lost = any(x >= width or y >= height or x + w <= 0 or y + h <= 0 for x, y, w, h in boxes)
        localized = said.localized and not lost
        survey.entries.append(
            {
                "image": path.relative_to(root).as_posix(),
                "case": image,
                "patient": image,
                "label": said.label,
                "rows": height,
                "columns": width,
                "localized": localized,
                "boxes": boxes if localized else [],
            }
        )
    if outside:
        count = f"{len(outside):,} images have a box that leaves them"
        yield warning("box_outside", f"{count}, one that lies outside is no position: {some_names(outside)}")


def _compare_rows(root: Path, survey: _Survey) -> Iterator[Finding]:
    """The table against the files, and its rows against each other."""
    listed, files = survey.rows.keys(), survey.sizes.keys()
    if not (listed and files):
        return
    if missing := listed - files:
        count = f"{len(missing):,} of {len(listed):,} images in {TABLE}"
        yield warning("missing_images", f"{count} are not on disk: {some_names(missing)}")
        if len(missing) == len(listed):
            yield error("no_labelled_image", f"none of the images in {TABLE} is on disk")
    if extra := files - listed:
        yield warning("unlisted_images", f"{len(extra):,} files are not in {TABLE}: {some_names(extra)}")
    told = survey.rows.items()
    if both := {image for image, said in told if said.nodules and said.controls}:
        message = f"{len(both):,} images have both labels; they count as positive: {some_names(both)}"
        yield warning("contradictory_rows", message)
    if denied := {image for image, said in told if any(map(_has_size, said.controls))}:
        message = f"{len(denied):,} images have a box of label 0; they count as not localized: {some_names(denied)}"
        yield warning("box_without_label", message)
    if vague := {image for image, said in told if not all(map(_has_size, said.nodules))}:
        message = f"{len(vague):,} images have a nodule without a box; they count as not localized: {some_names(vague)}"
        yield warning("nodule_without_box", message)
    if strange := {image for image, said in told if _LETTERS.get(image[:1].lower(), said.label) != said.label}:
        message = f"the letter of {len(strange):,} names says another label than {TABLE}, which counts"
        yield warning("name_against_label", f"{message}: {some_names(strange)}")
    if many := {image for image, said in told if len(said.nodules) > _MOST_NODULES}:
        message = f"{len(many):,} images have more than the {_MOST_NODULES} nodules of the protocol: {some_names(many)}"
        yield info("many_nodules", message)
    yield info("no_patient_ids", f"{NAME} has no patient ids; each image is taken as a patient")


def _count(root: Path, survey: _Survey) -> Iterator[Finding]:
    """The table against the published counts."""
    if not survey.rows or survey.marker is not None:
        return
    published = {key: count["value"] for key, count in load_manifest(NAME)["counts"].items()}
    labels = [said.label for said in survey.rows.values()]
    here = {
        "images": len(labels),
        "positives": labels.count(1),
        "nodules": sum(len(said.nodules) for said in survey.rows.values()),
        "controls": labels.count(0),
    }
    parts = [f"{value:,} of {published[key]:,} {key}" for key, value in here.items()]
    message = f"{TABLE} lists {', '.join(parts)} of the published table"
    more = any(value > published[key] for key, value in here.items())
    yield warning("more_than_published", message) if more else info("counts", message)


def _has_size(box: Box) -> bool:
    return box[2] > 0 and box[3] > 0
