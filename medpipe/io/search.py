"""From paths to files: folders, zip archives and DICOMDIR indexes; whatever is found comes out once, with a label."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from medpipe.errors import CaseError, CaseFailedError, CaseSkippedError
from medpipe.io.dicom_file import parse
from medpipe.io.privacy import patient_words
from medpipe.io.sources import Source, zip_members

__all__ = ["FoundFile", "search"]


@dataclass(frozen=True)
class FoundFile:
    """A file that a search came upon.

    Attributes:
        source: Where its bytes are.
        label: Its path as tables show it, relative to what the inputs have in common.
        error: Why it is no case to try; None for a file to look into.
    """

    source: Source
    label: str
    error: CaseError | None = None


def search(roots: Sequence[Path], without: Sequence[Path] = ()) -> Iterator[FoundFile]:
    """Find all files under ``roots``, in the order of the roots, then of the sorted paths; each file once.

    Links are followed, but no folder is entered twice, and none of ``without``. A folder that holds a run of medpipe is passed over: results
    inside the input are no input. Folders that cannot be read, broken links, refused archives and files that a
    DICOMDIR names in vain come out with an error.
    """
    label = _Labels(_common_folder(roots))
    files: set[str] = set()
    folders = {os.path.realpath(folder) for folder in without}
    for root in roots:
        whole = root.is_dir()
        for item in _walk(root, folders) if whole else [_Item(root, os.path.realpath(root), root.is_file())]:
            for source, fault in _sources(item, whole, files):
                yield FoundFile(source, label(source), fault)


def _common_folder(roots: Sequence[Path]) -> str:
    folders = [os.path.abspath(root if root.is_dir() else root.parent) for root in roots]
    if len(folders) > 1 and any(root.is_dir() for root in roots):
        folders = [os.path.dirname(folder) for folder in folders]  # the given folders' names tell their files apart
    return os.path.commonpath(folders)


class _Item(NamedTuple):
    """What a folder holds: its path as found and as it really is, whether it is a regular file, and what is wrong."""

    path: Path
    real: str
    regular: bool
    error: CaseError | None = None


def _walk(folder: Path, seen: set[str]) -> Iterator[_Item]:
    """All files; for each entry of a folder one call of the system, not ten."""
    waiting: list[tuple[Path, str, os.DirEntry[str] | None]] = [(folder, "", None)]  # no recursion: folders may be deep
    while waiting:
        path, parent, entry = waiting.pop()
        if entry is None or entry.is_dir():
            real = os.path.realpath(path)
            if real in seen:
                continue
            seen.add(real)
            try:
                inside = _entries(path)
            except OSError as error:
                text = f"folder cannot be read ({error.strerror or type(error).__name__}); check its permissions"
                yield _Item(path, real, False, CaseFailedError(text))
                continue
            waiting += [(path / entry.name, real, entry) for entry in reversed(inside)]
        elif not entry.is_symlink():
            yield _Item(path, f"{parent}{os.sep}{entry.name}", entry.is_file())
        elif path.exists():
            yield _Item(path, os.path.realpath(path), path.is_file())
        else:
            gone = CaseFailedError("is a link to a file that does not exist")
            yield _Item(path, os.path.join(parent, entry.name), False, gone)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Sorted by name; none for a folder of results."""
    with os.scandir(folder) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    return [] if {"run.json", "journal.sqlite"} <= {entry.name for entry in entries} else entries


def _sources(item: _Item, inside: bool, seen: set[str]) -> Iterator[tuple[Source, CaseError | None]]:
    path = item.path
    if item.error is not None:
        yield Source(path), item.error
    elif item.real not in seen:
        seen.add(item.real)
        if not item.regular:
            yield Source(path), CaseSkippedError("is no regular file")
        elif path.name.upper() == "DICOMDIR":
            yield from _dicomdir(path, inside, seen)
        elif path.suffix.lower() == ".zip":
            yield from _archive(path)
        else:
            yield Source(path), None


def _archive(path: Path) -> Iterator[tuple[Source, CaseError | None]]:
    try:
        members = zip_members(path)
    except CaseError as error:
        yield Source(path), error
        return
    if not members:
        yield Source(path), CaseSkippedError("zip archive holds no files")
    for member in members:
        yield Source(path, member), None


def _dicomdir(path: Path, inside: bool, seen: set[str]) -> Iterator[tuple[Source, CaseError | None]]:
    """The index itself, and the files it names that a search of the folder would not find."""
    base = path.parent.resolve()
    try:
        names, words = _referenced_files(path)
    except CaseError as error:
        yield Source(path), error
        return
    index = CaseSkippedError(f"DICOMDIR, an index of {len(names)} files")
    index.words = words
    yield Source(path), index
    for name in names:
        target = base.joinpath(*name)
        if base not in target.resolve().parents:
            yield Source(target), CaseFailedError("named by a DICOMDIR, but lies outside its folder: refused")
        elif not target.is_file():
            yield Source(target), CaseFailedError("named by a DICOMDIR, but missing on disk")
        elif not inside and os.path.realpath(target) not in seen:
            seen.add(os.path.realpath(target))
            yield Source(target), None


def _referenced_files(path: Path) -> tuple[list[list[str]], tuple[str, ...]]:
    """Paths of the files that an index names, in parts, and the words of its patients."""
    try:
        with Source(path).open() as stream:
            records = parse(stream, pixels=True).dataset.get("DirectoryRecordSequence") or []
        names = [record.get("ReferencedFileID") for record in records]
    except Exception as error:  # its text may quote what stands in the records
        raise CaseFailedError(f"unreadable DICOMDIR ({type(error).__name__})") from error
    words = tuple(word for record in records for word in patient_words(record))
    return [[name] if isinstance(name, str) else [str(part) for part in name] for name in names if name], words


class _Labels:
    """Paths as tables show them, relative to a folder; the way to each folder is worked out once."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._folders: dict[str, str] = {}

    def __call__(self, source: Source) -> str:
        folder, name = os.path.split(source.path)
        if folder not in self._folders:
            self._folders[folder] = self._way(folder)
        member = f"!/{source.member}" if source.member is not None else ""
        # A name in another encoding than UTF-8 is shown with its bytes escaped.
        return os.fsencode(self._folders[folder] + name + member).decode("utf-8", "backslashreplace")

    def _way(self, folder: str) -> str:
        way = os.path.relpath(os.path.abspath(folder), self._base)
        return "" if way == os.curdir else way.replace(os.sep, "/") + "/"
