"""Reader of the JSRT database of chest radiographs with and without a lung nodule.

    All247images/JPCLN001.IMG ...          films with one nodule each, found by name in any depth of folders
    All247images/JPCNN001.IMG ...          films without
    Clinical_Information/CLNDAT_EN.txt     per film with a nodule: subtlety, size, age, sex, position, ...
    Clinical_Information/CNNDAT_EN.TXT     per film without: age, sex

The films are raw, and their side follows from their size (see ``medpipe.io.jsrt_film``). Smaller copies are fine: the
nodules' positions, pixels of the published grid of 2048 x 2048, are scaled to the size of the file. The tables hold stray
blanks and tabs, so they are read by patterns that begin at a film's name.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medpipe.errors import CaseError, InputDataError
from medpipe.io.jsrt_film import PUBLISHED_SIDE, PUBLISHED_SPACING_MM, film_side

from .demographics import parse_age
from .findings import Finding, error, info, warning
from .manifests import load_manifest
from .names import some_names
from .splits import Fractions, check_fractions, split_by_patient
from .surveys import note_look_alike, refuse_errors, run_survey

__all__ = ["NAME", "check", "prepare"]

NAME = "jsrt"
NODULE_TABLE, NORMAL_TABLE = "CLNDAT_EN.txt", "CNNDAT_EN.TXT"
_FILM = re.compile(r"(JPC[LN]N\d{3,})\.IMG", re.IGNORECASE)
_ROW = {
    NODULE_TABLE: re.compile(
        r"(?P<image>JPCLN\d{3,})\.IMG\s+(?P<subtlety>[1-5])\s+(?P<size>\d+(?:\.\d+)?)\s+(?P<age>\d+|\?)\s+"
        r"(?P<sex>male|female)\s+(?P<x>\d+(?:\.\d+)?)\s+(?P<y>\d+(?:\.\d+)?)\s+(?P<malignancy>malignant|benign)\b",
        re.IGNORECASE,
    ),
    NORMAL_TABLE: re.compile(
        r"(?P<image>JPCNN\d{3,})\.IMG\s+(?P<age>\d+|\?)\s+(?P<sex>male|female)\s+non-nodule", re.IGNORECASE
    ),
}

Entry = dict[str, Any]


@dataclass
class _Survey:
    """What lies in a folder: everything that both the check and the datalist are made from."""

    findings: list[Finding] = field(default_factory=list)
    rows: dict[str, dict[str, str]] = field(default_factory=dict)  # film -> its values in the tables
    files: dict[str, tuple[Path, int]] = field(default_factory=dict)  # film -> file, side
    entries: list[Entry] = field(default_factory=list)
    marker: dict[str, Any] | None = None  # of a look-alike


def check(root: Path) -> list[Finding]:
    """Compare the folder ``root`` with the published layout.

    Errors: no table of nodules, several tables of one name, films listed twice, no films, two files of one name, files that
    are no square of 16-bit values. Warnings: no table of normal films, rows that do not follow the pattern, films listed but
    not on disk, films not listed, positions outside the film. Unknown ages and differences from the published counts are for
    information.
    """
    return _survey(Path(root)).findings


def prepare(root: Path, *, seed: int = 0, fractions: Fractions = (0.7, 0.1, 0.2)) -> dict[str, Any]:
    """Make a datalist of the folder ``root``: one entry per film.

    The name says whether a film shows a nodule. Its box is the square of the nodule's size around its centre; one
    without a legible row or with its centre outside the film is not *localized*. Entries keep ``subtlety`` (5 is obvious), ``size_mm``
    and ``malignancy``.

    Args:
        root: a folder that holds the films and the tables, at any depth.
        seed: of the division.
        fractions: of the films, for training, validation and test.

    Raises:
        InputDataError: the check finds an error.
        RequestError: the fractions do not add up to 1.
    """
    check_fractions(fractions)
    survey = _survey(Path(root))
    refuse_errors(root, survey.findings)
    manifest = load_manifest(NAME)
    shown = "/".join(f"{fraction:g}" for fraction in fractions)
    return {
        "name": NAME,
        "description": f"{manifest['title']}; {len(survey.entries):,} films",
        "generated": survey.marker is not None,
        "split": f"by film, as there are no patient ids, training/validation/test {shown}, seed {seed}",
        "labels": (survey.marker or {}).get("labels", manifest["labels"]),
        "tensorImageSize": "2D",
        **split_by_patient(survey.entries, seed=seed, fractions=fractions),
    }


def _survey(root: Path) -> _Survey:
    return run_survey(root, _Survey(), (note_look_alike, _read_tables, _find_films, _make_entries, _compare))


def _read_tables(root: Path, survey: _Survey) -> Iterator[Finding]:
    for name, make, use in ((NODULE_TABLE, error, "positions"), (NORMAL_TABLE, warning, "ages and sexes")):
        found = [path for path in sorted(root.rglob("*")) if path.name.lower() == name.lower() and path.is_file()]
        if not found:
            yield make("no_table", f"no {name} in {root} or below it, which holds the {use} of the films")
        elif len(found) > 1:
            places = " and ".join(path.relative_to(root).as_posix() for path in found)
            yield error("several_tables", f"{root} holds {places}; leave only one of them there")
        else:
            yield from _read_table(found[0], _ROW[name], survey)


def _read_table(path: Path, pattern: re.Pattern[str], survey: _Survey) -> Iterator[Finding]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as fault:
        raise InputDataError(f"{path}: not readable as a text: {fault}") from fault
    named = Counter(name.upper() for name in _FILM.findall(text))
    rows = {row["image"].upper(): row.groupdict() for row in pattern.finditer(text)}
    if twice := [name for name, count in named.items() if count > 1]:
        yield error("listed_twice", f"{path.name} lists {len(twice):,} films more than once: {some_names(twice)}")
    if odd := named.keys() - rows.keys():
        yield warning("unread_rows", f"{path.name}: {len(odd):,} rows do not follow the pattern: {some_names(odd)}")
    if ages := [name for name, row in rows.items() if row["age"] == "?"]:
        yield info("unknown_age", f"{path.name} has {len(ages):,} unknown ages: {some_names(ages)}")
    survey.rows |= rows


def _find_films(root: Path, survey: _Survey) -> Iterator[Finding]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(root.rglob("*")):
        if (name := _FILM.fullmatch(path.name)) and path.is_file():
            found[name[1].upper()].append(path)
    if not found:
        yield error("no_images", f"no film JPCLN001.IMG, JPCNN001.IMG, ... in {root} or below it")
    for film, paths in found.items():
        if len(paths) > 1:
            places = ", ".join(path.relative_to(root).as_posix() for path in paths)
            yield error("duplicate_name", f"{len(paths)} files are named {film}.IMG: {places}")
        try:
            survey.files[film] = paths[0], film_side(paths[0].stat().st_size)
        except CaseError as fault:
            yield error("unreadable_image", f"{paths[0].relative_to(root).as_posix()} cannot be read: {fault}")


def _make_entries(root: Path, survey: _Survey) -> Iterator[Finding]:
    outside = set()
    for film, (path, side) in sorted(survey.files.items()):
        row, positive = survey.rows.get(film, {}), film.startswith("JPCL")
        box = _box(row, side) if positive and row else None
        if positive and row and box is None:
            outside.add(film)
        entry = {
            "image": path.relative_to(root).as_posix(),
            "case": film,
            "patient": film,
            "label": int(positive),
            "rows": side,
            "columns": side,
            "localized": box is not None or not positive,
            "boxes": [box] if box is not None else [],
        }
        survey.entries.append(entry | _known(row))
    if outside:
        message = f"{len(outside):,} nodules have no size, or a centre outside the film; they count as not localized"
        yield warning("box_outside", f"{message}: {some_names(outside)}")


def _box(row: dict[str, str], side: int) -> list[float] | None:
    """The square around the nodule in pixels of the file; None where it has no size or its centre is not on the film."""
    x, y = float(row["x"]), float(row["y"])
    if not (x < PUBLISHED_SIDE and y < PUBLISHED_SIDE and float(row["size"]) > 0):
        return None
    scale, length = side / PUBLISHED_SIDE, float(row["size"]) / PUBLISHED_SPACING_MM
    return [(x - length / 2) * scale, (y - length / 2) * scale, length * scale, length * scale]


def _known(row: dict[str, str]) -> Entry:
    """What the tables say besides: demographics in the words of a datalist, and of the nodule."""
    known: Entry = {"sex": row.get("sex", "")[:1].upper(), "age": parse_age(row.get("age", ""))}
    if "subtlety" in row:
        known["subtlety"] = int(row["subtlety"])
        known["size_mm"] = float(row["size"])
        known["malignancy"] = row["malignancy"].lower()
    return {key: value for key, value in known.items() if value not in ("", None)}


def _compare(root: Path, survey: _Survey) -> Iterator[Finding]:
    """Films in the tables against films on disk, and both against the published counts."""
    listed, films = survey.rows.keys(), survey.files.keys()
    if not (listed and films):
        return
    if missing := listed - films:
        yield warning(
            "missing_images", f"{len(missing):,} of {len(listed):,} films are not on disk: {some_names(missing)}"
        )
    if extra := films - listed:
        message = f"{len(extra):,} films have no legible row; their names tell the label, but no nodule's position"
        yield warning("unlisted_images", f"{message}: {some_names(extra)}")
    if survey.marker is None:
        published = {key: count["value"] for key, count in load_manifest(NAME)["counts"].items()}
        positives = sum(entry["label"] for entry in survey.entries)
        here = {"films": len(films), "nodules": positives, "normal": len(films) - positives}
        parts = [f"{value:,} of {published[key]:,} {key}" for key, value in here.items()]
        message = f"{root} holds {', '.join(parts)} of the published films"
        more = any(value > published[key] for key, value in here.items())
        yield warning("more_than_published", message) if more else info("counts", message)
