"""Reader of SLIVER07, the liver segmentation challenge: MetaImage headers with their voxels in a second file.

    liver-orig001.mhd, liver-orig001.raw, liver-seg001.mhd, liver-seg001.raw ... 020    in any depth of folders

The copy that the registration papers used lacks number 14: ``rcn_liver`` has 19 of the 20.
"""

from __future__ import annotations

from pathlib import Path

from .findings import warning
from .names import some_names
from .registration_sets import RegistrationSet, Survey, files_below

__all__ = ["READER"]


def _look(root: Path) -> Survey:
    survey = Survey()
    labels = {match[1]: path for path, match in files_below(root, r"liver-seg(\d{3})\.mhd")}
    for path, match in files_below(root, r"liver-orig(\d{3})\.mhd"):
        case = f"liver-orig{match[1]}"
        entry = {"case": case, "subject": case, "image": path.relative_to(root).as_posix(), "modality": "CT"}
        label = labels.pop(match[1], None)
        if label is not None:
            entry["label"] = label.relative_to(root).as_posix()
        survey.volumes.append(entry)
    if labels:
        survey.findings.append(warning("no_image", f"no volume of segmentation {some_names(labels)}"))
    alone = [entry["case"] for entry in survey.volumes if "label" not in entry]
    if alone:
        survey.findings.append(warning("no_label", f"no segmentation of {some_names(alone)}"))
    survey.counts = {"labelled": len(survey.volumes) - len(alone)}
    return survey


READER = RegistrationSet("sliver07", _look)
