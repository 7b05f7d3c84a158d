"""Datalist entries as what engines take: training items with absolute paths, and cases of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medpipe.data.datalist import load_datalist
from medpipe.errors import InputDataError
from medpipe.io.cases import Case, safe_name
from medpipe.io.dicom_radiograph import patient_words_of
from medpipe.io.privacy import PatientWords, name_hider

__all__ = ["check_classes", "datalist_cases", "datalist_entries"]


def datalist_entries(
    datalist: str | Path, root: str | Path, section: str, classes: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Entries of one section ("training", "validation", "test") with absolute image paths.

    Args:
        datalist: The file.
        root: Folder that its paths start from.
        section: Which part of it.
        classes: Names of the labels, in order, where an image has several.

    Raises:
        InputDataError: The datalist has other labels, the section is missing or empty, or an image is not on disk; the
            first ones are named.
    """
    content = load_datalist(Path(datalist))
    check_classes(content, classes, datalist)
    entries = content.get(section, [])
    if not entries:
        raise InputDataError(f"datalist '{datalist}' has no images in its section '{section}'")
    items = [{**entry, "image": str(Path(root) / entry["image"])} for entry in entries]
    missing = [item["image"] for item in items if not Path(item["image"]).is_file()]
    if missing:
        hide = name_hider(entry["patient"] for entry in entries)
        raise InputDataError(
            f"{len(missing)} of {len(items)} images of datalist '{datalist}' are not under '{root}' "
            f"(first: {hide(missing[0])}); give the root that the datalist was made from"
        )
    return items


def check_classes(content: dict[str, Any], classes: Sequence[str] | None, source: str | Path) -> None:
    """Refuse a datalist whose labels are not those that are asked for.

    Args:
        content: The datalist.
        classes: As for ``datalist_entries``.
        source: How the message names the datalist.

    Raises:
        InputDataError: It has one label where several are expected, several instead of one, or others.
    """
    found = content.get("classes")
    if found == (None if classes is None else list(classes)):
        return
    if classes is None:
        raise InputDataError(
            f"datalist '{source}' has {len(found or ())} labels; expected one: prepare it with --label NAME"
        )
    if found is None:
        raise InputDataError(
            f"datalist '{source}' has one label; expected {len(classes)} classes: prepare it with --label all"
        )
    raise InputDataError(
        f"datalist '{source}' has the classes {', '.join(found)}; expected {', '.join(classes)}: give classes=[...]"
    )


def datalist_cases(
    datalist: str | Path,
    root: str | Path,
    section: str,
    privacy: PatientWords | None = None,
    classes: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """The same entries as pending cases of a batch run, without their truth.

    Patients are numbered in order of appearance, as for any other input. Cases keep the names of the datalist. Their
    patients' ids, and what the images' headers say of them, are hidden in paths.

    Raises:
        InputDataError: As ``datalist_entries``.
    """
    words = PatientWords() if privacy is None else privacy
    patients: dict[str, str] = {}
    cases = []
    for entry in datalist_entries(datalist, root, section, classes):
        if safe_name(entry["case"]) != entry["case"]:
            raise InputDataError(
                f"datalist '{datalist}': case {entry['case']!r} cannot name a folder; use letters, digits, '.', '_', '-'"
            )
        number = patients.setdefault(entry["patient"], f"P{len(patients) + 1:05d}")
        case = Case(entry["case"], Path(entry["image"]).relative_to(root).as_posix(), entry["image"], patient=number)
        case.sex, case.view = (str(entry.get(key, "")) for key in ("sex", "view"))
        case.age = str(entry.get("age", ""))
        cases.append(case)
        words.add([str(entry["patient"]), *patient_words_of(Path(entry["image"]))])
    for case in cases:
        case.file = words(case.file)
    return [case.as_dict() for case in cases]
