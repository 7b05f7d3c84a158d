"""Refusing an unknown name with the valid ones and the nearest."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["choose"]


def choose(kind: str, name: str, valid: Iterable[str]) -> str:
    """Return ``name`` if it is valid, else refuse it.

    Args:
        kind: What is being chosen, for the message.
        name: The name asked for.
        valid: The names there are.

    Raises:
        ValueError: The name is not among the valid ones; the message lists them and suggests the nearest.
    """
    names = list(valid)
    if name in names:
        return name
    near = get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"unknown {kind} {name!r}, expected one of: {', '.join(names) or '(none)'}{hint}")
