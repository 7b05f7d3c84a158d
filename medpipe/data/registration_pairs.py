"""Pairs of a registration datalist: by number, one at a time, or at random.

A million pairs are made when they are asked for and held nowhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, overload

import numpy as np

from medpipe.errors import RequestError

from .names import nearest_names
from .registration_datalist import REFERENCE
from .splits import PARTS

__all__ = ["Pair", "PairList", "pairs", "sample_pair"]

Entry = dict[str, Any]
Pair = tuple[Entry, Entry]
"""Fixed entry, moving entry."""


def pairs(datalist: dict[str, Any], section: str) -> PairList:
    """The pairs of one section, made one at a time as they are asked for.

    Args:
        datalist: One that has been checked.
        section: "training", "validation" or "test".

    Raises:
        RequestError: There is no such section.
    """
    if section not in PARTS:
        raise RequestError(f"no section is named {section!r}; {nearest_names(section, PARTS)}")
    entries, rule = datalist[section], _rule(datalist, section)
    if rule["how"] == "all":
        return _AllPairs(entries, rule.get("distinct", "subject"))
    usable = {entry["case"]: entry for entry in (*datalist.get(REFERENCE, ()), *entries)}
    if rule["how"] == "atlas":
        return _AtlasPairs(usable[rule["fixed"]], entries)
    return _ListedPairs(usable, rule["pairs"])


def sample_pair(datalist: dict[str, Any], section: str, index: int, seed: int) -> Pair:
    """The pair that number ``index`` of an endless random sequence is: equal arguments give the same pair.

    Pairs are drawn uniformly and independently, so that workers need no common state.

    Args:
        datalist: One that has been checked.
        section: "training", "validation" or "test".
        index: Number of the sample, from 0.
        seed: Of the sequence, from 0.

    Raises:
        RequestError: There is no such section, or it has no pair.
    """
    known = pairs(datalist, section)
    if not len(known):
        raise RequestError(f"section '{section}' of datalist '{datalist['name']}' has no pair; it needs two subjects")
    return known[int(np.random.default_rng([seed, index]).integers(len(known)))]


class PairList(Sequence[Pair]):
    """Pairs by number, computed when asked for: a million of them take no memory."""

    def __len__(self) -> int:
        raise NotImplementedError

    def _pair(self, number: int) -> Pair:
        raise NotImplementedError

    @overload
    def __getitem__(self, number: int) -> Pair: ...
    @overload
    def __getitem__(self, number: slice) -> list[Pair]: ...

    def __getitem__(self, number: int | slice) -> Pair | list[Pair]:
        if isinstance(number, slice):
            return [self._pair(each) for each in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(f"pair {number} of {len(self)}")
        return self._pair(number % len(self))


class _AllPairs(PairList):
    """Ordered pairs of entries that differ in one key; equal entries in that key lie together, so a pair's number
    says both."""

    def __init__(self, entries: Sequence[Entry], distinct: str) -> None:
        groups: dict[str, list[Entry]] = {}
        for entry in entries:
            groups.setdefault(entry[distinct], []).append(entry)
        self._entries = [entry for group in groups.values() for entry in group]
        self._blocks: list[tuple[int, int]] = []  # of each entry: where its own group starts, and its size
        start = 0
        for group in groups.values():
            self._blocks += [(start, len(group))] * len(group)
            start += len(group)
        self._ends = list(accumulate(len(self._entries) - size for _, size in self._blocks))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _pair(self, number: int) -> Pair:
        fixed = bisect_right(self._ends, number)
        moving = number - (self._ends[fixed - 1] if fixed else 0)
        start, size = self._blocks[fixed]
        return self._entries[fixed], self._entries[moving if moving < start else moving + size]


class _AtlasPairs(PairList):
    def __init__(self, atlas: Entry, entries: Sequence[Entry]) -> None:
        self._atlas = atlas
        self._moving = [entry for entry in entries if entry["case"] != atlas["case"]]

    def __len__(self) -> int:
        return len(self._moving)

    def _pair(self, number: int) -> Pair:
        return self._atlas, self._moving[number]


class _ListedPairs(PairList):
    def __init__(self, entries: dict[str, Entry], listed: Sequence[Sequence[str]]) -> None:
        self._entries, self._listed = entries, listed

    def __len__(self) -> int:
        return len(self._listed)

    def _pair(self, number: int) -> Pair:
        fixed, moving = self._listed[number]
        return self._entries[fixed], self._entries[moving]


def _rule(datalist: dict[str, Any], section: str) -> dict[str, Any]:
    return dict(datalist["pairs"].get(section, {"how": "all"}))
