"""What headers said, kept in a file, so that a second look at a folder reads only what is new or was changed.

A header counts as unchanged while its file's path, size and time of change are. The file names patients as the headers
do: it is readable by its owner alone, and belongs where the images are, not where results go.
"""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import msgspec
from msgspec.structs import astuple

from medpipe import __version__
from medpipe.errors import RequestError
from medpipe.io.atomic import write_bytes
from medpipe.io.findings import Finding
from medpipe.io.garbage import no_collection
from medpipe.io.instances import Image, Instance
from medpipe.io.pixel_data import PixelFormat
from medpipe.io.sources import Source

__all__ = ["HeaderStore"]

Numbers = tuple[float, ...] | None


class _Image(msgspec.Struct, array_like=True, gc=False):
    """``Image`` without its file."""

    frame: int
    tile: tuple[int, int] | None
    rows: int
    columns: int
    position: Numbers
    orientation: Numbers
    spacing: Numbers
    slope: float | None
    intercept: float | None
    kind: tuple[tuple[str, ...], float | str | None, str]
    labels: dict[str, float | int | str | None]
    fault: str
    segment: int


class _Header(msgspec.Struct, array_like=True, gc=False):
    """``Instance`` without its place."""

    size: int
    form: PixelFormat
    patient: str
    names: tuple[str, ...]
    study: str
    series: str
    sop: str
    frame_of_reference: str
    modality: str
    series_number: int | None
    number: int | None
    image_type: tuple[str, ...]
    declared_images: int | None
    slice_step: float | None
    thickness: float | None
    tilt: float
    padding: tuple[float, float] | None
    spacing_source: str
    images: list[_Image]
    findings: list[Finding]


Stamp = tuple[int, int]
"""Size in bytes and time of change in ns."""


class _Kept(msgspec.Struct, array_like=True, gc=False):
    label: str
    stamp: Stamp
    header: _Header


class _File(msgspec.Struct):
    version: str
    headers: dict[str, _Kept]


assert list(_Image.__struct_fields__) == [f.name for f in fields(Image)][1:]
assert list(_Header.__struct_fields__) == [f.name for f in fields(Instance)][2:]


class HeaderStore:
    """Headers by file.

    Args:
        path: Read where it exists; ``save`` writes it.

    Raises:
        RequestError: It exists and is something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[str, _Kept] = {}
        self._used: dict[str, _Kept] = {}
        self.reused = 0
        self._new = False
        if not path.exists():
            return
        try:
            with no_collection():
                file = msgspec.msgpack.decode(path.read_bytes(), type=_File)
        except (OSError, msgspec.DecodeError) as error:
            raise RequestError(f"'{path}' is no index of headers; name another file, or remove it") from error
        if file.version == __version__:  # another version may read headers in another way
            self._kept = file.headers

    def get(self, source: Source, label: str) -> Instance | None:
        """What the header of a file said, if it is known and the file unchanged since."""
        key = str(source)
        known = self._kept.get(key)
        if known is None or known.label != label or known.stamp != _stamp(source):
            return None
        self._used[key] = known
        self.reused += 1
        return _instance(known.header, source, label)

    def put(self, instance: Instance) -> None:
        """Remember a header."""
        values = {name: getattr(instance, name) for name in _Header.__struct_fields__}
        values["images"] = [
            _Image(*(getattr(image, name) for name in _Image.__struct_fields__)) for image in instance.images
        ]
        self._new = True
        header = _Header(**{**values, "findings": list(instance.findings)})
        self._used[str(instance.source)] = _Kept(instance.label, _stamp(instance.source), header)

    def save(self) -> None:
        """Write what was asked for or remembered since the start; headers of files that are gone are forgotten."""
        if not self._new and len(self._used) == len(self._kept):
            return  # the file says all this
        write_bytes(self._path, msgspec.msgpack.encode(_File(__version__, self._used)), mode=0o600)


def _stamp(source: Source) -> Stamp:
    status = os.stat(source.path)
    return status.st_size, status.st_mtime_ns


def _instance(header: _Header, source: Source, label: str) -> Instance:
    instance = Instance(source, label, *astuple(header))
    instance.images = [Image(instance, *astuple(image)) for image in header.images]
    instance.findings = list(header.findings)
    return instance
