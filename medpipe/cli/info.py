"""medpipe info"""

from __future__ import annotations

from typing import Annotated

import typer

from medpipe.bundles import MODES, find_bundle
from medpipe.cli.common import JsonOption, show_json


def run(name: Annotated[str, typer.Argument(help="Bundle name or folder.")], as_json: JsonOption = False) -> None:
    """Show what a bundle does, what it reads and which options it has.

    Example: [bold]medpipe info cxr_pneumothorax_acm[/bold]
    """
    bundle = find_bundle(name)
    metadata = bundle.metadata()
    modes = [mode for mode, files in MODES.items() if all((bundle.root / "configs" / f).is_file() for f in files)]
    options = {mode: _plain_options(bundle.config(mode)) for mode in modes}
    facts = {**metadata, "path": str(bundle.root), "has_weights": bundle.weights.is_file(), "options": options}
    if as_json:
        show_json(facts)
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"[bold]{bundle.name}[/bold] {metadata.get('version', '')}: {metadata.get('task', '')}")
    console.print(f"\n{metadata.get('description', '')}\n")
    for title, key in (("Use", "intended_use"), ("Data", "data_source"), ("Input", "image_classes")):
        console.print(f"[bold]{title}:[/bold] {metadata.get(key, '')}")
    for reference in metadata.get("references", []):
        console.print(f"[bold]Paper:[/bold] {reference}")
    console.print(f"[bold]Weights:[/bold] {bundle.weights if bundle.weights.is_file() else 'none shipped'}")
    console.print(f"[bold]Page:[/bold] {bundle.root / 'docs' / 'README.md'}")
    for mode in modes:
        console.print(f"\n[bold]medpipe {mode} {bundle.name}[/bold] options (key=value) and their defaults:")
        for key, value in options[mode].items():
            console.print(f"  {key}={value}", markup=False)


def _plain_options(config: dict[str, object]) -> dict[str, object]:
    """Top-level settings that are plain values: what a user overrides."""
    plain = {k: v for k, v in config.items() if v is None or isinstance(v, bool | int | float | str)}
    return {k: v for k, v in plain.items() if k != "bundle_root"}
