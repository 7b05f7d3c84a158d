"""Keep what names a patient out of tables, logs and file names.

Words are gathered from headers (``patient_words``: names, ids and the birth date) and hidden (``PatientWords``) in whatever
leaves the program: paths, reasons, records. A header value that is no term of the standard is not shown at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = [
    "OTHER_IDS",
    "PATIENT_TAGS",
    "PatientWords",
    "defined_term",
    "hashed_uid",
    "name_hider",
    "patient_words",
    "without_quotes",
]

HIDDEN = "***"

_SHORTEST = 3
"""Shorter parts of names (initials, 'Dr') are too common in other words to be hidden there; as folders they are."""

_LONG = 6
"""Words from this length are hidden inside others, too (JANEDOESMITH); in the digits of a UID shorter ones mean nothing."""

_WORD = re.compile(r"[^\W_]+")
_DIGITS = re.compile(r"\d+")
_UID = re.compile(r"\d+(?:\.\d+){5,}")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "oe", "å": "aa", "æ": "ae"})
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

PATIENT_TAGS: dict[int, str] = {
    0x00100010: "PatientName",
    0x00100020: "PatientID",
    0x00100030: "PatientBirthDate",
    0x00101000: "OtherPatientIDs",
    0x00101001: "OtherPatientNames",
    0x00101005: "PatientBirthName",
    0x00101050: "InsurancePlanIdentification",
    0x00101060: "PatientMotherBirthName",
    0x00101090: "MedicalRecordLocator",
}
OTHER_IDS = 0x00101002
"""OtherPatientIDsSequence."""


class PatientWords:
    """Words that name patients, and a filter that writes ``***`` for them.

    A word is hidden where it stands whole, in any case, with or without accents, whatever separates the parts of a name,
    an id or a date; a number also between letters (IM12345); a long name inside other words, too; a short one (two letters,
    the id 7) only as a whole part of a path.

    Args:
        identified: Hide nothing.
    """

    def __init__(self, *, identified: bool = False) -> None:
        self.identified = identified
        self._whole: set[str] = set()
        self._sequences: dict[str, frozenset[tuple[str, ...]]] = {}  # sets that are replaced, as threads read them
        self._long: dict[int, set[str]] = {}

    def add(self, words: Iterable[str]) -> None:
        """Hide these from now on: names in DICOM's form or plain, ids, dates as YYYYMMDD."""
        for word in words:
            for form in _spellings(word.strip()):
                self._add(form)

    def _add(self, parts: tuple[str, ...]) -> None:
        joined = "".join(parts)
        self._whole.add(joined)
        if len(parts) > 1 and len(joined) >= _SHORTEST:
            self._sequences[parts[0]] = self._sequences.get(parts[0], frozenset()) | {parts}
        if len(joined) >= _LONG and not joined.isdigit():
            self._long.setdefault(len(joined), set()).add(joined)

    def __call__(self, text: str) -> str:
        """The text without them."""
        if self.identified or not self._whole or not text:
            return text
        composed = unicodedata.normalize("NFC", text)
        spans = list(self._spans(composed))
        hidden = composed
        for start, end in reversed(spans):
            hidden = hidden[:start] + HIDDEN + hidden[end:]
        if "/" in hidden or "." in hidden:  # a path; "PA" alone is a view
            hidden = "/".join(map(self._part, hidden.split("/")))
        return text if hidden == composed else hidden

    def nested(self, value: Any) -> Any:
        """The same for all texts in dictionaries and lists."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {key: self.nested(part) for key, part in value.items()}
        return [self.nested(part) for part in value] if isinstance(value, list | tuple) else value

    def hides(self, text: str) -> bool:
        """Whether a text holds one of them, be it as a whole."""
        return self(text) != text or self(f"/{text}/") != f"/{text}/"

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        uids = [match.span() for match in _UID.finditer(text)]
        found = []
        for match in _WORD.finditer(text):
            inside = any(start <= match.start() and match.end() <= end for start, end in uids)
            found.append((*match.span(), "" if inside and len(match.group()) < _LONG else _plain(match.group())))
        words = [word for *_, word in found]
        at = 0
        while at < len(found):
            length = self._length(words, at)
            if length:
                yield found[at][0], found[at + length - 1][1]
            at += length or 1

    def _length(self, words: list[str], at: int) -> int:
        """How many words from one on are to be hidden together; 0 for none."""
        longest = max(
            (len(parts) for parts in self._sequences.get(words[at], ()) if tuple(words[at : at + len(parts)]) == parts),
            default=0,
        )
        return longest or int(self._is_name(words[at]))

    def _is_name(self, word: str) -> bool:
        if len(word) < _SHORTEST:
            return False
        if word in self._whole:
            return True
        if word.isdigit():
            return word.lstrip("0") in self._whole and len(word.lstrip("0")) >= _SHORTEST
        if any(len(run) > _SHORTEST and self._is_name(run) for run in _DIGITS.findall(word)):
            return True
        return any(
            word[start : start + length] in words
            for length, words in tuple(self._long.items())
            for start in range(len(word) - length + 1)
        )

    def _part(self, part: str) -> str:
        """A part of a path that is a short word."""
        stem, dot, suffix = part.partition(".")
        short = stem.isdigit() or len(stem) > 1
        if short and len(stem) < _SHORTEST and _plain(stem) in self._whole:
            return f"{HIDDEN}{dot}{suffix}"
        return part


def _spellings(word: str) -> Iterator[tuple[str, ...]]:
    """All forms of one name, id or date, each as its parts in plain small letters."""
    if re.fullmatch(r"(18|19|20)\d{6}", word):
        yield from _dates(word)
    for group in re.split(r"[=\\]", word):  # alphabets of one name, values of one element
        for text in {group, group.lower().translate(_UMLAUTS), _escaped(group)}:
            parts = _parts(text)
            if not parts:
                continue
            yield parts
            if len(parts) > 1 and parts[0].isalpha() and parts[1].isalpha():
                yield parts[1::-1]
                yield parts[:2]
            names = [_parts(name) for name in re.split(r"[\s^,;]+", text)]
            yield from (name for name in names if len("".join(name)) > 1)
            if len(parts) == 1 and parts[0].isdigit() and parts[0].strip("0"):
                yield (parts[0].lstrip("0"),)


def _parts(text: str) -> tuple[str, ...]:
    return tuple(_plain(word) for word in _WORD.findall(unicodedata.normalize("NFC", text)))


def _dates(word: str) -> Iterator[tuple[str, ...]]:
    year, month, day = word[:4], word[4:6], word[6:]
    name = _MONTHS[int(month) - 1] if 1 <= int(month) <= 12 else month
    short = (month.lstrip("0"), day.lstrip("0"))
    written = [(y, m, d) for y in (year, year[2:]) for m, d in ((month, day), (name, day), (name, short[1]))]
    for y, m, d in (*written, (year, *short)):
        yield from ((y, m, d), (d, m, y), (m, d, y))


def _escaped(word: str) -> str:
    """As a path shows it whose bytes are Latin-1."""
    with contextlib.suppress(UnicodeEncodeError):
        return word.encode("latin-1").decode("utf-8", "backslashreplace")
    return word


def _plain(word: str) -> str:
    """Without case and accents."""
    if word.isascii():
        return word.lower()
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def name_hider(names: Iterable[str], *, identified: bool = False) -> PatientWords:
    """A filter for these names, ids and dates; of nothing where patients may be identified."""
    hide = PatientWords(identified=identified)
    hide.add(names)
    return hide


def patient_words(dataset: Any) -> tuple[str, ...]:
    """What a header says of the patient's names, ids and birth date, as ``PatientWords.add`` takes it.

    Args:
        dataset: pydicom's data set; values that cannot be read are left out.
    """
    words = []
    for tag in PATIENT_TAGS:
        words += _texts(dataset, tag)
    with contextlib.suppress(Exception):  # a damaged sequence
        for item in dataset[OTHER_IDS].value if OTHER_IDS in dataset else ():
            words += _texts(item, 0x00100020)
    return tuple(word for word in words if word)


def _texts(dataset: Any, tag: int) -> list[str]:
    try:
        element = dataset.get(tag)
        value = None if element is None else element.value
    except Exception:  # a value that cannot be converted: its bytes are hidden as they are
        raw = getattr(dataset.get_item(tag, keep_deferred=True), "value", b"")
        value = raw.decode("latin-1") if isinstance(raw, bytes) else None
    if value is None:
        return []
    many = not isinstance(value, str | bytes) and hasattr(value, "__iter__") and not hasattr(value, "family_name")
    return [str(item).strip(" \0") for item in (value if many else [value])]


def defined_term(text: str, pattern: str = r"[A-Z0-9_ ]{1,16}") -> str:
    """A coded value if it has the form of a term (a code string of PS3.5 as a rule); other text is not shown."""
    return text if not text or re.fullmatch(pattern, text) else "(no defined term)"


def without_quotes(text: str) -> str:
    """An exception's text without what it quotes: libraries quote header values and paths."""
    return re.sub(r"""(?<!\w)b?['"].*['"](?!\w)""", "'...'", " ".join(text.split()))


def hashed_uid(uid: str) -> str:
    """A short digest that lets two outputs of one series be matched without naming it; "" for no UID."""
    return hashlib.sha256(f"medpipe {uid}".encode()).hexdigest()[:24] if uid else ""
