"""What is in a folder, by headers alone: patients, studies, series, volumes to be, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.io.findings import POLICIES, refusals
from medpipe.io.garbage import no_collection
from medpipe.io.header_store import HeaderStore
from medpipe.io.privacy import PatientWords, name_hider
from medpipe.io.series import Index, Series, index_files
from medpipe.io.stack import Stack
from medpipe.io.volume import header_findings

__all__ = ["take_inventory"]


def take_inventory(
    paths: str | Path | Sequence[str | Path],
    usable: Callable[[Series], list[str]] | None = None,
    store: HeaderStore | None = None,
    *,
    identified: bool = False,
) -> dict[str, Any]:
    """Index files and describe them without naming any patient.

    Args:
        paths: Files, folders, zip archives or DICOMDIR files.
        usable: Gives the names of the bundles that a series fits.
        store: Headers of an earlier look at these files.
        identified: Leave words of paths that name a patient as they are.

    Returns:
        "patients" (with "studies", "series", "volumes" and "findings"), "files" by status, "not_read" (files that were
        skipped or failed, with the reason), "niftis" and "segmentations".

    Raises:
        RequestError: A path does not exist, or there is no file under any of them.
    """
    with no_collection():
        return _described(index_files(paths, store), usable, identified=identified)


def _described(
    index: Index, usable: Callable[[Series], list[str]] | None = None, *, identified: bool = False
) -> dict[str, Any]:
    hide = name_hider(index.names, identified=identified)
    patients: dict[int, dict[str, Any]] = {}
    for series in index.series:
        patient = patients.setdefault(series.patient, {"patient": f"P{series.patient:04d}", "studies": {}})
        study = patient["studies"].setdefault(series.study, {"study": series.study, "series": []})
        study["series"].append(_series(series, hide, usable))
    rows = [{**patient, "studies": list(patient["studies"].values())} for patient in patients.values()]
    return {
        "patients": rows,
        "files": _counts(index),
        "segmentations": [hide(entry.label) for entry in index.annotations],
        "niftis": [hide(entry.label) for entry in index.niftis],
        "not_read": [
            {"file": hide(entry.label), "status": entry.status, "code": entry.code, "reason": hide(entry.reason)}
            for entry in index.files.values()
            if entry.status
        ],
    }


def _counts(index: Index) -> dict[str, int]:
    counts = {"found": len(index.files), "images": sum(len(series.instances) for series in index.series)}
    counts["niftis"], counts["segmentations"] = len(index.niftis), len(index.annotations)
    for status in ("skipped", "failed"):
        counts[status] = sum(entry.status == status for entry in index.files.values())
    return counts


def _series(series: Series, hide: PatientWords, usable: Callable[[Series], list[str]] | None) -> dict[str, Any]:
    return {
        "series": series.number,
        "name": series.name,
        "modality": series.modality,
        "files": len(series.instances),
        "volumes": [_volume(stack, hide) for stack in series.stacks()],
        "bundles": usable(series) if usable is not None else [],
    }


def _volume(stack: Stack, hide: PatientWords) -> dict[str, Any]:
    findings = [*stack.findings, *header_findings(stack)]
    return {
        "shape": list(stack.shape),
        "voxel_mm": [round(float(v), 4) for v in np.linalg.norm(stack.affine[:3, :3], axis=0)],
        "converted_by": [policy for policy in POLICIES if not refusals(findings, policy)],
        "findings": hide.nested([finding.as_dict() for finding in findings]),
    }
