"""medpipe train"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from medpipe.bundle_check import require_trust
from medpipe.bundles import absolute, find_bundle, monai_command, parse_overrides, run_bundle
from medpipe.cli.batch_options import terminable
from medpipe.cli.common import (
    JsonOption,
    OutputOption,
    PrintCommandOption,
    TrustOption,
    output_folder,
    say,
    show_json,
    split_arguments,
)
from medpipe.errors import AlreadyDoneError, RequestError

ConfigOption = Annotated[
    list[str] | None,
    typer.Option(
        "--config",
        help="Another config of the bundle, such as train_teacher, which is merged over train.yaml; may be repeated.",
    ),
]


def run(
    name: Annotated[str, typer.Argument(help="Bundle name or folder.")],
    overrides: Annotated[list[str], typer.Argument(help="key=value; dataset_dir and datalist say what is trained on.")],
    output: OutputOption,
    configs: ConfigOption = None,
    print_command: PrintCommandOption = False,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a bundle on a prepared data set; the best weights go to model.pt, one row per epoch to epochs.csv.

    The same command takes up an interrupted training after its last whole epoch, and ends with the weights of one that was
    not interrupted.

    Several processes share each batch under torchrun, on GPUs by NCCL and on CPUs by gloo; OUT must then be one folder that
    all machines share. torchrun itself exits with 1 for every failure, whatever the code of its processes.

    Examples:

    [bold]medpipe train cxr_pneumothorax_acm dataset_dir=siim datalist=siim/datalist.json -o out[/bold]

    [bold]torchrun --nproc-per-node 2 -m medpipe train cxr_pneumothorax_acm dataset_dir=siim -o out[/bold]

    [bold]medpipe train brain_mri_registration_ldr --config train_teacher dataset_dir=brains -o teacher[/bold]
    """
    bundle = replace(find_bundle(name), overlays=tuple(configs or ()))
    paths, texts = split_arguments(overrides)
    if paths:
        raise RequestError(f"'{paths[0]}' is not of the form key=value; write dataset_dir={paths[0]}")
    config = bundle.config("train")
    values = parse_overrides(texts, config)
    output = output_folder(output, values)
    # A config that generates all it trains on has no datalist; one may be given to it all the same.
    wants_data = config.get("datalist") is not None or values.keys() & {"datalist", "dataset_dir"}
    given: dict[str, Any] = {"output_dir": str(output), **(resolve_datalist(values) if wants_data else values)}
    nested = {key: value for key, value in values.items() if "::" in key}
    if nested and "training_folder" in config:  # no options by name, and yet of influence
        given["training_folder::options::overrides"] = nested
    if print_command:
        print(monai_command(bundle, "train", given))
        return
    require_trust(bundle, trust=trust)
    finished = ""
    try:
        with terminable():
            run_bundle(bundle, "train", given)
    except AlreadyDoneError as error:
        finished = f"{error}; nothing was done"
    if os.environ.get("RANK", "0") == "0":  # of several processes the first one speaks
        _conclude(output, finished, as_json=as_json)


def _conclude(output: Path, finished: str, *, as_json: bool) -> None:
    if finished:
        say(finished)
    made = {name: output / file for name, file in _RESULTS.items() if (output / file).is_file()}
    if "weights" not in made and "fields" not in made:
        raise RequestError(
            "no weights were saved: the metric that chooses them is undefined on the validation section (see epochs.csv)"
        )
    if as_json:
        show_json({name: str(path) for name, path in made.items()})
    else:
        say("; ".join(f"{name.capitalize()}: {path}" for name, path in made.items()))


_RESULTS = {"weights": "model.pt", "epochs": "epochs.csv", "fields": "fields.csv"}
"""What a training leaves, or the export of a teacher's fields."""


def resolve_datalist(values: dict[str, Any]) -> dict[str, Any]:
    """Make dataset_dir and datalist absolute and check that they exist.

    Raises:
        RequestError: One is missing; the message says how to make a datalist.
    """
    if "dataset_dir" not in values:
        raise RequestError("which data? give dataset_dir=ROOT (and datalist=FILE, by default ROOT/datalist.json)")
    root = Path(str(absolute([str(values["dataset_dir"])])))
    if not root.is_dir():
        raise RequestError(f"dataset_dir '{root}' is not a folder")
    datalist = Path(str(absolute([str(values.get("datalist") or root / "datalist.json")])))
    if not datalist.is_file():
        raise RequestError(f"datalist '{datalist}' does not exist; make it with 'medpipe data prepare'")
    return {**values, "dataset_dir": str(root), "datalist": str(datalist)}
