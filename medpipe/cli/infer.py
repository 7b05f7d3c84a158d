"""medpipe infer"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medpipe.bundle_check import require_trust
from medpipe.bundles import Bundle, absolute, find_bundle, monai_command, parse_overrides, run_bundle
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
    terminable,
)
from medpipe.cli.common import (
    EXIT,
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
from medpipe.cli.pair_options import (
    AffineOption,
    FixedLabelsOption,
    FixedOption,
    MethodOption,
    MovingLabelsOption,
    MovingOption,
    PairOptions,
    PairsOption,
    PointsOption,
    RefineOption,
)
from medpipe.cli.question_options import QuestionOption, question_override
from medpipe.errors import CaseError, RequestError

WatchOption = Annotated[
    Path | None,
    typer.Option("--watch", rich_help_panel="Batch", help="Take what arrives in this folder, until Ctrl-C."),
]
WatchIdleOption = Annotated[
    float | None,
    typer.Option("--watch-idle", min=0.1, rich_help_panel="Batch", help="End the watch after so many idle seconds."),
]
RuntimeOption = Annotated[
    str | None,
    typer.Option(rich_help_panel="Batch", help="What runs the network: torch, or onnx with --exported."),
]
ExportedOption = Annotated[
    Path | None, typer.Option(rich_help_panel="Batch", help="File of 'medpipe export', for --runtime onnx.")
]


def run(
    name: Annotated[str, typer.Argument(help="Bundle name or folder.")],
    output: OutputOption,
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Files, folders, zip archives or DICOMDIRs; then key=value overrides.")
    ] = None,
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
    watch: WatchOption = None,
    watch_idle: WatchIdleOption = None,
    executor: ExecutorOption = "local",
    ray_address: RayAddressOption = None,
    runtime: RuntimeOption = None,
    exported: ExportedOption = None,
    fixed: FixedOption = None,
    moving: MovingOption = None,
    pairs: PairsOption = None,
    moving_labels: MovingLabelsOption = None,
    fixed_labels: FixedLabelsOption = None,
    points: PointsOption = None,
    affine: AffineOption = None,
    refine: RefineOption = None,
    method: MethodOption = None,
    question: QuestionOption = None,
) -> None:
    """Run a bundle on images: scores and marks, fields of pairs, or answers to questions; pictures and a report.

    Every file found ends as done, skipped or failed, with its reason, in cases.csv. The same command takes up an
    interrupted run, does what is new in the input, and keeps the rest.

    Examples:

    [bold]medpipe infer cxr_pneumothorax_acm export/ -o out --dicom sr,sc[/bold]

    [bold]medpipe infer brain_mri_registration_ldr --fixed atlas.nii.gz --moving subject.nii.gz -o out[/bold]

    [bold]medpipe infer radiology_vqa_mevf slice.png --question "Is there a mass?" weights=model.pt -o out[/bold]

    [bold]medpipe infer cxr_pneumothorax_acm "dicomweb://127.0.0.1:8042/dicom-web?PatientID=7" -o out[/bold]
    """
    bundle = find_bundle(name)
    paths, texts = split_arguments(arguments or [])
    overrides = parse_overrides(texts, bundle.config("infer"))
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
    output = output_folder(output, overrides)
    registration = PairOptions(
        fixed=fixed,
        moving=moving,
        pairs=pairs,
        moving_labels=moving_labels,
        fixed_labels=fixed_labels,
        points=points,
        affine=affine,
        refine=refine,
        method=method,
    )
    inputs = registration.overrides(bundle, paths, overrides, watch=watch is not None)
    if inputs is None:
        inputs = {"dataset_dir": absolute(_inputs(paths, watch, watch_idle, output))}
    asked = question_override(bundle, question, overrides)
    given: dict[str, Any] = {**inputs, "output_dir": str(output), **overrides, **asked}
    own = {"watch": watch is not None, "watch_idle": watch_idle, "runtime": runtime}
    own["exported"] = None if exported is None else str(absolute([exported]))
    given = options.overrides(bundle, "infer", given, **own)
    if print_command:
        print(monai_command(bundle, "infer", given))
        return
    if registration.needs_weights(given):
        require_weights(bundle, overrides)
    require_trust(bundle, trust=trust)
    run_batch(bundle, "infer", given)
    if not dry_run:
        raise typer.Exit(summarise(output, as_json=as_json, stopped_is_interrupted=watch is not None))


def _inputs(paths: list[str], watch: Path | None, watch_idle: float | None, output: Path) -> list[str]:
    if watch is not None:
        if paths:
            raise RequestError(f"--watch takes the place of inputs; leave '{paths[0]}' out")
        if not watch.is_dir():
            raise RequestError(f"folder '{watch}' to watch does not exist")
        return [str(watch)]
    if watch_idle is not None:
        raise RequestError("--watch-idle goes with --watch FOLDER")
    if not paths:
        raise RequestError("no input given; name files, folders or zip archives")
    return [_local(path, output) for path in paths]


def _local(path: str, output: Path) -> str:
    """A path that exists; what a server is asked for is retrieved beside the output folder first."""
    from medpipe.pacs.fetch import Address, fetch, is_address

    if not is_address(path):
        if not Path(path).exists():
            raise RequestError(f"input '{path}' does not exist")
        return path
    folder = output.with_name(f"{output.name}.input")
    try:
        number = fetch(Address.parse(path), folder)
    except CaseError as error:
        raise RequestError(str(error)) from error
    say(f"{number} instances retrieved to {folder}")
    return str(folder)


_UNITS = {"pairs.csv": "pair", "answers.csv": "question"}
"""What a run counts, by a table that tells."""


def run_batch(bundle: Bundle, mode: str, given: dict[str, Any]) -> None:
    """Run a bundle so that Ctrl-C and SIGTERM leave a run that can be resumed."""
    from medpipe.batch.worker import prepare_workers

    if given.get("num_workers") != 0 and "evaluator" not in given:
        prepare_workers()
    with terminable():
        run_bundle(bundle, mode, given)


def summarise(
    output: Path, *, as_json: bool, also: dict[str, Any] | None = None, stopped_is_interrupted: bool = False
) -> int:
    """Say how a run went and where its results are; returns the exit code.

    Args:
        output: The run's folder.
        as_json: For a program.
        also: More to say, by name.
        stopped_is_interrupted: Whether a run that is not finished counts as interrupted.
    """
    from medpipe.predictions.run_folder import read_run

    run = read_run(output)
    counts = run["cases"]
    if as_json:
        show_json(
            {"output": str(output), "cases": counts, "report": str(output / "report" / "index.html"), **(also or {})}
        )
    else:
        total = sum(counts[status] for status in ("done", "skipped", "failed"))
        parts = ", ".join(f"{counts[status]} {status}" for status in ("done", "skipped", "failed"))
        if counts.get("not reached"):
            parts += f" ({counts['not reached']} of them not reached: run the same command again)"
        what = next((word for name, word in _UNITS.items() if (output / name).is_file()), "file")
        say(f"{total} {what}{'' if total == 1 else 's'}: {parts}. Reasons: {output / 'cases.csv'}")
        say(f"Report: {output / 'report' / 'index.html'}")
        say("For research use. Not a medical device.")
    if stopped_is_interrupted and run["finished"] is None:
        return EXIT["interrupted"]
    return exit_code_of(counts)
