"""The option of ``medpipe infer`` for bundles that answer questions, and the config value that it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from medpipe.bundles import Bundle
from medpipe.errors import RequestError

__all__ = ["QuestionOption", "question_override"]

QuestionOption = Annotated[
    list[str] | None,
    typer.Option("--question", rich_help_panel="Questions", help="What to ask of each image; may be repeated."),
]


def question_override(bundle: Bundle, questions: Sequence[str] | None, given: dict[str, Any]) -> dict[str, Any]:
    """The config value of the questions of a request; none where none is given.

    Raises:
        RequestError: The bundle answers none, they are given twice, one is empty, or one holds what MONAI's configs read
            as something else than text.
    """
    if not questions:
        return {}
    if "question" not in bundle.config("infer"):
        raise RequestError(f"--question is for question answering; '{bundle.name}' answers none")
    if "question" in given:
        raise RequestError("question is given by --question; leave the override out")
    for text in questions:
        if not text.strip():
            raise RequestError("--question is empty; write one, such as --question 'Is there a mass?'")
        if text.lstrip().startswith(("$", "@", "%")) or "#" in text or "::" in text:
            raise RequestError(f"question '{text}' begins with $, @ or %, or holds # or ::; write it in words")
    return {"question": list(questions)}
