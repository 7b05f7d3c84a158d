"""Pictures of a few pairs, and what the viewer needs to lay one over another."""

from __future__ import annotations

import base64
from pathlib import Path, PurePosixPath
from typing import Any

__all__ = ["KINDS", "registration_pairs_section"]

KINDS = {
    "fixed": "fixed",
    "before": "moving, before",
    "after": "moving, registered",
    "checkerboard": "fixed and registered in turn",
    "outlines": "outlines",
    "jacobian": "change of volume",
    "grid": "grid",
}
"""Kinds of pictures in their order, with their names."""

_BUDGET = 6_000_000
_JPEG = b"\xff\xd8\xff"


def registration_pairs_section(folder: Path, results: dict[str, Any]) -> dict[str, Any] | None:
    """Pairs with their pictures; None where there are no pictures beside results.json."""
    listed = (results.get("registration") or {}).get("pictures", [])
    by_name = {case["case"]: case for case in results["cases"]}
    left, pairs = _BUDGET, []
    for number, entry in enumerate(listed, start=1):
        planes = []
        for plane in entry["planes"]:
            pictures = {}
            for kind in KINDS:
                encoded = _encoded(folder, plane["files"].get(kind), left)
                if encoded:
                    pictures[kind] = encoded
                    left -= len(encoded)
            if pictures:
                planes.append({"plane": plane["plane"], "slice": plane["slice"], "pictures": pictures})
        if planes:
            kinds = [kind for kind in KINDS if all(kind in plane["pictures"] for plane in planes)]
            case = by_name.get(entry["case"], {"after": {}, "before": {}})
            pairs.append(
                {
                    "number": number,
                    "case": entry["case"],
                    "role": entry["role"],
                    "planes": planes,
                    "kinds": kinds,
                    "values": _values(results, case),
                }
            )
    return {"pairs": pairs, "kinds": KINDS} if pairs else None


def _values(results: dict[str, Any], case: dict[str, Any]) -> list[dict[str, Any]]:
    """The first measures of a pair."""
    return [
        {"name": entry["name"], "before": case["before"].get(entry["key"]), "after": case["after"][entry["key"]]}
        for entry in results["registration"]["measures"]
        if case["after"].get(entry["key"]) is not None
    ][:6]


def _encoded(folder: Path, name: str | None, left: int) -> str:
    """A JPEG in base64; empty where it is missing, is none, leads out of the folder, or the page is full."""
    if not name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
        return ""
    path = folder / name
    if not path.is_file() or path.stat().st_size > min(left, 1 << 20):
        return ""
    content = path.read_bytes()
    return base64.b64encode(content).decode("ascii") if content.startswith(_JPEG) else ""
