"""Reader of collections of T1-weighted brain MRI in one folder per subject: ADNI, ABIDE, ADHD-200.

    [SITE/]sub-0051456/[ses-1/]anat/sub-0051456_T1w.nii.gz                 BIDS
    [SITE/]0010001/session_1/anat_1/mprage.nii.gz                          INDI's earlier releases
    002_S_0295/MP-RAGE/2006-04-18_08_20_30.0/I13722/ADNI_..._I13722.nii    ADNI's NIfTI downloads

A subject is a folder, not a number: two sites may count their subjects alike. All scans of a subject are listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from .findings import error
from .registration_sets import RegistrationSet, Survey, files_below

__all__ = ["ABIDE", "ADHD200", "ADNI"]

_PLACES = (
    re.compile(r"(?P<subject>(?:.+/)?sub-[^/]+)/(?:ses-[^/]+/)?anat/sub-[^/]+_T1w\.nii(?:\.gz)?"),
    re.compile(r"(?P<subject>(?:.+/)?[^/]+)/(?P<scan>session_\d+/anat_\d+)/mprage\.nii(?:\.gz)?"),
    re.compile(r"(?:.+/)?(?P<subject>\d{3}_S_\d{4})/(?:.+/)?(?:[^/]*_)?(?P<scan>I\d+)\.nii(?:\.gz)?"),
)


def _look(root: Path) -> Survey:
    survey = Survey()
    for path, _ in files_below(root, r".*\.nii(?:\.gz)?"):
        place = path.relative_to(root).as_posix()
        for subject, case in _found(place):
            survey.volumes.append({"case": case, "subject": subject, "image": place, "modality": "MR"})
    survey.counts = {
        "subjects": len({entry["subject"] for entry in survey.volumes}),
        "volumes": len(survey.volumes),
    }
    if not survey.volumes and next(files_below(root, r".*\.dcm"), None) is not None:
        message = (
            f"{root} holds DICOM files; make NIfTI files of them first, with 'medpipe convert', one folder a subject"
        )
        survey.findings.append(error("dicom", message))
    return survey


def _found(place: str) -> Iterator[tuple[str, str]]:
    """Subject and case of one file's place, if it is a T1-weighted volume."""
    for pattern in _PLACES:
        match = pattern.fullmatch(place)
        if match is None:
            continue
        subject = match["subject"].replace("/", "_")
        if "scan" in match.groupdict():
            yield subject, f"{subject}_{match['scan'].replace('/', '_')}"
        else:
            sites = PurePosixPath(match["subject"]).parts[:-1]
            name = PurePosixPath(place).name.split(".nii")[0].removesuffix("_T1w")
            yield subject, "_".join((*sites, name))
        return


ADNI = RegistrationSet("adni", _look)
ABIDE = RegistrationSet("abide", _look)
ADHD200 = RegistrationSet("adhd200", _look)
