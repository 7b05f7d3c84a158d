"""Ages as tables and DICOM headers write them."""

from __future__ import annotations

import re

__all__ = ["parse_age"]

_PER_YEAR = {"": 1, "Y": 1, "M": 12, "W": 52, "D": 365}


def parse_age(text: str) -> int | None:
    """Whole years from ``"58"``, ``"058Y"`` or ``"018M"``; None when the text is no age.

    DICOM asks for three digits and a unit (PS3.5 6.2, AS); SIIM-ACR headers and the NIH tables hold bare
    numbers.
    """
    found = re.fullmatch(r"(\d{1,4})\s*([YMWD]?)", text.strip().upper())
    if found is None:
        return None
    return int(found[1]) // _PER_YEAR[found[2]]
