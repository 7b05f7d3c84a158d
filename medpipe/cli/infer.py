"""medpipe infer"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medpipe.bundle_check import require_trust
from medpipe.bundles import absolute, find_bundle, monai_command, parse_overrides, run_bundle
from medpipe.cli.common import (
    JsonOption,
    OutputOption,
    PrintCommandOption,
    TrustOption,
    exit_code_of,
    output_folder,
    require_weights,
    say,
    show_json,
    split_arguments,
)
from medpipe.errors import RequestError


def run(
    name: Annotated[str, typer.Argument(help="Bundle name or folder.")],
    arguments: Annotated[
        list[str], typer.Argument(help="Files, folders, zip archives or DICOMDIRs; then key=value overrides.")
    ],
    output: OutputOption,
    print_command: PrintCommandOption = False,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a bundle on images: scores, marks, pictures and a report.

    Every file found ends as done, skipped or failed, with its reason, in cases.csv. The same command takes up an
    interrupted run.

    Example: [bold]medpipe infer cxr_pneumothorax_acm export/ -o out[/bold]
    """
    bundle = find_bundle(name)
    paths, texts = split_arguments(arguments)
    overrides = parse_overrides(texts, bundle.config("infer"))
    if not paths:
        raise RequestError("no input given; name files, folders or zip archives")
    for path in paths:
        if not Path(path).exists():
            raise RequestError(f"input '{path}' does not exist")
    output = output_folder(output, overrides)
    given: dict[str, Any] = {
        "dataset_dir": absolute(paths),
        "output_dir": str(output),
        "weights": str(bundle.weights),
        **overrides,
    }
    if print_command:
        print(monai_command(bundle, "infer", given))
        return
    require_weights(bundle, overrides)
    require_trust(bundle, trust=trust)
    run_bundle(bundle, "infer", given)
    raise typer.Exit(summarise(output, as_json=as_json))


def summarise(output: Path, *, as_json: bool, also: dict[str, Any] | None = None) -> int:
    """Say how a finished run went and where its results are; returns the exit code."""
    from medpipe.predictions.run_folder import read_run

    counts = read_run(output)["cases"]
    if as_json:
        show_json(
            {"output": str(output), "cases": counts, "report": str(output / "report" / "index.html"), **(also or {})}
        )
    else:
        total = sum(counts.values())
        parts = ", ".join(f"{counts[status]} {status}" for status in ("done", "skipped", "failed"))
        say(f"{total} files: {parts}. Reasons: {output / 'cases.csv'}")
        say(f"Report: {output / 'report' / 'index.html'}")
        say("For research use. Not a medical device.")
    return exit_code_of(counts)
