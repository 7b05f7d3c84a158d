"""Where an image's bytes come from: a file, or a member of a zip archive, with an optional frame number.

A source is written as one string, so that it can stand in a MONAI datalist and travel between processes:
``scan.dcm``, ``export.zip!/study/scan.dcm``, ``cine.dcm#frame=3``.
"""

from __future__ import annotations

import io
import lzma
import re
import zipfile
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from medpipe.errors import CaseFailedError

__all__ = ["MAX_FILE_BYTES", "Source", "zip_members"]

MAX_FILE_BYTES = 1 << 30
"""Files above 1 GiB are no single radiograph; refusing them bounds the memory of one case."""

MAX_ZIP_RATIO = 200
"""Declared size over packed size above which a zip member is taken for a bomb (real DICOM stays below 50)."""

_UNREADABLE = (
    OSError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
)

_FRAME = re.compile(r"#frame=(\d+)$")


@dataclass(frozen=True)
class Source:
    """One image's place: ``path``, and inside it a zip ``member`` and a 0-based ``frame`` where they apply."""

    path: Path
    member: str | None = None
    frame: int | None = None

    @classmethod
    def parse(cls, text: str | Path) -> Source:
        """Read the one-string form; a file that exists under the very name wins over any reading of it."""
        text = str(text)
        if Path(text).is_file():
            return cls(Path(text))
        frame = None
        if match := _FRAME.search(text):
            frame, text = int(match.group(1)), text[: match.start()]
        if ".zip!/" in text.lower() and not Path(text).is_file():
            cut = text.lower().index(".zip!/") + 4
            return cls(Path(text[:cut]), text[cut + 2 :], frame)
        return cls(Path(text), None, frame)

    def __str__(self) -> str:
        if self.member is None and self.frame is None:
            return str(self.path)
        member = f"!/{self.member}" if self.member is not None else ""
        frame = f"#frame={self.frame}" if self.frame is not None else ""
        return f"{self.path}{member}{frame}"

    @property
    def name(self) -> str:
        """File name without folders, of the archive's member where there is one."""
        return PurePosixPath(self.member).name if self.member is not None else self.path.name

    def open(self) -> BinaryIO:
        """Open the bytes for reading.

        Raises:
            CaseFailedError: The file is missing, empty, larger than ``MAX_FILE_BYTES`` or cannot be unpacked.
        """
        try:
            return self._open()
        except _UNREADABLE as error:
            raise CaseFailedError(f"cannot be opened ({_reason(error)}); check the file and its permissions") from error

    def _open(self) -> BinaryIO:
        if self.member is None:
            _check_size(self.path.stat().st_size)
            return self.path.open("rb")
        with zipfile.ZipFile(self.path) as archive:
            info = archive.getinfo(self.member)
            _check_size(info.file_size)
            # The declared size is the sender's word: at most that many bytes are unpacked.
            with archive.open(info) as member:
                content = member.read(info.file_size + 1)
            if len(content) != info.file_size:
                raise CaseFailedError(f"zip member holds more than the {info.file_size} bytes it declares")
            return io.BytesIO(content)


def _check_size(size: int) -> None:
    if size == 0:
        raise CaseFailedError("the file is empty (0 bytes); copy it again from its source")
    if size > MAX_FILE_BYTES:
        raise CaseFailedError(f"{size:,} bytes is more than the {MAX_FILE_BYTES:,} allowed for one image")


def _reason(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__


def zip_members(path: Path) -> list[str]:
    """Names of the files in a zip archive, sorted.

    Nothing is unpacked to disk; still an archive with a member that would leave its folder, a link, an encrypted
    member or a member of impossible ratio is refused whole, since nothing else in it deserves trust.

    Raises:
        CaseFailedError: The archive is damaged or refused; the message names the member.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except (OSError, zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
        raise CaseFailedError(f"not a readable zip archive ({_reason(error)}); pack it again") from error
    for info in infos:
        _check_member(info)
    names = sorted(info.filename for info in infos)
    twice = [name for name, following in pairwise(names) if name == following]
    if twice:
        raise CaseFailedError(f"zip archive refused: it holds '{twice[0]}' twice")
    return names


def _check_member(info: zipfile.ZipInfo) -> None:
    name = info.filename.replace("\\", "/")
    if name.startswith("/") or re.match(r"^[A-Za-z]:", name) or ".." in PurePosixPath(name).parts:
        raise CaseFailedError(f"zip archive refused: member '{info.filename}' points outside the archive")
    if (info.external_attr >> 16) & 0o170000 == 0o120000:
        raise CaseFailedError(f"zip archive refused: member '{info.filename}' is a symbolic link")
    if info.flag_bits & 0x1:
        raise CaseFailedError(f"zip archive refused: member '{info.filename}' is encrypted; unpack it first")
    if info.file_size > 1 << 20 and info.file_size > MAX_ZIP_RATIO * max(info.compress_size, 1):
        raise CaseFailedError(
            f"zip archive refused: member '{info.filename}' declares {info.file_size:,} bytes "
            f"from {info.compress_size:,} packed ones"
        )
