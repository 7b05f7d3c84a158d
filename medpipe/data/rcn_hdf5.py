"""Reader of the HDF5 and JSON files of "Recursive Cascaded Networks" (Zhao et al., ICCV 2019), as its authors made them.

    liver.json or brain.json, also in datasets/          which scans, in which files, for what
    datasets/lits_val.h5, ...                            below the folder, or beside the JSON file

The JSON file has ``files`` (key -> HDF5 file), ``subsets`` (name -> entries), ``schemes`` ("1" training, "2"
validation, other names for further tests: subset -> share), ``image_type``, for brains ``atlas`` and
``segmentation_class_value``. An entry ``lits/7`` is the group 7 of the file ``lits``; where no file has that key, as in
``hepaticvessel/1``, it is the group of that whole name in the file "/". Each group holds ``volume`` and perhaps
``segmentation`` (livers 0 and 255, brains the structure's number) and ``point`` (6 x 3 voxels, -1 for a missing one).
Its scan is named ``lits_7``.

The pigs of LSPIG were scanned before and after their abdomen was filled with gas. They are listed so that neighbours
make a pair, and each pair is registered both ways. All other pairs of livers are all ordered pairs of two scans; brains
have the atlas as their fixed image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from medpipe.errors import InputDataError

from .findings import Finding, error, warning
from .names import some_names
from .registration_datalist import REFERENCE
from .registration_sets import RegistrationSet, Survey, read_json_table
from .splits import PARTS

__all__ = ["LITS", "LPBA", "LSPIG", "PHANTOMS", "SLIVER"]

_FILE = {"type": "object", "required": ["path"], "properties": {"path": {"type": "string"}}}
_ENTRIES = {"type": "array", "items": {"type": "string", "minLength": 1}}
_SCHEMA = {
    "required": ["files", "subsets", "schemes", "image_type"],
    "properties": {
        "files": {"type": "object", "additionalProperties": _FILE},
        "subsets": {"type": "object", "additionalProperties": _ENTRIES},
        "schemes": {"type": "object", "additionalProperties": {"type": "object"}},
        "image_type": {"type": "string"},
        "image_size": {"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 3},
        "atlas": {"type": "string", "minLength": 1},
        "segmentation_class_value": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
}
_LIVER_VALUE = "255"
_PIG = re.compile(r"(.+)_(?:pregas|aftergas)")


def _look(kind: str, test: str, root: Path) -> Survey:
    path, about = _read_json(root, kind)
    survey = Survey(labels=_labels(about))
    parts = _parts(about, path, test)
    atlas = about.get("atlas")
    entries = [entry for part in parts.values() for entry in part] + ([atlas] if atlas else [])
    found, survey.findings = _open_scans(root, path, about, list(dict.fromkeys(entries)))
    survey.volumes = list(found.values())
    for part, names in parts.items():
        cases = [found[name]["case"] for name in names if name in found and name != atlas]
        survey.sections |= dict.fromkeys(cases, part)
        survey.counts[part] = len(cases)
        survey.pairs[part] = _rule(cases, atlas and _scan_name(atlas))
    if atlas:
        survey.sections[_scan_name(atlas)] = REFERENCE
        if atlas not in found:
            survey.findings.append(error("no_atlas", f"the atlas {atlas} of {path.name} is not on disk"))
    survey.split = f"as published: schemes 1 (training), 2 (validation), {test} (test) of {path.name}"
    return survey


def _read_json(root: Path, kind: str) -> tuple[Path, dict[str, Any]]:
    """The JSON file of that ``image_type``; "" takes any."""
    for path in sorted((*root.glob("*.json"), *root.glob("datasets/*.json"), *root.glob("rcn/*.json"))):
        about = read_json_table(path, {})
        if "subsets" in about and kind in ("", about.get("image_type")):
            return path, read_json_table(path, _SCHEMA)
    raise InputDataError(f"no JSON file with 'subsets' and the image_type {kind or 'liver or brain'} in {root}")


def _labels(about: dict[str, Any]) -> dict[str, str]:
    if about["image_type"] == "liver":
        return {_LIVER_VALUE: "liver"}
    return {str(value): str(name) for name, value in about.get("segmentation_class_value", {}).items()}


def _parts(about: dict[str, Any], path: Path, test: str) -> dict[str, list[str]]:
    """Section -> entries. A test scheme that is also the validation is for the test."""
    parts = {}
    for part, scheme in zip(PARTS, ("1", "2", test), strict=True):
        if scheme not in about["schemes"]:
            raise InputDataError(f"{path}: has no scheme {scheme!r}; found {', '.join(about['schemes'])}")
        unknown = about["schemes"][scheme].keys() - about["subsets"].keys()
        if unknown:
            raise InputDataError(f"{path}: scheme {scheme!r} names no subset: {some_names(unknown)}")
        parts[part] = [entry for subset in about["schemes"][scheme] for entry in about["subsets"][subset]]
    if set(parts["validation"]) & set(parts["test"]):
        parts["validation"] = []
    return parts


def _rule(cases: list[str], atlas: str | None) -> dict[str, Any]:
    if atlas:
        return {"how": "atlas", "fixed": atlas}
    if cases and all(_PIG.fullmatch(case) for case in cases):
        return {"how": "listed", "pairs": _neighbours(cases)}
    return {"how": "all", "distinct": "case"}


def _neighbours(cases: list[str]) -> list[list[str]]:
    """Both scans of a pig, both ways, in the order of the list; one that lost its partner has no pair."""
    found: list[list[str]] = []
    waiting: dict[str, str] = {}
    for case in cases:
        other = waiting.pop(_subject(case), None)
        if other is None:
            waiting[_subject(case)] = case
        else:
            found += [[other, case], [case, other]]
    return found


def _open_scans(
    root: Path, path: Path, about: dict[str, Any], names: list[str]
) -> tuple[dict[str, dict[str, Any]], list[Finding]]:
    import h5py

    files: dict[str, Any] = {}
    found, findings, absent = {}, list[Finding](), list[str]()
    try:
        for key, place in _files(root, path, about):
            if place is None:
                findings.append(warning("missing_file", f"{about['files'][key]['path']} of {path.name} is missing"))
                continue
            try:
                files[key] = h5py.File(place, "r")
            except OSError as fault:
                findings.append(error("unreadable", f"{place.name}: cannot be read as HDF5 ({str(fault)[:120]})"))
        for name in names:
            key, group = _file_and_group(name, about["files"])
            if key not in files:
                continue
            scan = files[key].get(group)
            if not isinstance(scan, h5py.Group) or "volume" not in scan:
                absent.append(name)
                continue
            inside = Path(files[key].filename).relative_to(root).as_posix()
            findings += _scan_findings(name, scan, tuple(about.get("image_size", (128, 128, 128))))
            found[name] = _entry(name, f"{inside}#{group}", scan, about["image_type"])
    finally:
        for file in files.values():
            file.close()
    if absent:
        message = f"{len(absent):,} scans of {path.name} are not in their files: {some_names(absent)}"
        findings.append(warning("missing_scans", message))
    return found, findings


def _files(root: Path, path: Path, about: dict[str, Any]) -> Iterator[tuple[str, Path | None]]:
    """Where each HDF5 file lies: at its path below the folder, or by its name beside the JSON file."""
    for key, file in about["files"].items():
        place = PurePosixPath(file["path"])
        inside = not place.is_absolute() and ".." not in place.parts
        tries = [*([root / place, path.parent / place] if inside else []), path.parent / place.name]
        yield key, next((each for each in tries if place.name and each.is_file()), None)


def _file_and_group(name: str, files: dict[str, Any]) -> tuple[str, str]:
    key, _, group = name.partition("/")
    return (key, group) if key in files and group else ("/", name)


def _scan_name(name: str) -> str:
    return name.replace("/", "_")


def _subject(case: str) -> str:
    """The liver task of the decathlon is LiTS, BFH has several scans of a patient, a pig has two."""
    pig, hospital = _PIG.fullmatch(case), re.fullmatch(r"(youyi_\d+)_.+", case)
    if pig or hospital:
        return (pig or hospital)[1]  # type: ignore[index]
    return re.sub(r"^liver_(\d+)$", r"lits_\1", case)


def _scan_findings(name: str, scan: Any, size: tuple[int, ...]) -> Iterator[Finding]:
    for key in ("volume", "segmentation"):
        if key in scan and scan[key].shape != size:
            yield error("size", f"{name}: its {key} has the shape {scan[key].shape}; expected {size}")
    if "point" in scan and (scan["point"].ndim != 2 or scan["point"].shape[1] != 3):
        yield error("points", f"{name}: its points have the shape {scan['point'].shape}; expected (points, 3)")


def _entry(name: str, place: str, scan: Any, kind: str) -> dict[str, Any]:
    case = _scan_name(name)
    entry = {"case": case, "subject": _subject(case), "image": f"{place}/volume"}
    entry["modality"] = "CT" if kind == "liver" else "MR"
    extra = {"label": "segmentation", "points": "point"}
    return entry | {key: f"{place}/{inside}" for key, inside in extra.items() if inside in scan}


SLIVER = RegistrationSet("rcn_sliver", partial(_look, "liver", "sliver"))
LITS = RegistrationSet("rcn_lits", partial(_look, "liver", "lits"))
LSPIG = RegistrationSet("rcn_lspig", partial(_look, "liver", "lspig"))
LPBA = RegistrationSet("rcn_lpba", partial(_look, "brain", "2"))
PHANTOMS = RegistrationSet("registration_phantoms", partial(_look, "", "test"))
