"""Pictures of a data set by the name of the file, wherever they lie below its folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from .findings import Finding, error

__all__ = ["find_pictures", "unreadable_pictures"]

SUFFIXES = (".jpg", ".jpeg", ".png")


def find_pictures(root: Path, skip: tuple[str, ...] = ()) -> tuple[dict[str, Path], list[Finding]]:
    """Every JPEG and PNG file below ``root`` by its stem, and an error where two have the same.

    Args:
        root: The folder.
        skip: Folders directly below it that are left out, in any case of letters.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root).parts
        if path.suffix.lower() in SUFFIXES and inside[0].lower() not in skip and path.is_file():
            found[path.stem].append(path)
    twice = {stem: paths for stem, paths in found.items() if len(paths) > 1}
    findings = [
        error(
            "duplicate_name",
            f"{len(paths)} files are named {stem}: {', '.join(path.relative_to(root).as_posix() for path in paths[:3])}",
        )
        for stem, paths in sorted(twice.items())
    ]
    return {stem: paths[0] for stem, paths in found.items()}, findings


def unreadable_pictures(root: Path, paths: list[Path]) -> Iterator[Finding]:
    """An error for every file whose head is no picture; pixels are not decoded."""
    for path in paths:
        try:
            with Image.open(path, formats=("JPEG", "PNG")) as picture:
                picture.verify()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as fault:
            yield error("unreadable_image", f"{path.relative_to(root).as_posix()} cannot be read: {str(fault)[:120]}")
