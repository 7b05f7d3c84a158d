"""From a request to pairs of volumes: every pair that is asked for becomes exactly one case, with a status and a reason.

A request names a fixed and moving images (one fixed for all moving ones, or as many of both), or a table of pairs:

    fixed, moving                  a volume file, or a folder or zip archive of one DICOM series
    moving_labels, fixed_labels    label maps in the place of their images, on any grid
    points                         landmarks of the moving image, see ``medpipe.io.points``
    case                           name of the pair; else those of the two images

Paths in a table are relative to its folder. A table for ``medpipe score registration`` may be given as it is.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medpipe.errors import InputDataError, RequestError
from medpipe.io.cases import safe_name
from medpipe.io.placed import ITK_SUFFIXES, NIFTI_SUFFIXES, is_volume_file, why_not_one
from medpipe.io.privacy import PatientWords
from medpipe.io.series import index_files

__all__ = ["ROLES", "PairRequest", "find_pairs", "pair_cases"]

ROLES = ("fixed", "moving", "moving_labels", "fixed_labels", "points")
"""What the paths of a pair are, in the order in which a case's "image" lists them; "" for those that are not given."""

_OF_SCORING = {"pair": "case", "moving_points": "points"}
_FOR_SCORING = ("fixed_points", "fixed_subject", "moving_subject", "field", "seconds", "memory_mb")
"""Columns of a table for scoring: those that mean one of ours, and those that registration has no use for."""

Paths = str | Path | Sequence[str | Path] | None


@dataclass(frozen=True)
class PairRequest:
    """What is asked for, by paths.

    Attributes:
        fixed: One, or as many as there are moving images.
        moving: One or several; a folder of volume files (not DICOM) stands for all of them.
        pairs: A table instead of both.
        moving_labels: None, or one for each moving image.
        fixed_labels: None, or one for each fixed image.
        points: None, or one file for each moving image.

    Raises:
        RequestError: The numbers do not fit, or a table is given beside images.
    """

    fixed: Paths = None
    moving: Paths = None
    pairs: str | Path | None = None
    moving_labels: Paths = None
    fixed_labels: Paths = None
    points: Paths = None

    def __post_init__(self) -> None:
        given = [role for role in ROLES if _listed(getattr(self, role))]
        if self.pairs is not None:
            if given:
                raise RequestError(f"a table of pairs takes the place of {given[0]}; leave one of them out")
            if not Path(self.pairs).is_file():
                raise RequestError(f"table of pairs '{self.pairs}' does not exist")
            return
        for role in ("fixed", "moving"):
            if role not in given:
                raise RequestError(f"no {role} image given; name fixed and moving images, or a table of pairs")

    @property
    def paths(self) -> list[str]:
        """All paths of the request, which tell it from another."""
        if self.pairs is not None:
            return [str(self.pairs)]
        return [path for role in ROLES for path in _listed(getattr(self, role))]


@dataclass
class _Pair:
    """One pair as it was asked for, before anything was looked at."""

    files: dict[str, str]
    name: str = ""
    where: str = ""
    reason: str = field(default="")


def find_pairs(request: PairRequest, privacy: PatientWords | None = None) -> list[dict[str, Any]]:
    """The cases of a request.

    Headers of DICOM series are read, voxels are not. Words that name a patient of any of them are hidden in the names and
    reasons of all.

    Args:
        request: What is asked for.
        privacy: Takes up what the headers say of their patients.

    Returns:
        One dictionary per pair: "case", "file" ("FIXED <- MOVING"), "image" (paths in the order of ``ROLES``), "status",
        "reason", "patient" (a number for each moving image).

    Raises:
        RequestError: An image does not exist (in a table only its pair fails), the numbers of files do not fit, or the
            table is none.
    """
    asked = _from_table(Path(request.pairs)) if request.pairs is not None else _from_paths(request)
    if not asked:
        raise RequestError("there is no pair in what was given")
    return _cases(asked, PatientWords() if privacy is None else privacy)


def pair_cases(rows: Iterable[Mapping[str, str]], privacy: PatientWords | None = None) -> list[dict[str, Any]]:
    """The cases of pairs that are listed already.

    Args:
        rows: Paths by ``ROLES``, and "case".
        privacy: As of ``find_pairs``.

    Returns:
        As ``find_pairs``.
    """
    asked = [_Pair({role: row[role] for role in ROLES if row.get(role)}, row.get("case", "")) for row in rows]
    return _cases(asked, PatientWords() if privacy is None else privacy)


def _cases(asked: list[_Pair], words: PatientWords) -> list[dict[str, Any]]:
    look = _Look(words)
    reasons = [_reason(pair, look) for pair in asked]  # all headers, before any name is shown
    taken: dict[str, int] = {}
    seen: dict[tuple[str, ...], str] = {}
    patients: dict[str, str] = {}
    cases = []
    for number, (pair, (status, reason)) in enumerate(zip(asked, reasons, strict=True), start=1):
        shown = f"{_shown(pair.files.get('fixed', ''))} <- {_shown(pair.files.get('moving', ''))}"
        name = safe_name(pair.name or f"{_stem(pair.files.get('fixed', ''))}-{_stem(pair.files.get('moving', ''))}")
        if not name or words.hides(name):
            name = "pair-" + hashlib.sha256(repr(sorted(pair.files.items())).encode()).hexdigest()[:8]
        same = seen.setdefault(tuple(pair.files.get(role, "") for role in ROLES), name)
        if same is not name and status == "pending":
            status, reason = "skipped", f"the same pair as '{same}'"
        elif pair.name and name.lower() in taken and status == "pending":
            status, reason = "failed", f"the case name '{name}' is taken by pair {taken[name.lower()]}; give another"
        free, again = name, 2
        while free.lower() in taken:
            free, again = f"{name}_{again}", again + 1
        taken[free.lower()] = number
        moving = pair.files.get("moving", "")
        cases.append(
            {
                "case": free,
                "file": words(shown),
                "image": [pair.files.get(role, "") for role in ROLES],
                "status": status,
                "reason": words(": ".join(filter(None, [pair.where, reason])) if reason else ""),
                "patient": patients.setdefault(moving, f"P{len(patients) + 1:05d}"),
            }
        )
    return cases


class _Look:
    """Looks at each path once."""

    def __init__(self, words: PatientWords) -> None:
        self._words = words
        self._known: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        """Why a path is no volume; empty where it may be one."""
        if path not in self._known:
            self._known[path] = self._problem(Path(path))
        return self._known[path]

    def _problem(self, path: Path) -> str:
        if not path.exists():
            return "does not exist"
        if path.is_file() and is_volume_file(path):
            return "is empty" if path.stat().st_size == 0 else ""
        try:
            index = index_files(path)
        except RequestError as error:
            return str(error).split(" under ")[0]
        self._words.add(index.names)
        alone = _volume_files(path) if path.is_dir() else []
        if len(alone) == 1 and not index.series:
            return ""
        return why_not_one(index)


def _reason(pair: _Pair, look: _Look) -> tuple[str, str]:
    """Status and reason of a pair by its files."""
    if pair.reason:
        return "failed", pair.reason
    for role, path in pair.files.items():
        words = role.replace("_", " ")
        problem = look(path) if role in ("fixed", "moving") else "" if Path(path).is_file() else "does not exist"
        if not problem and role.endswith("labels") and not is_volume_file(path):
            problem = f"is none of {', '.join(NIFTI_SUFFIXES + ITK_SUFFIXES)}"
        if problem:
            return "failed", f"{words} '{_shown(path)}' {problem}"
    return "pending", ""


def _from_paths(request: PairRequest) -> list[_Pair]:
    given = {role: _listed(getattr(request, role)) for role in ROLES}
    for role, paths in given.items():
        for path in paths:
            if not Path(path).exists():
                raise RequestError(f"{role.replace('_', ' ')} '{path}' does not exist")
    moving = [file for path in given["moving"] for file in _expanded(path)]
    if len(given["fixed"]) not in (1, len(moving)):
        raise RequestError(
            f"{len(given['fixed'])} fixed images for {len(moving)} moving ones; give one for all, or as many of both"
        )
    for role, number in (
        ("moving_labels", len(moving)),
        ("points", len(moving)),
        ("fixed_labels", len(given["fixed"])),
    ):
        if given[role] and len(given[role]) != number:
            raise RequestError(f"{len(given[role])} {role.replace('_', ' ')} for {number} images; give one for each")
    pairs = []
    for number, file in enumerate(moving):
        first = number if len(given["fixed"]) > 1 else 0
        places = {"fixed": first, "moving_labels": number, "fixed_labels": first, "points": number}
        files = {"moving": file} | {role: given[role][k] for role, k in places.items() if given[role]}
        pairs.append(_Pair({role: files[role] for role in ROLES if role in files}))
    return pairs


def _expanded(path: str) -> list[str]:
    """The volume files of a folder that holds some; else the path itself."""
    files = _volume_files(Path(path)) if Path(path).is_dir() else []
    return [str(file) for file in files] if len(files) > 1 else [path]


def _volume_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file() and is_volume_file(file))


def _from_table(path: Path) -> list[_Pair]:
    return [_row(path, number, row) for number, row in _rows(path)]


def _row(path: Path, number: int, row: dict[str, str]) -> _Pair:
    files = {role: str(path.parent / Path(row[role]).expanduser()) for role in ROLES if row.get(role)}
    missing = [role for role in ("fixed", "moving") if role not in files]
    reason = f"column '{missing[0]}' is empty" if missing else ""
    return _Pair(files, row.get("case", ""), f"line {number}", reason)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a table with their lines in the file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            names = [_OF_SCORING.get(name.strip(), name.strip()) for name in reader.fieldnames or ()]
            known = (*ROLES, "case")
            for name in ("fixed", "moving"):
                if name not in names:
                    raise InputDataError(
                        f"table '{path}' lacks the column '{name}'; it has {', '.join(names) or 'none'}"
                    )
            for name in names:
                if name not in (*known, *_FOR_SCORING) or names.count(name) > 1:
                    raise InputDataError(f"table '{path}': column '{name}'; expected each once of {', '.join(known)}")
            reader.fieldnames = names
            for row in reader:
                if None in row or None in row.values():
                    raise InputDataError(f"table '{path}', line {reader.line_num}: expected {len(names)} fields")
                yield reader.line_num, {name: value.strip() for name, value in row.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputDataError(f"table '{path}' cannot be read as CSV ({error})") from error


def _listed(paths: Paths) -> list[str]:
    if paths is None:
        return []
    return [str(paths)] if isinstance(paths, str | Path) else [str(path) for path in paths]


def _shown(path: str) -> str:
    return Path(path).name


def _stem(path: str) -> str:
    name = Path(path).name
    for suffix in (".nii.gz", *NIFTI_SUFFIXES, *ITK_SUFFIXES, ".zip"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name
