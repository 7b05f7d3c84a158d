"""attention.json: what a network attended to when it answered one question.

words    those that the network saw, one per place of a question; empty where a question is padded
known    whether the network knows each word
weights  the share of the attention that each word has, mean over glimpses and sum over regions; null where words are
         not attended to
places   rows of the shares of regions, from the top of the image; null where there is one
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from medpipe.io.atomic import write_text

__all__ = ["NAME", "read_question_attention", "write_question_attention"]

NAME = "attention.json"
_DIGITS = 6


def write_question_attention(path: Path, attended: Mapping[str, Any], hide: Callable[[str], str]) -> None:
    """Write what ``medpipe.transforms.question_attention`` gives, atomically.

    Args:
        path: The file.
        attended: "words", "known", "weights" and "places".
        hide: Takes words that name a patient out of a text.
    """
    content = {**attended, "words": _hidden(list(attended["words"]), hide)}
    for key in ("weights", "places"):
        content[key] = _rounded(content[key])
    write_text(path, json.dumps(content, ensure_ascii=False) + "\n")


def read_question_attention(path: Path) -> dict[str, Any] | None:
    """The content of the file; None where there is none, or none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        lengths = {len(content[key]) for key in ("words", "known", "weights") if content[key] is not None}
    except (OSError, ValueError, KeyError, TypeError):  # of results made elsewhere: a picture less, not a report less
        return None
    return content if len(lengths) == 1 else None


def _hidden(words: list[str], hide: Callable[[str], str]) -> list[str]:
    """Each word hidden for itself; all, where together they still name somebody."""
    found = [hide(word) for word in words]
    text = " ".join(found)
    return found if hide(text) == text else ["***" if word else "" for word in words]


def _rounded(values: Any) -> Any:
    if isinstance(values, list):
        return [_rounded(value) for value in values]
    return None if values is None else round(float(values), _DIGITS)
