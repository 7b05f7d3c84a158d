"""Pairs of a registration datalist as cases of a batch, and with what says how good their registration is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from medpipe.errors import InputDataError, RequestError
from medpipe.io.pairs import pair_cases
from medpipe.io.privacy import PatientWords

from .registration_datalist import entry_below, load_registration_datalist
from .registration_pairs import pairs

__all__ = ["listed_pair_cases", "listed_pairs"]


def listed_pairs(
    datalist: str | Path, root: str | Path, section: str, *, most: int | None = None, seed: int = 0
) -> list[dict[str, str]]:
    """The pairs of one section with the paths of their files.

    Args:
        datalist: The file.
        root: Folder of its paths.
        section: "training", "validation" or "test".
        most: So many pairs, drawn without replacement, in the list's order; None takes all.
        seed: Of that draw.

    Returns:
        Per pair "case" (FIXED-MOVING, distinct), "fixed", "moving", "fixed_subject", "moving_subject"; where the entries have them
        "fixed_labels", "moving_labels", "fixed_points" and "moving_points".

    Raises:
        RequestError: ``most`` is less than 1.
        InputDataError: The datalist is none, or the section has no pair.
    """
    if most is not None and most < 1:
        raise RequestError(f"most_pairs must be at least 1, got {most}; leave it out for all pairs")
    found = pairs(load_registration_datalist(datalist), section)
    if not len(found):
        raise InputDataError(f"{datalist}: section '{section}' has no pair; it needs two subjects")
    chosen: Any = range(len(found))
    if most is not None and most < len(found):
        chosen = np.sort(np.random.default_rng(seed).choice(len(found), most, replace=False))
    rows: list[dict[str, str]] = []
    taken: set[str] = set()
    for index in chosen:
        entries = [entry_below(entry, root) for entry in found[int(index)]]
        name = first = "-".join(str(entry["case"]) for entry in entries)
        number = 1
        while name.lower() in taken:  # "a-b" and "c" make what "a" and "b-c" make
            number += 1
            name = f"{first}_{number}"
        taken.add(name.lower())
        row = {"case": name}
        for role, entry in zip(("fixed", "moving"), entries, strict=True):
            row |= {role: entry["image"], f"{role}_subject": str(entry["subject"])}
            row |= {
                f"{role}_{name}": entry[key]
                for name, key in (("labels", "label"), ("points", "points"))
                if key in entry
            }
        rows.append(row)
    return rows


def listed_pair_cases(
    datalist: str | Path,
    root: str | Path,
    section: str,
    *,
    most: int | None = None,
    seed: int = 0,
    privacy: PatientWords | None = None,
) -> list[dict[str, Any]]:
    """The same pairs as pending cases of a batch run, laid out as by ``medpipe.io.pairs.find_pairs``.

    Raises:
        RequestError, InputDataError: As ``listed_pairs``; or a pair cannot be read, and the first one is named.
    """
    rows = listed_pairs(datalist, root, section, most=most, seed=seed)
    cases = pair_cases(({key: row[key] for key in row if not key.endswith("_points")} for row in rows), privacy)
    wrong = [case for case in cases if case["status"] != "pending"]
    if wrong:
        reason = wrong[0]["reason"]
        remedy = "; give the root that the datalist was made from" if reason.endswith("does not exist") else ""
        raise InputDataError(
            f"{len(wrong)} of {len(cases)} pairs of datalist '{datalist}' cannot be read under '{root}' (first: "
            f"{wrong[0]['case']}: {reason}){remedy}"
        )
    return cases
