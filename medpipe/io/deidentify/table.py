"""Table E.1-1 of DICOM PS3.15: what is done to which attribute, under the Basic Profile and its options.

The data lie in actions.json beside this module, with their edition. Codes (PS3.15 Table E.1-1a): X remove, Z empty, D
dummy value, U new UID, K keep, C clean; X/Z, X/D, Z/D, X/Z/D and X/Z/U* leave a choice that depends on the type of the
attribute in its information object.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["CHOSEN", "Profile", "action_rows", "edition"]

CHOSEN = {"X/Z": "Z", "X/D": "D", "Z/D": "D", "X/Z/D": "D", "X/Z/U*": "U"}
"""Where the table leaves a choice, the one that is valid for an attribute of every type: empty satisfies types 2 and 3,
a dummy all three."""

_METHOD_CODES = {
    "basic": ("113100", "Basic Application Confidentiality Profile"),
    "clean_descriptors": ("113105", "Clean Descriptors Option"),
    "modified_dates": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    "retain_uids": ("113110", "Retain UIDs Option"),
    "keep_private": ("113111", "Retain Safe Private Option"),
}
"""Codes of the coding scheme DCM (PS3.16 annex D) for (0012,0064)."""


@dataclass(frozen=True)
class Profile:
    """The Basic Profile with the options chosen.

    Attributes:
        retain_uids: Keep UIDs as they are (PS3.15 E.3.9).
        modified_dates: Shift dates by a number of days per patient instead of removing them (E.3.6).
        clean_descriptors: Keep the harmless words of descriptions instead of removing them (E.3.5).
        keep_private: Private attributes to keep: (group, creator, last two digits of the element).
    """

    retain_uids: bool = False
    modified_dates: bool = False
    clean_descriptors: bool = False
    keep_private: frozenset[tuple[int, str, int]] = frozenset()

    def codes(self) -> dict[int, str]:
        """Tag -> action code (X, Z, D, U, K or C) for every attribute that the table lists singly."""
        return _codes(self.retain_uids, self.modified_dates, self.clean_descriptors)

    def methods(self) -> list[tuple[str, str]]:
        """(code, meaning) of the profile and its options, for De-identification Method Code Sequence."""
        used = [name for name in _METHOD_CODES if name == "basic" or getattr(self, name)]
        return sorted(_METHOD_CODES[name] for name in used)


@cache
def _content() -> dict[str, object]:
    content: dict[str, object] = json.loads(Path(__file__).with_name("actions.json").read_text("utf-8"))
    return content


def edition() -> str:
    """Edition of the standard that the table is from."""
    return str(_content()["edition"])


def action_rows() -> list[dict[str, str]]:
    """The table's rows: "tag", "name", "basic" and, where it has them, the options' codes."""
    return list(_content()["rows"])  # type: ignore[call-overload]


@cache
def _codes(retain_uids: bool, modified_dates: bool, clean_descriptors: bool) -> dict[int, str]:
    # An option's code comes before the basic one; a UID that is kept is never cleaned.
    wanted = {"clean_descriptors": clean_descriptors, "modified_dates": modified_dates, "retain_uids": retain_uids}
    codes = {}
    for row in action_rows():
        if "x" in row["tag"]:  # repeating groups, removed whole
            continue
        code = CHOSEN.get(row["basic"], row["basic"])
        for option, chosen in wanted.items():
            if chosen and option in row:
                code = row[option]
        codes[int(row["tag"], 16)] = code
    return codes
