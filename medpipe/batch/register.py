"""Which of the cases that a search found are new to a run, and which are to be done.

A run keeps what it knows: a file that was found before keeps its case's name and its patient's number, whatever comes or
goes beside it, and a file that is gone keeps its result.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from medpipe.predictions.fingerprints import case_key, digest_of, stamp_of
from medpipe.predictions.journal import FoundCase
from medpipe.predictions.run_folder import RunFolder

__all__ = ["recognise", "register"]

_PATIENT = re.compile(r"P(\d+)")


def register(
    run_folder: RunFolder, cases: Sequence[dict[str, Any]], *, retry_failed: bool = False, gone: bool = True
) -> list[dict[str, Any]]:
    """Enter the cases of a search into a run's journal and return those that are to be done now.

    These are the new ones, those that an earlier run did not reach or whose file has other content since (its old
    result goes), and with ``retry_failed`` those that failed. With ``gone``, pending cases whose file was not found
    again come back with the status "failed".
    """
    known = {case_key(found.case): found for found in run_folder.journal.found() if found.case}
    fresh, stamps, to_do = [], {}, []
    for case in _without_copies(recognise(cases, [found.case for found in known.values()]), known):
        before, stamp = known.pop(case_key(case), None), stamp_of(case.get("image"))
        changed = before is None or before.stamp != stamp
        if changed and before is not None and before.input_sha256:
            changed = before.input_sha256 != digest_of(case["image"])
            if not changed:
                stamps[case["case"]] = stamp
        if before is None or changed or (retry_failed and before.status == "failed"):
            fresh.append(FoundCase(case, stamp))
            to_do.append(case)
        elif before.status == "pending":
            to_do.append(_found_again(before.case, case))
    run_folder.forget(fresh)
    run_folder.journal.restamp(stamps)
    return to_do + [_gone(found.case) for found in known.values() if gone and found.status == "pending"]


def _found_again(known: dict[str, Any], case: dict[str, Any]) -> dict[str, Any]:
    """A known case, with the place that no journal keeps."""
    return {**{name: value for name, value in known.items() if name != "key"}, "image": case.get("image", "")}


def _gone(case: dict[str, Any]) -> dict[str, Any]:
    return {**case, "status": "failed", "reason": "was gone before it was read"}


def recognise(cases: Sequence[dict[str, Any]], known: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the cases of a new search the names and patient numbers that a run knows.

    Names that are new stay apart from all known ones. Patients are recognised by a file that both searches found.
    """
    if not known:
        return list(cases)
    names = {case_key(case): case["case"] for case in known}
    numbers = {case_key(case): case.get("patient") for case in known}
    patients = {case["patient"]: old for case in cases if (old := numbers.get(case_key(case))) and case.get("patient")}
    taken, last = {name.lower() for name in names.values()}, _last_number(known)
    result = []
    for case in cases:
        patient = case.get("patient")
        if patient and patient not in patients:
            last += 1
            patients[patient] = f"P{last:05d}"
        name = names.get(case_key(case)) or _free(case["case"], taken)
        taken.add(name.lower())
        result.append({**case, "case": name, **({"patient": patients[patient]} if patient else {})})
    return result


def _last_number(known: Sequence[dict[str, Any]]) -> int:
    matches = (_PATIENT.fullmatch(str(case.get("patient"))) for case in known)
    return max((int(match.group(1)) for match in matches if match), default=0)


def _free(name: str, taken: set[str]) -> str:
    free, number = name, 2
    while free.lower() in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _without_copies(cases: list[dict[str, Any]], known: dict[str, FoundCase]) -> list[dict[str, Any]]:
    """A search lists the first of two copies; where the other one is in the run already, the newcomer is skipped."""
    ousted = [
        _found_again(known[case_key(case)].case, case)
        for case in cases
        if case["status"] == "skipped" and known.get(case_key(case), _NEW).case.get("status") == "pending"
    ]
    if not ousted:
        return cases
    owners = {digest_of(case["image"]): case for case in ousted}
    sizes = {case.get("bytes") for case in ousted}
    result = []
    for case in cases:
        if case_key(case) not in known and case["status"] == "pending" and case.get("bytes") in sizes:
            owner = owners.get(digest_of(case["image"]))
            if owner is not None:
                case = {**case, "status": "skipped", "reason": f"the same file as '{owner['file']}' (same bytes)"}
        result.append(case)
    return result


_NEW = FoundCase({}, "")
