"""Lists of names in messages: the nearest to a misspelt one, and the first few of many."""

from __future__ import annotations

import difflib
from collections.abc import Collection

__all__ = ["nearest_names", "some_names"]


def nearest_names(name: str, known: Collection[str]) -> str:
    """Say which of ``known`` is meant: ``"did you mean a, b?"``, or the whole list when none is near."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return f"did you mean {', '.join(near)}?"
    return f"there are: {', '.join(sorted(known))}"


def some_names(names: Collection[str], limit: int = 5) -> str:
    """The first ``limit`` names in order, and how many more there are: ``"a, b and 7 more"``."""
    ordered = sorted(names)
    shown = ", ".join(ordered[:limit])
    return shown if len(ordered) <= limit else f"{shown} and {len(ordered) - limit:,} more"
