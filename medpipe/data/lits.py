"""Reader of LiTS, the liver tumour segmentation benchmark, as distributed: pairs of NIfTI files.

    volume-0.nii, segmentation-0.nii ... volume-130.nii, segmentation-130.nii    in any depth of folders, also .nii.gz
    test-volume-0.nii ...                                                        without labels

The volumes with labels are those of the Medical Segmentation Decathlon's liver task: never use one for training and
the other for a test.
"""

from __future__ import annotations

from pathlib import Path

from .findings import warning
from .names import some_names
from .registration_sets import RegistrationSet, Survey, files_below

__all__ = ["READER"]


def _look(root: Path) -> Survey:
    survey = Survey()
    labels = {match[1]: path for path, match in files_below(root, r"segmentation-(\d+)\.nii(?:\.gz)?")}
    numbers = set()
    for path, match in files_below(root, r"(test-)?volume-(\d+)\.nii(?:\.gz)?"):
        test, number = match.groups()
        case = f"{test or ''}volume-{number}"
        entry = {"case": case, "subject": case, "image": path.relative_to(root).as_posix(), "modality": "CT"}
        if not test:
            numbers.add(number)
            if number in labels:
                entry["label"] = labels[number].relative_to(root).as_posix()
        survey.volumes.append(entry)
    alone = numbers - labels.keys()
    if alone:
        survey.findings.append(warning("no_label", f"no segmentation of volume {some_names(alone)}"))
    lost = labels.keys() - numbers
    if lost:
        survey.findings.append(warning("no_image", f"no volume of segmentation {some_names(lost)}"))
    survey.counts = {"labelled": len(numbers & labels.keys()), "test": len(survey.volumes) - len(numbers)}
    return survey


READER = RegistrationSet("lits", _look)
