"""How a run recognises a file that it has seen: quickly by size and time, surely by its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from medpipe.errors import CaseError, RequestError
from medpipe.io.sources import Source

__all__ = ["case_key", "digest_of", "sha256_of_file", "stamp_of", "without_place"]


def case_key(case: dict[str, Any]) -> str:
    """What tells a case of one search again in the next: a hash of where its image is, or of the file it was found in."""
    if "key" in case:
        return str(case["key"])
    place = str(case.get("image") or case.get("file") or case["case"])
    return hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()


def without_place(case: dict[str, Any]) -> dict[str, Any]:
    """A case as it may be kept: paths can name a patient, so the key stands where the image was."""
    return {**{name: value for name, value in case.items() if name != "image"}, "key": case_key(case)}


_MANY = 16
"""Files whose stamps are kept one by one; those of a series of slices are hashed."""


def stamp_of(image: Any) -> str:
    """Size and time of last change of each file behind a case's image (of a folder, all in it); empty where one is not there.

    Args:
        image: One name (see ``io.sources``) or a list of them.
    """
    try:
        facts = [path.stat() for source in _sources(image) for path in _files(source)]
    except OSError:
        return ""
    stamps = [f"{fact.st_size}:{fact.st_mtime_ns}" for fact in facts]
    if len(stamps) > _MANY:
        return hashlib.sha256(",".join(stamps).encode()).hexdigest()
    return ",".join(stamps)


def digest_of(image: Any) -> str:
    """SHA-256 of the bytes behind a case's image, one file after the other; of a folder, its files by name.

    Returns:
        Hexadecimal digits, or an empty string where something cannot be read or is larger than one image may be.
    """
    return _digest(tuple(_sources(image)), stamp_of(image))


@lru_cache(maxsize=8)
def _digest(sources: tuple[Source, ...], stamp: str) -> str:
    """Remembered for the frames of one file, each of which is a case."""
    digest = hashlib.sha256()
    try:
        for source in sources:
            for stream in _streams(source):
                with stream:
                    _add(digest, stream)
    except (OSError, CaseError):
        return ""
    return digest.hexdigest()


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file as hexadecimal digits.

    Raises:
        RequestError: The file is missing or unreadable.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            _add(digest, stream)
    except OSError as error:
        raise RequestError(f"file '{path}' cannot be read ({error.strerror or error})") from error
    return digest.hexdigest()


def _sources(image: Any) -> list[Source]:
    """The files; frames of one count as the file."""
    names = image if isinstance(image, list | tuple) else [image]
    return [replace(Source.parse(str(name)), frame=None) for name in names if name]


def _streams(source: Source) -> Iterator[BinaryIO]:
    if source.member is None and source.path.is_dir():
        yield from (path.open("rb") for path in _files(source))
    else:
        yield source.open()


def _files(source: Source) -> list[Path]:
    """The file, or all files of a folder by name."""
    if source.member is None and source.path.is_dir():
        return [path for path in sorted(source.path.rglob("*")) if path.is_file()]
    return [source.path]


def _add(digest: Any, stream: BinaryIO) -> None:
    while block := stream.read(1 << 20):
        digest.update(block)
