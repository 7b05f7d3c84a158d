"""Reader of tasks of the Medical Segmentation Decathlon, of one volume per subject.

    dataset.json                              label names, modality, the files of training and test
    imagesTr/liver_0.nii.gz, labelsTr/liver_0.nii.gz, imagesTs/liver_132.nii.gz
    images/hippocampus_001.nii.gz, labels/hippocampus_001.nii.gz                  a layout of subsets, without the JSON

The archives carry a hidden ``._liver_0.nii.gz`` beside every file, which is left out.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from .findings import error, info, warning
from .names import some_names
from .registration_sets import RegistrationSet, Survey, files_below, read_json_table
from .volume_files import stem_of

__all__ = ["HEPATIC_VESSEL", "HIPPOCAMPUS", "LIVER", "PANCREAS"]

_FOLDERS = (("imagesTr", "labelsTr"), ("images", "labels"), ("imagesTs", ""))

_VOLUME = {"type": "object", "required": ["image"], "properties": {"image": {"type": "string"}}}
_SCHEMA = {
    "properties": {
        "labels": {"type": "object", "propertyNames": {"pattern": "^[0-9]+$"}},
        "training": {"type": "array", "items": _VOLUME},
        "test": {"type": "array", "items": {"type": "string"}},
    }
}


def _look(prefix: str, modality: str, root: Path) -> Survey:
    survey = Survey()
    table = root / "dataset.json"
    about = read_json_table(table, _SCHEMA) if table.is_file() else {}
    survey.labels = {value: name for value, name in about.get("labels", {}).items() if value != "0"}
    others, labelled = [], 0
    for images, labels in _FOLDERS:
        known = {path.name: path for path, _ in files_below(root / labels, r".*\.nii(?:\.gz)?")} if labels else {}
        for path, _ in files_below(root / images, r".*\.nii(?:\.gz)?"):
            case = stem_of(path)
            if not case.startswith(f"{prefix}_"):
                others.append(path.name)
                continue
            entry = {"case": case, "subject": case, "image": path.relative_to(root).as_posix(), "modality": modality}
            if path.name in known:
                entry["label"] = known.pop(path.name).relative_to(root).as_posix()
                labelled += 1
            survey.volumes.append(entry)
        if known:
            survey.findings.append(warning("no_image", f"labels in {labels} without an image: {some_names(known)}"))
    if others:
        survey.findings.append(error("wrong_task", f"files of another task than {prefix}: {some_names(others)}"))
    survey.counts = {"labelled": labelled, "test": len(survey.volumes) - labelled}
    _compare(about, survey)
    if prefix == "liver" and labelled:
        survey.findings.append(
            info(
                "is_lits", "liver_0 to liver_130 are the volumes of LiTS; to be tested on LiTS, train on imagesTs alone"
            )
        )
    return survey


def _compare(about: dict[str, Any], survey: Survey) -> None:
    """The files of dataset.json, written ``./imagesTr/liver_0.nii.gz``, against those on disk."""
    listed = {stem_of(Path(item["image"])) for item in about.get("training", ())}
    listed |= {stem_of(Path(item)) for item in about.get("test", ())}
    here = {entry["case"] for entry in survey.volumes}
    if listed and listed - here:
        count = f"{len(listed - here):,} of {len(listed):,} volumes of dataset.json"
        survey.findings.append(warning("missing_images", f"{count} are not on disk: {some_names(listed - here)}"))
    if listed and here - listed:
        message = f"{len(here - listed):,} volumes are not in dataset.json: {some_names(here - listed)}"
        survey.findings.append(warning("unlisted_images", message))


LIVER = RegistrationSet("msd_task03_liver", partial(_look, "liver", "CT"))
HIPPOCAMPUS = RegistrationSet("msd_task04_hippocampus", partial(_look, "hippocampus", "MR"))
PANCREAS = RegistrationSet("msd_task07_pancreas", partial(_look, "pancreas", "CT"))
HEPATIC_VESSEL = RegistrationSet("msd_task08_hepaticvessel", partial(_look, "hepaticvessel", "CT"))
