"""Data sets of one DICOM file per image, named for the image: finding files, reading headers, comparing names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pydicom

from medpipe.errors import InputDataError

from .demographics import parse_age
from .findings import Finding, error, warning
from .names import some_names

__all__ = ["compare_names", "find_dicom_files", "read_header_entries"]

_TAGS = ["PatientSex", "PatientAge", "ViewPosition", "Rows", "Columns"]


def find_dicom_files(
    root: Path, folders: Sequence[str], suffixes: Sequence[str] = (".dcm",)
) -> tuple[dict[str, Path], list[Finding]]:
    """The DICOM files below ``folders`` of ``root`` by their stem, at any depth.

    Returns:
        stem -> file, and an error where there is no file, or for each stem that several files have.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix.lower() in suffixes and path.is_file():
                found[path.stem].append(path)
    findings = []
    if not found:
        findings.append(error("no_images", f"no {' or '.join(suffixes)} file below {' or '.join(folders)} in {root}"))
    for stem, paths in found.items():
        if len(paths) > 1:
            places = ", ".join(path.relative_to(root).as_posix() for path in paths)
            findings.append(error("duplicate_stem", f"{len(paths)} files are named {stem}: {places}"))
    return {stem: paths[0] for stem, paths in found.items()}, findings


def read_header_entries(root: Path, files: dict[str, Path]) -> tuple[dict[str, dict[str, Any]], list[Finding]]:
    """What a datalist's entry takes from the headers: size, and sex, age and view where they are given.

    The image is its own ``patient``, because these data sets name nobody; an age of 0 years is a placeholder
    and left out.

    Returns:
        stem -> entry without truth, and an error for each header that cannot be read.
    """
    entries, findings = {}, []
    for image, path in sorted(files.items()):
        name = path.relative_to(root).as_posix()
        try:
            entries[image] = _entry(name, image, path)
        except Exception as fault:  # damaged files raise a dozen kinds of errors, from struct's to pydicom's
            findings.append(error("unreadable_header", f"{name}: its header cannot be read: {fault}"))
    return entries, findings


def compare_names(table: str, listed: Collection[str], files: Collection[str]) -> list[Finding]:
    """Images in ``table`` that are not on disk (an error where that is all of them), and files not in it."""
    missing, extra = set(listed) - set(files), set(files) - set(listed)
    findings = []
    if missing:
        count = f"{len(missing):,} of {len(listed):,} images in {table}"
        findings.append(warning("missing_images", f"{count} are not on disk: {some_names(missing)}"))
    if listed and len(missing) == len(listed):
        findings.append(error("no_labelled_image", f"none of the images in {table} is on disk"))
    if extra:
        findings.append(warning("unlisted_images", f"{len(extra):,} files are not in {table}: {some_names(extra)}"))
    return findings


def _entry(name: str, image: str, path: Path) -> dict[str, Any]:
    header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
    if not (header.get("Rows") and header.get("Columns")):
        raise InputDataError("it says no image size")
    known = {
        "sex": str(header.get("PatientSex") or ""),
        "age": parse_age(str(header.get("PatientAge") or "")) or None,
        "view": str(header.get("ViewPosition") or ""),
    }
    return {
        "image": name,
        "case": image,
        "patient": image,
        "rows": int(header.Rows),
        "columns": int(header.Columns),
    } | {key: value for key, value in known.items() if value not in ("", None)}
