"""Reader of the SIIM-ACR Pneumothorax Segmentation data set, in the layout that Kaggle distributes.

    dicom-images-train/<StudyUID>/<SeriesUID>/<SOPInstanceUID>.dcm
    dicom-images-test/...                                            (no labels)
    train-rle.csv or stage_2_train.csv                               ImageId, EncodedPixels

``ImageId`` is the file's stem. An image has one row per mask; the truth is their union. Images of the table
are looked for in both folders, because the later table also labels the test images of the first stage.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom

from medpipe.errors import InputDataError

from .demographics import parse_age
from .findings import Finding, error, info, warning
from .manifests import load_manifest
from .names import some_names
from .rle import EMPTY, decode_relative_rle
from .splits import Fractions, check_fractions, split_by_patient
from .surveys import note_look_alike, refuse_errors, run_survey
from .tables import read_columns

__all__ = ["NAME", "check", "prepare"]

NAME = "siim_acr"
TABLES = ("stage_2_train.csv", "train-rle.csv")  # the later release first
TRAIN_FOLDER, TEST_FOLDER = "dicom-images-train", "dicom-images-test"
_TAGS = ["PatientID", "PatientSex", "PatientAge", "ViewPosition", "StudyInstanceUID", "Rows", "Columns"]

Entry = dict[str, Any]


@dataclass
class _Survey:
    """What lies in a folder: everything that both the check and the datalist are made from."""

    findings: list[Finding] = field(default_factory=list)
    table: str = ""
    codes: dict[str, list[str]] = field(default_factory=dict)  # image id -> its run-length codes
    files: dict[str, Path] = field(default_factory=dict)  # file stem -> file
    headers: dict[str, pydicom.Dataset] = field(default_factory=dict)  # file stem -> header
    labelled: list[Entry] = field(default_factory=list)
    unlabelled: list[Entry] = field(default_factory=list)
    marker: dict[str, Any] | None = None  # of a look-alike


def check(root: Path) -> list[Finding]:
    """Compare the folder ``root`` with the published layout.

    Errors: no table, no images, a table without its columns, two files of one name, unreadable headers, masks
        that do
    not decode. Warnings: images listed but not on disk, training images not listed, contradictory rows, no
    patient id. Differences from the published counts are for information, because subsets are legitimate.
    """
    return _survey(Path(root)).findings


def prepare(root: Path, *, seed: int = 0, fractions: Fractions = (0.7, 0.1, 0.2)) -> dict[str, Any]:
    """Make a datalist of the folder ``root``.

    The labelled images are divided by patient (the published test images have no labels); images without
    labels are listed under ``unlabelled``.

    Args:
        root: the folder with ``dicom-images-train``.
        seed: of the division by patient.
        fractions: of the patients, for training, validation and test.

    Raises:
        InputDataError: the check finds an error, or no labelled image is there.
        RequestError: the fractions do not add up to 1.
    """
    check_fractions(fractions)
    survey = _survey(Path(root))
    refuse_errors(root, survey.findings)
    manifest = load_manifest(NAME)
    present = f"{len(survey.labelled):,} of the {len(survey.codes):,} images listed in {survey.table} are on disk"
    shown = "/".join(f"{fraction:g}" for fraction in fractions)
    return {
        "name": NAME,
        "description": f"{manifest['title']}; {present}",
        "generated": survey.marker is not None,
        "split": f"labelled images by patient, training/validation/test {shown}, seed {seed}",
        "labels": (survey.marker or {}).get("labels", manifest["labels"]),
        "tensorImageSize": "2D",
        **split_by_patient(survey.labelled, seed=seed, fractions=fractions),
        "unlabelled": survey.unlabelled,
    }


def _survey(root: Path) -> _Survey:
    return run_survey(
        root, _Survey(), (note_look_alike, _read_table, _find_files, _read_headers, _make_entries, _compare)
    )


def _read_table(root: Path, survey: _Survey) -> Iterator[Finding]:
    """Collect the run-length codes of every image, rows in any order."""
    present = [name for name in TABLES if (root / name).is_file()]
    if not present:
        found = some_names([path.name for path in root.glob("*.csv")]) or "none"
        yield error("no_table", f"no {' or '.join(TABLES)} in {root}; CSV files there: {found}")
        return
    if len(present) > 1:
        yield info("two_tables", f"{root} holds {' and '.join(present)}; {present[0]} is used")
    codes: dict[str, list[str]] = defaultdict(list)
    for image, code in read_columns(root / present[0], ["ImageId", "EncodedPixels"]):
        codes[image].append(code)
    survey.table, survey.codes = present[0], dict(codes)


def _find_files(root: Path, survey: _Survey) -> Iterator[Finding]:
    """Files by their stem, from both image folders, however deep."""
    found: dict[str, list[Path]] = defaultdict(list)
    for folder in (TRAIN_FOLDER, TEST_FOLDER):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix.lower() == ".dcm" and path.is_file():
                found[path.stem].append(path)
    if not found:
        yield error("no_images", f"no .dcm file below {TRAIN_FOLDER} or {TEST_FOLDER} in {root}")
    for stem, paths in found.items():
        if len(paths) > 1:
            places = ", ".join(path.relative_to(root).as_posix() for path in paths)
            yield error("duplicate_stem", f"{len(paths)} files are named {stem}: {places}")
    survey.files = {stem: paths[0] for stem, paths in found.items()}


def _read_headers(root: Path, survey: _Survey) -> Iterator[Finding]:
    for image, path in sorted(survey.files.items()):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
            if not (header.get("Rows") and header.get("Columns")):
                raise InputDataError("it says no image size")
            survey.headers[image] = header
        except Exception as fault:  # damaged files raise a dozen kinds of errors, from struct's to pydicom's
            name = path.relative_to(root).as_posix()
            yield error("unreadable_header", f"{name}: its header cannot be read: {fault}")
    without = [image for image, header in survey.headers.items() if not header.get("PatientID")]
    if without:
        count = f"{len(without):,} images have no patient id"
        yield warning("no_patient_id", f"{count}, each study is taken as a patient: {some_names(without)}")


def _make_entries(root: Path, survey: _Survey) -> Iterator[Finding]:
    for image, header in survey.headers.items():
        entry = _entry(survey.files[image].relative_to(root).as_posix(), image, header)
        if image not in survey.codes:
            survey.unlabelled.append(entry)
            continue
        codes = survey.codes[image]
        masks = [code for code in codes if code != EMPTY]
        if masks and len(masks) < len(codes):
            message = f"{image} is listed both as {EMPTY} and with a mask; the mask counts"
            yield warning("contradictory_rows", message)
        for fault in _mask_faults(masks, entry["rows"], entry["columns"]):
            yield error("bad_rle", f"{survey.table}, {image}: {fault}")
        shown = (survey.marker or {}).get("findings", {}).get(image)
        truth = {"label": int(bool(masks)), "localized": True, "rle": masks}
        survey.labelled.append(entry | truth | ({"finding": shown} if shown else {}))


def _entry(path: str, image: str, header: pydicom.Dataset) -> Entry:
    known = {
        "sex": str(header.get("PatientSex") or ""),
        "age": parse_age(str(header.get("PatientAge") or "")),
        "view": str(header.get("ViewPosition") or ""),
    }
    return {
        "image": path,
        "case": image,
        "patient": str(header.get("PatientID") or header.get("StudyInstanceUID") or image),
        "rows": int(header.Rows),
        "columns": int(header.Columns),
    } | {key: value for key, value in known.items() if value not in ("", None)}


def _mask_faults(codes: list[str], rows: int, columns: int) -> Iterator[str]:
    for code in codes:
        try:
            if not decode_relative_rle(code, rows, columns).any():
                yield "a mask without any pixel"
        except InputDataError as fault:
            yield str(fault)


def _compare(root: Path, survey: _Survey) -> Iterator[Finding]:
    """Names in the table against names on disk, and the table against the published counts."""
    listed, files = survey.codes.keys(), survey.files
    if not (listed and files):
        return
    missing = listed - files.keys()
    if missing:
        count = f"{len(missing):,} of {len(listed):,} images in {survey.table}"
        yield warning("missing_images", f"{count} are not on disk: {some_names(missing)}")
    if len(missing) == len(listed):
        yield error("no_labelled_image", f"none of the images in {survey.table} is on disk")
    extra = files.keys() - listed
    for folder, make in ((TRAIN_FOLDER, warning), (TEST_FOLDER, info)):
        names = {image for image in extra if files[image].relative_to(root).parts[0] == folder}
        if names:
            count = f"{len(names):,} images below {folder}"
            yield make("unlisted_images", f"{count} are not in {survey.table}: {some_names(names)}")
    if survey.table == "train-rle.csv" and survey.marker is None:
        yield _count(survey.codes)


def _count(codes: dict[str, list[str]]) -> Finding:
    published = {key: count["value"] for key, count in load_manifest(NAME)["counts"].items()}
    masks = [[code for code in each if code != EMPTY] for each in codes.values()]
    here = {
        "rows": sum(map(len, codes.values())),
        "images": len(codes),
        "positives": sum(map(bool, masks)),
        "masks": sum(map(len, masks)),
    }
    parts = [f"{value:,} of {published[key]:,} {key}" for key, value in here.items()]
    more = any(value > published[key] for key, value in here.items())
    message = f"train-rle.csv lists {', '.join(parts)} of the published table"
    return warning("more_than_published", message) if more else info("counts", message)
