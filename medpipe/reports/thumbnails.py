"""Small pictures inside the page, as many as its size allows."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

__all__ = ["picture_path", "thumbnails"]

_BUDGET = 3_500_000
"""Characters of pictures in one page, so that a thousand cases stay below five megabytes."""


def picture_path(folder: Path, case: str) -> Path | None:
    """The picture of a case's maps and marks, of its marks alone, or of its image, where the run drew one."""
    if case in ("", ".", "..") or Path(case).name != case:  # results made elsewhere must not lead out of the folder
        return None
    paths = (folder / "cases" / case / name for name in ("maps.jpg", "marks.png", "image.png"))
    return next((path for path in paths if path.is_file()), None)


def thumbnails(paths: Sequence[Path | None]) -> list[str]:
    """One picture per path as JPEG in base64; empty where there is none, or where the page is full."""
    side = 320 if sum(path is not None for path in paths) <= 120 else 160
    spent, pictures = 0, []
    for path in paths:
        picture = _thumbnail(path, side) if path is not None and spent < _BUDGET else ""
        spent += len(picture)
        pictures.append(picture)
    return pictures


def _thumbnail(path: Path, side: int) -> str:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
    except OSError:  # a damaged picture must not cost the report
        return ""
    small.thumbnail((side, side))
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=75)
    return base64.b64encode(encoded.getvalue()).decode("ascii")
