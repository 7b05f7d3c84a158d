"""Reader of NIH ChestX-ray14, in the layouts of the NIH download and of the Kaggle mirror.

    Data_Entry_2017.csv or Data_Entry_2017_v2020.csv    findings per image, joined by "|"
    BBox_List_2017.csv                                  optional: boxes by radiologists, on the 1024 x 1024 grid
    train_val_list.txt, test_list.txt                   optional: the official split
    train_1.txt, val_1.txt, test_1.txt                  optional: the random split that many papers use
    images/*.png, or images_001/images/*.png ...        found by name in any depth of folders

The official and the random split must never be compared: most test images of the one are in the other's training part.
A table of a subset may have any name of the form ``Data_Entry*.csv`` or ``BBox_List*.csv``. Resized copies
are fine: boxes are scaled to the size of the file.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from medpipe.errors import InputDataError, RequestError

from .demographics import parse_age
from .findings import Finding, error, info, warning
from .lookalikes.marker import read_marker
from .manifests import load_manifest
from .names import nearest_names, some_names
from .splits import PARTS, Fractions, check_fractions, split_by_patient
from .surveys import refuse_errors
from .tables import read_columns, read_lines

__all__ = ["ALL", "BOX_GRID", "FINDINGS", "NAME", "SPLITS", "check", "prepare"]

NAME = "nih_chestxray14"
FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
"""The 14 findings, in the order of the published reference code."""

ALL = "all"
"""In place of a finding: all of them, for training with several labels."""

SPLITS = ("official", "random")

BOX_GRID = 1024
"""Boxes are in pixels of a grid of this many rows and columns."""

_COLUMNS = ["Image Index", "Finding Labels", "Patient ID", "Patient Age", "Patient Gender", "View Position"]
_CORRECTED = "Data_Entry_2017_v2020.csv"
_LISTS = ("train_val_list.txt", "test_list.txt")
_RANDOM_LISTS = {"training": "train_1.txt", "validation": "val_1.txt", "test": "test_1.txt"}
_OLDEST = 100  # ages above it in the 2017 table are typing errors
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class _Row:
    findings: frozenset[str]
    patient: str
    age: str
    sex: str
    view: str


@dataclass
class _Survey:
    """What lies in a folder: everything that both the check and the datalist are made from."""

    findings: list[Finding] = field(default_factory=list)
    table: str = ""
    rows: dict[str, _Row] = field(default_factory=dict)  # image name -> its row
    boxes: dict[tuple[str, str], list[Box]] = field(default_factory=dict)  # (image, finding) -> boxes on BOX_GRID
    files: dict[str, tuple[Path, tuple[int, int]]] = field(default_factory=dict)  # image -> file, (columns, rows)
    official: dict[str, frozenset[str]] = field(default_factory=dict)  # list -> image names
    marker: dict[str, Any] | None = None  # of a look-alike


def check(root: Path) -> list[Finding]:
    """Compare the folder ``root`` with the published layout.

    Errors: no table, no images, tables that cannot be told apart or read, images listed twice, two files of
        one name,
    unreadable images, official lists that are incomplete. Warnings: images listed but not on disk, files not
    listed, unknown findings, implausible ages, boxes that fit no image or no label. Differences from the
    published counts are for information, because subsets are legitimate.
    """
    return _survey(Path(root)).findings


def prepare(
    root: Path,
    *,
    label: str = "Pneumothorax",
    seed: int = 0,
    fractions: Fractions = (0.7, 0.1, 0.2),
    split: str | None = None,
) -> dict[str, Any]:
    """Make a datalist of the folder ``root`` for one finding, or for all 14.

    An image is positive when the text-mined labels name the finding. Its lesions are *localized* where a
    radiologist's box of that finding is given; a positive image without a box is not, nor is a boxed image
    that the labels deny.

    Splits:
        ``official``: the official list decides on the test part, and the rest is divided by patient into training and
        validation as ``fractions[0]`` to ``fractions[1]``. The default where the lists are there.
        ``random``: by patient, as the published random split (GitHub zoogzog/chexnet) where its lists train_1.txt,
        val_1.txt and test_1.txt are there, otherwise as ``fractions`` and ``seed`` say. The default elsewhere.

    Args:
        root: the folder with the tables and the images.
        label: one of ``FINDINGS``, or ``all``.
        seed: of the division by patient.
        fractions: of the patients, for training, validation and test.
        split: ``official`` or ``random``; None for the default.

    Raises:
        InputDataError: the check finds an error.
        RequestError: an unknown label or split, the official split without its lists, or fractions that do not add up to
            1 or leave nothing for training and validation although the official list decides on the test part.
    """
    if label not in (*FINDINGS, ALL):
        raise RequestError(f"{NAME} has no label {label!r}; {nearest_names(label, (*FINDINGS, ALL))}")
    if split not in (None, *SPLITS):
        raise RequestError(f"{NAME} has no split {split!r}; expected {' or '.join(SPLITS)}")
    check_fractions(fractions)
    survey = _survey(Path(root))
    refuse_errors(root, survey.findings)
    entries = [_entry(Path(root), image, label, survey) for image in sorted(survey.files) if image in survey.rows]
    words, parts = _split(Path(root), entries, survey, seed, fractions, split)
    title = load_manifest(NAME)["title"]
    present = f"{len(entries):,} of the {len(survey.rows):,} images listed in {survey.table} are on disk"
    unlisted = len(survey.files) - len(entries)
    shown = f"all {len(FINDINGS)} findings" if label == ALL else label
    names = {"classes": list(FINDINGS)} if label == ALL else {"labels": {"0": f"no {label}", "1": label}}
    return {
        "name": NAME,
        "description": f"{title}, {shown}; {present}; {unlisted:,} other files left out",
        "generated": survey.marker is not None,
        "split": words,
        **names,
        "tensorImageSize": "2D",
        **parts,
    }


def _split(
    root: Path,
    entries: list[dict[str, Any]],
    survey: _Survey,
    seed: int,
    fractions: Fractions,
    split: str | None,
) -> tuple[str, dict[str, list[dict[str, Any]]]]:
    """How the split is made, in words, and the split."""
    shown = "/".join(f"{fraction:g}" for fraction in fractions)
    if split == "official" and not survey.official:
        raise RequestError(f"the official split needs {' and '.join(_LISTS)}, which are not in {root}")
    if split == "random" and (root / _RANDOM_LISTS["training"]).is_file():
        return "random, as published (train_1.txt, val_1.txt, test_1.txt)", _published_random(root, entries)
    if split == "random" or not survey.official:
        why = "random, not the published lists" if split == "random" else "no official lists were there"
        words = f"by patient, training/validation/test {shown}, seed {seed}; {why}"
        return words, split_by_patient(entries, seed=seed, fractions=fractions)
    learning = fractions[0] + fractions[1]
    if learning == 0:
        raise RequestError(
            f"the fractions are {shown}, but {_LISTS[1]} says which images are for the test; "
            "give the training and validation fractions for the others, or remove the official lists"
        )
    test = survey.official[_LISTS[1]]
    others = [entry for entry in entries if entry["case"] not in test]
    parts = split_by_patient(others, seed=seed, fractions=(fractions[0] / learning, fractions[1] / learning, 0))
    parts["test"] = [entry for entry in entries if entry["case"] in test]
    shown = shown.rpartition("/")[0]
    words = f"official test list; the others by patient, training/validation {shown}, seed {seed}"
    return words, {part: parts[part] for part in PARTS}


def _published_random(root: Path, entries: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The parts of the random split's lists: lines of a path and 14 flags, of which the table's labels are used."""
    part_of: dict[str, str] = {}
    for part, name in _RANDOM_LISTS.items():
        path = root / name
        if not path.is_file():
            raise RequestError(f"the random split needs {', '.join(_RANDOM_LISTS.values())}; {name} is not in {root}")
        part_of |= {
            Path(line.split()[0]).name: part for line in path.read_text("utf-8", "replace").splitlines() if line.strip()
        }
    absent = [entry["case"] for entry in entries if entry["case"] not in part_of]
    if absent:
        raise InputDataError(f"{len(absent):,} images are in none of the random split's lists: {some_names(absent)}")
    return {part: [entry for entry in entries if part_of[entry["case"]] == part] for part in PARTS}


def _entry(root: Path, image: str, label: str, survey: _Survey) -> dict[str, Any]:
    path, (columns, rows) = survey.files[image]
    row = survey.rows[image]
    age = parse_age(row.age)
    known = {"sex": row.sex, "age": age if age is not None and age <= _OLDEST else None, "view": row.view}
    boxes = {name: _scaled(survey.boxes.get((image, name), []), columns, rows) for name in FINDINGS}
    return {
        "image": path.relative_to(root).as_posix(),
        "case": image,
        "patient": row.patient,
        "rows": rows,
        "columns": columns,
        **(_all_labels(row, boxes) if label == ALL else _one_label(label in row.findings, boxes[label])),
    } | {key: value for key, value in known.items() if value not in ("", None)}


def _one_label(positive: bool, boxes: list[list[float]]) -> dict[str, Any]:
    return {"label": int(positive), "localized": positive == bool(boxes), "boxes": boxes if positive else []}


def _all_labels(row: _Row, boxes: dict[str, list[list[float]]]) -> dict[str, Any]:
    return {
        "label": [int(name in row.findings) for name in FINDINGS],
        "boxes": {name: found for name, found in boxes.items() if found and name in row.findings},
    }


def _scaled(boxes: list[Box], columns: int, rows: int) -> list[list[float]]:
    scale = (columns / BOX_GRID, rows / BOX_GRID) * 2
    return [[value * by for value, by in zip(box, scale, strict=True)] for box in boxes]


def _survey(root: Path) -> _Survey:
    survey = _Survey(marker=read_marker(root))
    if survey.marker is not None:
        survey.findings.append(info("look_alike", f"{root} is a look-alike: {survey.marker['statement']}"))
    for step in (_read_table, _read_boxes, _read_lists):
        try:
            survey.findings += step(root, survey)
        except InputDataError as fault:
            survey.findings.append(error("table", str(fault)))
    survey.findings += _find_files(root, survey)
    if survey.rows and survey.files:
        survey.findings += [*_compare(survey), *_compare_boxes(survey)]
        survey.findings.append(_count(survey))
    return survey


def _one_file(root: Path, pattern: str, preferred: str = "") -> tuple[Path | None, list[Finding]]:
    """The one file of that pattern, and what there is to say where there are several."""
    found = sorted(path for path in root.glob(pattern) if path.is_file())
    if len(found) < 2:
        return (found[0] if found else None), []
    names = " and ".join(path.name for path in found)
    if (root / preferred) in found:
        return root / preferred, [info("several_tables", f"{root} holds {names}; {preferred} is used")]
    return None, [error("several_tables", f"{root} holds {names}; leave only one of them there")]


def _read_table(root: Path, survey: _Survey) -> Iterator[Finding]:
    path, findings = _one_file(root, "Data_Entry*.csv", _CORRECTED)
    yield from findings
    if path is None:
        if not findings:
            yield error("no_table", f"no Data_Entry*.csv in {root}")
        return
    survey.table = path.name
    twice, unknown = set(), Counter[str]()
    for image, labels, patient, age, sex, view in read_columns(path, _COLUMNS):
        # Whole names: a test for substrings would be wrong as soon as one name is part of another.
        names = frozenset(name.strip() for name in labels.split("|")) - {"No Finding", ""}
        unknown.update(names - set(FINDINGS))
        if image in survey.rows:
            twice.add(image)
        survey.rows[image] = _Row(names, patient, age, sex, view)
    if twice:
        yield error("listed_twice", f"{path.name} lists {len(twice):,} images more than once: {some_names(twice)}")
    if unknown:
        shown = ", ".join(f"{name} ({count:,})" for name, count in unknown.most_common(5))
        yield warning("unknown_finding", f"{path.name} names findings that are none of the {len(FINDINGS)}: {shown}")


def _read_boxes(root: Path, survey: _Survey) -> Iterator[Finding]:
    """Boxes by position in the row: the unquoted commas of the header give it more fields than the rows."""
    path, findings = _one_file(root, "BBox_List*.csv")
    yield from findings
    if path is None:
        return
    boxes: dict[tuple[str, str], list[Box]] = defaultdict(list)
    unknown = Counter[str]()
    for row in read_lines(path)[1:]:
        try:
            x, y, width, height = (float(value) for value in row[2:6])
        except ValueError as fault:
            raise InputDataError(f"{path}: the row {','.join(row)!r} holds no box x, y, w, h: {fault}") from fault
        name = "Infiltration" if row[1] == "Infiltrate" else row[1]
        if name not in FINDINGS:
            unknown[name] += 1
        boxes[row[0], name].append((x, y, width, height))
    survey.boxes = dict(boxes)
    if unknown:
        yield warning("unknown_finding", f"{path.name} has boxes of findings that are none of ours: {dict(unknown)}")


def _read_lists(root: Path, survey: _Survey) -> Iterator[Finding]:
    present = [name for name in _LISTS if (root / name).is_file()]
    if not present:
        return
    if len(present) < len(_LISTS):
        absent = next(name for name in _LISTS if name not in present)
        yield error("official_lists", f"{present[0]} is there, but {absent} is not; add it, or remove the other one")
        return
    lists = {name: frozenset((root / name).read_text(encoding="utf-8").split()) for name in _LISTS}
    both = lists[_LISTS[0]] & lists[_LISTS[1]]
    if both:
        yield error("official_lists", f"{len(both):,} images are in both official lists: {some_names(both)}")
    neither = survey.rows.keys() - lists[_LISTS[0]] - lists[_LISTS[1]]
    if neither:
        yield error("official_lists", f"{len(neither):,} images are in neither official list: {some_names(neither)}")
    survey.official = lists


def _find_files(root: Path, survey: _Survey) -> Iterator[Finding]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() == ".png" and path.is_file():
            found[path.name].append(path)
    if not found:
        yield error("no_images", f"no .png file below {root}")
    modes: dict[str, list[str]] = defaultdict(list)
    for name, paths in found.items():
        if len(paths) > 1:
            places = ", ".join(path.relative_to(root).as_posix() for path in paths)
            yield error("duplicate_name", f"{len(paths)} files are named {name}: {places}")
        try:
            with Image.open(paths[0]) as image:
                survey.files[name] = (paths[0], image.size)
                modes[image.mode].append(name)
        except (
            OSError,
            ValueError,
            SyntaxError,
        ) as fault:  # SyntaxError is Pillow's word for a broken PNG chunk
            yield error("unreadable_image", f"{paths[0].relative_to(root).as_posix()} cannot be read: {fault}")
    for mode in sorted(modes.keys() - {"L"}):
        names = modes[mode]
        yield info("not_grey", f"{len(names):,} images are of mode {mode}, to be made grey: {some_names(names)}")


def _compare(survey: _Survey) -> Iterator[Finding]:
    missing = survey.rows.keys() - survey.files.keys()
    if missing:
        count = f"{len(missing):,} of {len(survey.rows):,} images in {survey.table}"
        yield warning("missing_images", f"{count} are not on disk: {some_names(missing)}")
    if len(missing) == len(survey.rows):
        yield error("no_labelled_image", f"none of the images in {survey.table} is on disk")
    extra = survey.files.keys() - survey.rows.keys()
    if extra:
        yield warning("unlisted_images", f"{len(extra):,} files are not in {survey.table}: {some_names(extra)}")
    others = [image for image, row in survey.rows.items() if image.split("_")[0].lstrip("0") != row.patient.lstrip("0")]
    if others:
        yield warning(
            "patient_mismatch",
            f"{len(others):,} names begin with another patient's number than {survey.table} says: {some_names(others)}",
        )
    ages = {image: parse_age(row.age) for image, row in survey.rows.items()}
    strange = [image for image, age in ages.items() if age is None or age > _OLDEST]
    if strange:
        yield warning(
            "implausible_age",
            f"{len(strange):,} ages are above {_OLDEST} or no number, they are left out: {some_names(strange)}",
        )


def _compare_boxes(survey: _Survey) -> Iterator[Finding]:
    lost = {image for image, _ in survey.boxes if image not in survey.rows}
    if lost:
        yield warning("box_without_image", f"{len(lost):,} boxed images are not in {survey.table}: {some_names(lost)}")
    denied = {
        f"{image} ({name})"
        for image, name in survey.boxes
        if image in survey.rows and name not in survey.rows[image].findings
    }
    if denied:
        yield warning(
            "box_without_label",
            f"{len(denied):,} boxes are of a finding that {survey.table} does not name, "
            f"these images count as negative and not localized: {some_names(denied)}",
        )


def _count(survey: _Survey) -> Finding:
    published = {key: count["value"] for key, count in load_manifest(NAME)["counts"].items()}
    here = {
        "images": len(survey.rows),
        "patients": len({row.patient for row in survey.rows.values()}),
        "boxes": sum(map(len, survey.boxes.values())),
    }
    parts = [f"{value:,} of {published[key]:,} {key}" for key, value in here.items()]
    more = any(value > published[key] for key, value in here.items())
    message = f"{survey.table} and the box table list {', '.join(parts)} of the published ones"
    return warning("more_than_published", message) if more else info("counts", message)
