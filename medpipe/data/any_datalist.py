"""Datalists of any task: radiographs, registration, or questions about images, told apart by what they say of themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medpipe.errors import InputDataError

from .datalist import load_datalist, write_datalist
from .registration_datalist import load_registration_datalist, write_registration_datalist
from .vqa_datalist import TASK, load_vqa_datalist, write_vqa_datalist

__all__ = ["is_about_questions", "load_any_datalist", "write_any_datalist"]


def is_about_questions(datalist: Mapping[str, Any]) -> bool:
    """Whether its cases are questions."""
    return datalist.get("task") == TASK


def write_any_datalist(datalist: dict[str, Any], path: Path) -> None:
    """Check a datalist by the rules of its task and write it as JSON; the file appears only when it is whole.

    Raises:
        InputDataError: It does not follow its format.
    """
    if "pairs" in datalist:
        write_registration_datalist(datalist, path)
    elif is_about_questions(datalist):
        write_vqa_datalist(datalist, path)
    else:
        write_datalist(datalist, path)


def load_any_datalist(path: Path) -> dict[str, Any]:
    """Read a datalist and check it by the rules of its task.

    Raises:
        InputDataError: It cannot be read, or does not follow its format.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as fault:
        raise InputDataError(f"{path}: not readable as a JSON file: {fault}") from fault
    if isinstance(content, dict) and "pairs" in content:
        return load_registration_datalist(path)
    if isinstance(content, dict) and is_about_questions(content):
        return load_vqa_datalist(path)
    return load_datalist(path)
