"""medpipe import-weights"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medpipe.bundle_check import require_trust
from medpipe.bundles import find_bundle, parse_overrides
from medpipe.cli.common import JsonOption, say, show_json
from medpipe.errors import RequestError


def run(
    name: Annotated[str, typer.Argument(help="Bundle whose network takes the weights.")],
    file: Annotated[Path, typer.Argument(help="The authors' state_dict (.pt, .pth or .safetensors).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Weight file to write (must not exist).")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, as backbone=resnet50 groups=32.")] = None,
    label: Annotated[
        int | None, typer.Option(min=0, help="Which class of a classifier of several to take, counted from 0.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Turn a checkpoint of a method's authors into weights of our network.

    The authors of ACM published a classifier of 14 findings, of which pneumothorax is number 7.

    Example: [bold]medpipe import-weights cxr_pneumothorax_acm authors.pt -o model.pt backbone=resnet50 groups=32
    output_stride=32 --label 7[/bold]
    """
    bundle = find_bundle(name)
    require_trust(bundle, trust=False)
    values = parse_overrides(overrides or [], bundle.config("infer"))
    if output.exists():
        raise RequestError(f"'{output}' exists; name a new file")
    if not output.parent.is_dir():
        raise RequestError(f"folder '{output.parent}' does not exist")
    import torch
    from monai.bundle import ConfigParser

    from medpipe.io.atomic import atomic_writer
    from medpipe.networks.reference_weights import import_acm_state_dict
    from medpipe.networks.state_dicts import read_state_dict

    parser = ConfigParser(bundle.config("infer"))
    parser.update(values)
    try:
        network = parser.get_parsed_content("network_def")
        state = import_acm_state_dict(read_state_dict(file), network, label=label)
    except Exception as error:  # torch raises many kinds on foreign files
        raise RequestError(f"weights '{file}': {str(error)[:600]}") from error
    with atomic_writer(output) as stream:
        torch.save(state, stream)
    if as_json:
        show_json({"weights": str(output), "tensors": len(state)})
    else:
        say(f"Weights: {output} ({len(state)} tensors)")
