"""The files of a conversion's output folder, and who may write into it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from pathlib import Path
from typing import Any

from medpipe.errors import RequestError
from medpipe.io.atomic import write_text
from medpipe.io.folders import empty_folder

__all__ = ["claim", "digest_of", "sha256_of", "write_csv", "write_json"]


def claim(folder: Path, request: dict[str, Any]) -> None:
    """Take an empty folder, or one that holds a conversion of the same request.

    Raises:
        RequestError: It holds something else, or cannot be made.
    """
    record = folder / "convert.json"
    digest = digest_of(request)
    if record.is_file():
        try:
            there = json.loads(record.read_text(encoding="utf-8"))["request_sha256"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RequestError(f"'{record}' cannot be read; name a new folder") from error
        if there != digest:
            raise RequestError(f"folder '{folder}' holds another conversion; name a new one")
        return
    if not _is_of_a_killed_start(folder):
        empty_folder(folder)
    write_json(record, {"request_sha256": digest, "finished": False})


def _is_of_a_killed_start(folder: Path) -> bool:
    """Whether a folder holds no more than what is written before its record."""
    return folder.is_dir() and all(path.suffix == ".part" or path.name == ".lock" for path in folder.iterdir())


def digest_of(value: Any) -> str:
    """Digest of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; numbers that JSON cannot say become null."""
    write_text(path, json.dumps(_finite(value), indent=2, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    """The same without numbers that JSON cannot say: they become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a table atomically; its columns are the keys of the first row."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(rows[0]) if rows else ["volume"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, stream.getvalue())


def sha256_of(path: Path) -> str:
    """Digest of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _slow(stream)


def _slow(stream: Any) -> str:
    digest = hashlib.sha256()
    while part := stream.read(1 << 20):
        digest.update(part)
    return digest.hexdigest()
