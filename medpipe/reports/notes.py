"""What stands below a table of figures: what each is, and how the intervals were made, each said once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["Notes", "definition_sentence", "joined"]


def joined(names: list[str]) -> str:
    """Names as a list in a sentence, apart by semicolons where a name holds a comma."""
    comma = "; " if any("," in name for name in names) else ", "
    return comma.join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1] if names else ""


def definition_sentence(name: str, definition: str) -> str:
    """Name and definition as one sentence; a definition that begins with the name says it once."""
    if definition.lower().startswith(name.lower()):
        return f"{definition[:1].upper()}{definition[1:]}."
    return f"{name}: {definition}."


class Notes:
    """Notes on some figures of results.json.

    Attributes:
        definitions: one sentence for each definition, with the names it holds for.
        methods: (level and method, names of the figures whose interval was made so).
        reasons: (name, reason) of figures that have one.
    """

    def __init__(self, figures: Iterable[dict[str, Any]]) -> None:
        self.reasons: list[tuple[str, str]] = []
        definitions: dict[str, list[str]] = {}
        methods: dict[str, list[str]] = {}
        for figure in figures:
            same = definitions.setdefault(figure["definition"], [])
            if figure["name"] not in same:
                same.append(figure["name"])
            names = methods.setdefault(f"{100 * figure['level']:g} % interval: {figure['method']}", [])
            if figure["name"] not in names:
                names.append(figure["name"])
            if figure["reason"]:
                self.reasons.append((figure["name"], figure["reason"]))
        self.definitions = [definition_sentence(joined(same), text) for text, same in definitions.items()]
        self.methods = [(method, joined(names) if len(methods) > 1 else "") for method, names in methods.items()]
