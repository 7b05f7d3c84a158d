"""medpipe export"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medpipe.bundle_check import require_trust
from medpipe.bundles import Bundle, find_bundle, parse_overrides
from medpipe.cli.common import JsonOption, TrustOption, require_weights, say, show_json
from medpipe.errors import RequestError

NOTICE = "For research use. Not a medical device."


def run(
    name: Annotated[str, typer.Argument(help="Bundle name or folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write (must not exist).")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, as weights=FILE or image_size=448.")] = None,
    kind: Annotated[
        str, typer.Option("--format", help="onnx (.onnx), torch-export (.pt2) or openvino (.xml, with .bin beside it).")
    ] = "onnx",
    tolerance: Annotated[
        float, typer.Option(min=0, help="Largest difference from torch, times the output's largest value above 1.")
    ] = 1e-4,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a bundle's network as a file of another runtime, for machines without torch.

    What was written is run on random and on drawn images, and compared with torch; where an output differs by more than
    the tolerance, no file is left. The file says which bundle and weights it holds, and how far apart the outputs were.

    Example: [bold]medpipe export cxr_pneumothorax_acm --format onnx -o acm.onnx[/bold]
    """
    bundle = find_bundle(name)
    values = parse_overrides(overrides or [], bundle.config("infer"))
    require_weights(bundle, values)
    require_trust(bundle, trust=trust)
    from medpipe.networks.deployment.formats import FORMATS, export_network
    from medpipe.networks.deployment.signature import signature_of

    if kind not in FORMATS:
        raise RequestError(f"format '{kind}' is none of {', '.join(FORMATS)}")
    _check_output(output, FORMATS[kind].suffix)
    network, weights, image_size, facts = _network(bundle, values)
    signature = signature_of(network, bundle.metadata().get("network_data_format", {}), image_size)
    exported = export_network(
        network,
        signature,
        kind,
        realistic={"drawn": _drawn(signature)},
        facts=_facts(bundle, weights) | facts,
        tolerance=tolerance,
    )
    _write(output, exported.files)
    if as_json:
        found = [vars(item) for item in exported.differences]
        show_json({"output": str(output), "format": kind, "tolerance": tolerance, "differences": found})
        return
    for item in exported.differences:
        print(f"{item.case}: {item.output} differs by at most {item.largest:.2g}, largest value {item.scale:.3g}")
    say(f"Exported: {output} (within {tolerance:g} of torch)")
    say(NOTICE)


def _check_output(output: Path, suffix: str) -> None:
    if output.suffix != suffix:
        raise RequestError(f"output '{output}' must end in {suffix} for this format")
    for path in {output, output.with_suffix(".bin") if suffix == ".xml" else output}:
        if path.exists():
            raise RequestError(f"'{path}' exists; name a new file")
    if not output.parent.is_dir():
        raise RequestError(f"folder '{output.parent}' does not exist")


def _write(output: Path, files: dict[str, bytes]) -> None:
    """All the files or none; the one that is named comes last."""
    from medpipe.io.atomic import write_bytes

    try:
        for suffix, content in files.items():
            write_bytes(output.with_suffix(suffix), content)
    except BaseException:
        for suffix in files:
            output.with_suffix(suffix).unlink(missing_ok=True)
        raise


def _network(bundle: Bundle, values: dict[str, Any]) -> tuple[Any, Path, Any, dict[str, str]]:
    """The network with its weights on the CPU, the weight file, and what the config says of it.

    That is the size that it is built for, None where it does not say so, and what the file shall say of itself.
    """
    from medpipe.bundles import build_workflow
    from medpipe.networks.label_orders import reorder_head
    from medpipe.networks.weights import load_weights

    parser = build_workflow(bundle, "infer", {"weights": str(bundle.weights), **values}).parser
    try:
        network = parser.get_parsed_content("network_def")
        weights = Path(parser.get_parsed_content("weights"))
        sizes = next((key for key in ("exported_sizes", "image_size") if key in parser), None)
        image_size = parser.get_parsed_content(sizes) if sizes else None
        facts = dict(parser.get_parsed_content("exported_facts")) if "exported_facts" in parser else {}
        order = parser.get_parsed_content("output_order") if "output_order" in parser else None
    except Exception as error:  # MONAI wraps whatever a part of the bundle raised
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise RequestError(
            f"the network of bundle '{bundle.name}' cannot be built: {str(cause)[:300]}; check the options"
        ) from error
    return reorder_head(load_weights(network.cpu(), weights).float(), order), weights, image_size, facts


def _facts(bundle: Bundle, weights: Path) -> dict[str, str]:
    import torch

    import medpipe
    from medpipe.predictions.fingerprints import sha256_of_file

    metadata = bundle.metadata()
    return {
        "bundle": bundle.name,
        "bundle_version": str(metadata.get("version", "")),
        "weights_sha256": sha256_of_file(weights),
        "medpipe": medpipe.__version__,
        "torch": torch.__version__,
        "intended_use": str(metadata.get("intended_use", "")),
        "notice": NOTICE,
    }


def _drawn(signature: Any) -> list[Any]:
    """Drawn images of a network's inputs, a radiograph or volumes with organs at different places; other whole numbers."""
    import numpy as np
    import torch

    from medpipe.data.lookalikes.chest_radiograph import draw_chest_radiograph
    from medpipe.data.lookalikes.deformable_shapes import nested_ellipsoids, paint

    images = signature.random_inputs(1, seed=4)
    for index, (name, (channels, *size)) in enumerate(signature.inputs.items()):
        if name in signature.whole:
            continue
        rng = np.random.default_rng([0, index])
        if len(size) == 3:
            grid = (size[0], size[1], size[2])
            image = paint(rng, nested_ellipsoids(rng, grid, "liver"), np.linspace(0, 1, 7))
        else:
            image = draw_chest_radiograph(rng, "pneumothorax", max(64, *size)).image[: size[0], : size[1]]
        images[index] = torch.from_numpy(np.ascontiguousarray(image, np.float32)).expand(1, channels, *size)
    return images
