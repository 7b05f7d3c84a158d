"""Descriptions without what may identify: the Clean Descriptors Option (PS3.15 E.3.5) by a list of words to keep.

A list of words to remove would miss the name that nobody thought of. So a description keeps only words of anatomy,
modality and imaging protocol, and lone numbers of up to three digits (protocol_words.txt and groups of PS3.16); everything else goes. A kept word goes all the
same when it is part of the names and numbers of this very file (a patient called Brown, a Hand Clinic).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from pathlib import Path

__all__ = ["clean_description", "identifying_words", "without_identity"]

_CONTEXT_GROUPS = ("cid2", "cid4", "cid6", "cid19", "cid29", "cid244", "cid4028", "cid4031")
"""PS3.16 groups for laterality modifiers, anatomic regions, orientations, modalities and vessels."""

_WORD = re.compile(r"[^\W_]+")
_DATE_OR_NUMBER = re.compile(r"(?<![^\W_])(?:\d+(?:[\s./:\-_]+\d+)+|\d{4,})(?![^\W_])")
_SHORTEST_IDENTIFYING_WORD = 3


@cache
def _vocabulary() -> frozenset[str]:
    from pydicom.sr.codedict import codes

    words = set(Path(__file__).with_name("protocol_words.txt").read_text("ascii").split())
    for group in _CONTEXT_GROUPS:
        for keyword in getattr(codes, group).dir():
            words |= {word.lower() for word in re.findall(r"[A-Z]?[a-z]+", keyword)}
    return frozenset(words)


def identifying_words(values: Collection[str]) -> frozenset[str]:
    """Words of at least three letters or digits in names, ids and dates, in small letters."""
    words = {word.lower() for value in values for word in _WORD.findall(value)}
    return frozenset(word for word in words if len(word) >= _SHORTEST_IDENTIFYING_WORD)


def clean_description(text: str, identity: Collection[str]) -> str:
    """The words of ``text`` that are known to be harmless, in their order, joined by blanks; "" where none is.

    Args:
        text: A description, of any length.
        identity: Words that must not stay, as ``identifying_words`` gives them.
    """
    numbers_gone = _DATE_OR_NUMBER.sub(" ", text)
    kept = [word for word in _WORD.findall(numbers_gone) if _harmless(word.lower()) and word.lower() not in identity]
    return " ".join(kept)


def _harmless(word: str) -> bool:
    return word in _vocabulary() or (word.isascii() and word.isdigit())


def without_identity(text: str, identity: Collection[str]) -> str:
    """``text`` without the words of ``identity``; unchanged where it holds none."""
    if not any(word.lower() in identity for word in _WORD.findall(text)):
        return text
    return _WORD.sub(lambda word: "" if word[0].lower() in identity else word[0], text).strip()
