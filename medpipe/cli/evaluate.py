"""medpipe evaluate"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medpipe.bundle_check import require_trust
from medpipe.bundles import find_bundle, monai_command, parse_overrides
from medpipe.cli.batch_options import (
    BatchOptions,
    DeviceOption,
    DicomOption,
    DryRunOption,
    ExecutorOption,
    IdentifiedOption,
    LimitOption,
    MemoryLimitOption,
    RayAddressOption,
    RetryFailedOption,
    TimeLimitOption,
    WorkersOption,
)
from medpipe.cli.common import (
    JsonOption,
    OutputOption,
    PrintCommandOption,
    TrustOption,
    output_folder,
    require_weights,
    split_arguments,
)
from medpipe.cli.infer import run_batch, summarise
from medpipe.cli.pair_options import PairOptions
from medpipe.cli.train import resolve_datalist
from medpipe.errors import RequestError


def run(
    name: Annotated[str, typer.Argument(help="Bundle name or folder.")],
    overrides: Annotated[list[str], typer.Argument(help="key=value; dataset_dir and datalist say what is evaluated.")],
    output: OutputOption,
    print_command: PrintCommandOption = False,
    trust: TrustOption = False,
    as_json: JsonOption = False,
    workers: WorkersOption = None,
    device: DeviceOption = None,
    limit: LimitOption = None,
    retry_failed: RetryFailedOption = False,
    time_limit: TimeLimitOption = None,
    memory_limit: MemoryLimitOption = None,
    dry_run: DryRunOption = False,
    dicom: DicomOption = None,
    identified: IdentifiedOption = False,
    executor: ExecutorOption = "local",
    ray_address: RayAddressOption = None,
) -> None:
    """Run a bundle on labelled images, score it against their truth, and write results.json and the report.

    Example: [bold]medpipe evaluate cxr_pneumothorax_acm dataset_dir=siim datalist=siim/datalist.json -o out[/bold]
    """
    bundle = find_bundle(name)
    paths, texts = split_arguments(overrides)
    if paths:
        raise RequestError(f"'{paths[0]}' is not of the form key=value; write dataset_dir={paths[0]}")
    values: dict[str, Any] = parse_overrides(texts, bundle.config("evaluate"))
    options = BatchOptions(
        workers=workers,
        device=device,
        limit=limit,
        retry_failed=retry_failed,
        time_limit=time_limit,
        memory_limit=memory_limit,
        dry_run=dry_run,
        dicom=dicom,
        identified=identified,
        executor=executor,
        ray_address=ray_address,
    )
    output = output_folder(output, values)
    given = options.overrides(bundle, "evaluate", {"output_dir": str(output), **resolve_datalist(values)})
    if print_command:
        print(monai_command(bundle, "evaluate", given))
        return
    if PairOptions().needs_weights(values):
        require_weights(bundle, values)
    require_trust(bundle, trust=trust)
    run_batch(bundle, "evaluate", given)
    if dry_run:
        return
    code = summarise(output, as_json=as_json, also={"results": str(output / "results.json")})
    if not as_json:
        _say_headline(output / "results.json")
    raise typer.Exit(code)


def _say_headline(path: Path) -> None:
    import json

    from medpipe.cli.common import say

    for estimate in json.loads(path.read_text(encoding="utf-8"))["headline"]:
        say(f"  {estimate['text']}")
