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


def parsed(line: str) -> list[str]:
    """The command's names, such as ``["data", "prepare"]``.

    Raises:
        UsageError: The program has no such command or option.
        RequestError: A bundle has no such name or key.
    """
    words = shlex.split(line, comments=True)
    words = words[words.index("medpipe") + 1 :]
    if "|" in words or ">" in words:
        words = words[: min(words.index(sign) for sign in ("|", ">") if sign in words)]
    command, names = typer.main.get_command(app), []
    while hasattr(command, "commands"):
        names.append(words.pop(0))
        command = command.commands[names[-1]]
    given = command.make_context(names[-1], words).params
    if names == ["reproduce"]:
        bundle = find_bundle(given["name"])
        rest, _ = _of_stages(load_plan(bundle), given["overrides"] or [])
        parse_overrides(split_arguments(rest)[1], {**bundle.config("evaluate"), **bundle.config("train")})
    elif names[0] in MODES:
        bundle = replace(find_bundle(given["name"]), overlays=tuple(given.get("configs") or ()))
        texts = given["arguments"] if names == ["infer"] else given["overrides"]
        parse_overrides(split_arguments(texts or [])[1], bundle.config(MODES[names[0]]))
    return names


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_documented_command_has_options_and_keys_that_exist(page, line, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # where no file is that a word could name
    assert line.split("medpipe ", 1)[1].startswith(" ".join(parsed(line)))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("medpipe infer radiology_vqa_mevf a.png --questoin Why -o out", "No such option"),
        ("medpipe train radiology_vqa_mmq max_epoch=2 -o out", "no 'max_epoch'; did you mean max_epochs"),
        ("medpipe train radiology_vqa_mmq rounds=2 -o out", "no 'rounds'"),  # of --config train_meta
        ("medpipe reproduce radiology_vqa_mmq two.meta=meta.json -o out", "no 'two.meta'"),
        ("medpipe evaluate radiology_vqa weights=model.pt -o out", "radiology_vqa"),
    ],
)
def test_a_wrong_command_would_be_found(line, fault, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match=fault):
        parsed(line)
