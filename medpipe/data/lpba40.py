"""Reader of LPBA40, the LONI probabilistic brain atlas: 40 brains with 56 structures drawn by hand.

    S01/S01.delineation.skullstripped.img + .hdr             the brain, Analyze or NIfTI, in any depth of folders
    S01/S01.delineation.structure.label.img + .hdr           its labels
    S01/S01.native.brain.mri..., S01.native.structure.label...

Each space has its own grid, so image and label are always of one space: the delineation space where it is there.
The first brain is the atlas, the fixed image of every pair, and therefore in none of the sections.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from medpipe.errors import InputDataError

from .findings import Finding, error, warning
from .names import some_names
from .registration_datalist import REFERENCE
from .registration_sets import RegistrationSet, Survey, files_below
from .splits import PARTS
from .volume_files import read_volume_file

__all__ = ["ATLAS", "READER", "STRUCTURES"]

ATLAS = "S01"
STRUCTURES = (
    *(*range(21, 35), *range(41, 51), *range(61, 69), *range(81, 93)),
    *(101, 102, 121, 122, *range(161, 167), 181, 182),
)
"""The values of the 56 structures; 0 is background."""

_SPACES = ("delineation", "native")
_IMAGES = ("skullstripped", "brain", "mri")


def _look(root: Path) -> Survey:
    survey = Survey(split=f"as published: all brains but the atlas {ATLAS} are for the test, which it is fixed in")
    found: dict[str, dict[str, list[Path]]] = {}
    for path, match in files_below(root, r"(S\d\d)\..+\.(?:hdr|nii|nii\.gz)"):
        space = next((space for space in _SPACES if space in path.name), "")
        found.setdefault(match[1], {}).setdefault(space, []).append(path)
    for subject, spaces in sorted(found.items()):
        chosen = next(space for space in (*_SPACES, "") if space in spaces)
        entry = _entry(root, subject, spaces[chosen])
        if entry is None:
            names = [path.name for path in spaces[chosen]]
            survey.findings.append(warning("no_image", f"no brain volume of {subject} among {some_names(names)}"))
            continue
        survey.volumes.append(entry)
        survey.findings += _label_findings(root, entry)
    survey.sections = {entry["case"]: "test" for entry in survey.volumes} | {ATLAS: REFERENCE}
    survey.counts = {"labelled": sum("label" in entry for entry in survey.volumes)}
    if survey.volumes and not any(entry["case"] == ATLAS for entry in survey.volumes):
        survey.findings.append(error("no_atlas", f"{ATLAS}, the fixed image of every pair, is not in {root}"))
    survey.pairs = {part: {"how": "atlas", "fixed": ATLAS} for part in PARTS}
    return survey


def _entry(root: Path, subject: str, paths: list[Path]) -> dict[str, Any] | None:
    labels = [path for path in paths if "label" in path.name]
    images = [path for word in _IMAGES for path in paths if word in path.name and "mask" not in path.name]
    images = [path for path in images if path not in labels]
    if not images:
        return None
    entry = {"case": subject, "subject": subject, "image": images[0].relative_to(root).as_posix(), "modality": "MR"}
    return entry | ({"label": labels[0].relative_to(root).as_posix()} if labels else {})


def _label_findings(root: Path, entry: dict[str, Any]) -> list[Finding]:
    if "label" not in entry:
        return [warning("no_label", f"no labels of {entry['case']}")]
    try:
        values = set(np.unique(read_volume_file(root / entry["label"])[0]).astype(int).tolist())
    except InputDataError as fault:
        return [error("unreadable", str(fault))]
    unknown = values - {0, *STRUCTURES}
    return [warning("other_values", f"{entry['label']} has values {some_names([str(v) for v in unknown])}")] * bool(
        unknown
    )


READER = RegistrationSet("lpba40", _look)
