"""Commands in README and the bundle pages: their options and keys are those that the program has."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from medpipe.bundles import find_bundle, parse_overrides
from medpipe.cli.common import split_arguments
from medpipe.cli.main import app
from medpipe.cli.reproduce import _of_stages
from medpipe.reproduction.plan import load_plan

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("bundles/*/docs/README.md")), *sorted(ROOT.glob("docs/*.md"))]
BLOCK = re.compile(r"^```(?:bash|sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
MODES = {"infer": "infer", "export": "infer", "evaluate": "evaluate", "train": "train"}


def commands() -> list[tuple[str, str]]:
    """(page, command), the lines that are continued joined."""
    found = []
    for page in PAGES:
        for block in BLOCK.findall(page.read_text(encoding="utf-8")):
            lines = block.replace("\\\n", " ").splitlines()
            found += [(page.relative_to(ROOT).as_posix(), " ".join(line.split())) for line in lines]
    return [(page, line) for page, line in found if re.match(r"(torchrun .*-m )?medpipe ", line)]


def test_there_are_commands_in_all_bundles_pages() -> None:
    pages = {page for page, _ in commands()}
    assert {page.relative_to(ROOT).as_posix() for page in PAGES if "bundles" in page.parts} <= pages


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_documented_command_has_options_and_keys_that_exist(page, line, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # where no file is that a word could name
    words = shlex.split(line, comments=True)
    words = words[words.index("medpipe") + 1 :]
    if "|" in words or ">" in words:
        words = words[: min(words.index(sign) for sign in ("|", ">") if sign in words)]
    command, name = typer.main.get_command(app), words.pop(0)
    command = command.commands[name]
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    context = command.make_context(name, words)  # refuses options that it has not
    given = context.params
    if name == "reproduce":
        bundle = find_bundle(given["name"])
        rest, _ = _of_stages(load_plan(bundle), given["overrides"] or [])
        parse_overrides(split_arguments(rest)[1], {**bundle.config("evaluate"), **bundle.config("train")})
    elif name in MODES:
        bundle = replace(find_bundle(given["name"]), overlays=tuple(given.get("configs") or ()))
        texts = given["arguments"] if name == "infer" else given["overrides"]
        parse_overrides(split_arguments(texts or [])[1], bundle.config(MODES[name]))
