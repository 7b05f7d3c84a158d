"""From paths to files: folders, zip archives and DICOMDIR indexes; whatever is found comes out once, with a label."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from medpipe.errors import CaseError, CaseFailedError, CaseSkippedError
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


def search(roots: Sequence[Path]) -> Iterator[FoundFile]:
    """Find all files under ``roots``, in the order of the roots, then of the sorted paths; each file once.

    Links are followed, but no folder is entered twice. A folder that holds a run of medpipe is passed over: results
    inside the input are no input. Folders that cannot be read, broken links, refused archives and files that a
    DICOMDIR names in vain come out with an error.
    """
    base = _common_folder(roots)
    files: set[Path] = set()
    folders: set[Path] = set()
    for root in roots:
        whole = root.is_dir()
        for path, error in _walk(root, folders) if whole else [(root, None)]:
            for source, fault in _sources(path, error, whole, files):
                yield FoundFile(source, _label(source, base), fault)


def _common_folder(roots: Sequence[Path]) -> Path:
    folders = [os.path.abspath(root if root.is_dir() else root.parent) for root in roots]
    if len(folders) > 1 and any(root.is_dir() for root in roots):
        folders = [os.path.dirname(folder) for folder in folders]  # the given folders' names tell their files apart
    return Path(os.path.commonpath(folders))


def _walk(folder: Path, seen: set[Path]) -> Iterator[tuple[Path, CaseError | None]]:
    real = folder.resolve()
    if real in seen:
        return
    seen.add(real)
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield folder, CaseFailedError(f"folder cannot be read ({error.strerror or error}); check its permissions")
        return
    names = {entry.name for entry in entries}
    if {"run.json", "journal.sqlite"} <= names:
        return
    for entry in entries:
        if entry.is_dir():
            yield from _walk(entry, seen)
        elif entry.exists():
            yield entry, None
        else:
            yield entry, CaseFailedError("is a link to a file that does not exist")


def _sources(
    path: Path, error: CaseError | None, inside: bool, seen: set[Path]
) -> Iterator[tuple[Source, CaseError | None]]:
    real = path.resolve()
    if error is not None:
        yield Source(path), error
    elif real not in seen:
        seen.add(real)
        if path.name.upper() == "DICOMDIR":
            yield from _dicomdir(path, inside, seen)
        elif path.suffix.lower() == ".zip":
            yield from _archive(path)
        elif path.is_file():
            yield Source(path), None
        else:
            yield Source(path), CaseSkippedError("is no regular file")


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


def _dicomdir(path: Path, inside: bool, seen: set[Path]) -> Iterator[tuple[Source, CaseError | None]]:
    """The index itself, and the files it names that a search of the folder would not find."""
    base = path.parent.resolve()
    try:
        names = list(_referenced_files(path))
    except CaseError as error:
        yield Source(path), error
        return
    yield Source(path), CaseSkippedError(f"DICOMDIR, an index of {len(names)} files")
    for name in names:
        target = base.joinpath(*name)
        if base not in target.resolve().parents:
            yield Source(target), CaseFailedError("named by a DICOMDIR, but lies outside its folder: refused")
        elif not target.is_file():
            yield Source(target), CaseFailedError("named by a DICOMDIR, but missing on disk")
        elif not inside and target.resolve() not in seen:
            seen.add(target.resolve())
            yield Source(target), None


def _referenced_files(path: Path) -> Iterator[list[str]]:
    import pydicom

    try:
        records = pydicom.dcmread(path).get("DirectoryRecordSequence") or []
        names = [record.get("ReferencedFileID") for record in records]
    except Exception as error:
        raise CaseFailedError(f"unreadable DICOMDIR ({type(error).__name__}: {error})") from error
    for name in names:
        if name:
            yield [name] if isinstance(name, str) else [str(part) for part in name]


def _label(source: Source, base: Path) -> str:
    shown = os.path.relpath(os.path.abspath(source.path), base)
    member = f"!/{source.member}" if source.member is not None else ""
    # A name in another encoding than UTF-8 is shown with its bytes escaped.
    return os.fsencode(Path(shown).as_posix() + member).decode("utf-8", "backslashreplace")
