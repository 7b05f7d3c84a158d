"""Reader of OASIS-1 as prepared for learning-based registration (neurite): one folder per scan, all affinely aligned.

    OASIS_OAS1_0001_MR1/aligned_norm.nii.gz       skull-stripped, intensities normalised
    OASIS_OAS1_0001_MR1/aligned_seg35.nii.gz      35 structures; or aligned_seg24, aligned_seg4
    seg35_labels.txt                              "value name ..." a line

OASIS-1 scanned some subjects twice (``_MR2``): a scan is a case, and both are of one subject.
"""

from __future__ import annotations

from pathlib import Path

from .findings import warning
from .names import some_names
from .registration_sets import RegistrationSet, Survey, by_number

__all__ = ["READER"]

_LABELS = "aligned_seg35.nii.gz"


def _look(root: Path) -> Survey:
    survey, alone = Survey(labels=_names(root / "seg35_labels.txt")), []
    for path in by_number(root.rglob("aligned_norm.nii.gz")):
        case = path.parent.name
        subject, mark, _ = case.rpartition("_MR")
        entry = {
            "case": case,
            "subject": subject if mark else case,
            "image": path.relative_to(root).as_posix(),
            "modality": "MR",
        }
        label = path.with_name(_LABELS)
        if label.is_file():
            entry["label"] = label.relative_to(root).as_posix()
        else:
            alone.append(case)
        survey.volumes.append(entry)
    if alone:
        survey.findings.append(warning("no_label", f"no {_LABELS} of {some_names(alone)}"))
    survey.counts = {
        "volumes": len(survey.volumes),
        "subjects": len({entry["subject"] for entry in survey.volumes}),
    }
    return survey


def _names(path: Path) -> dict[str, str]:
    """Value -> name from a table of words; nothing where there is none."""
    if not path.is_file():
        return {}
    rows = [line.split() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    return {row[0]: row[1] for row in rows if len(row) > 1 and row[0].isdigit() and int(row[0]) > 0}


READER = RegistrationSet("oasis", _look)
