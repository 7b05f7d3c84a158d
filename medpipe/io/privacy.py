"""Keep what names a patient out of tables, logs and file names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable

__all__ = ["hashed_uid", "name_hider"]

_SHORTEST = 3
"""Shorter parts of names (initials, 'Dr') are too common in other words to be hidden."""


def name_hider(names: Iterable[str]) -> Callable[[str], str]:
    """A function that writes ``***`` for every whole word of a text that is one of ``names``, in any case."""
    words = set()
    for name in names:
        words.add(name.strip())
        words.update(re.split(r"[\s,;]+", name))
    words = {word for word in words if len(word) >= _SHORTEST}
    if not words:
        return lambda text: text
    choices = "|".join(re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word)))
    pattern = re.compile(rf"(?<![^\W_])(?:{choices})(?![^\W_])", re.IGNORECASE)
    return lambda text: pattern.sub("***", text)


def hashed_uid(uid: str) -> str:
    """A short digest that lets two outputs of one series be matched without naming it; "" for no UID."""
    return hashlib.sha256(f"medpipe {uid}".encode()).hexdigest()[:24] if uid else ""
