"""Which runtime computes a bundle's network: torch itself, or ONNX Runtime with an exported file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn

from medpipe.errors import RequestError

from ..choices import choose
from ..label_orders import reorder_head
from ..weights import load_weights
from .onnx_network import OnnxNetwork
from .packages import require_packages

__all__ = ["RUNTIMES", "load_network", "runtime_identity"]

RUNTIMES = ("torch", "onnx")

Sizes = int | Sequence[int]


def load_network(
    network: nn.Module,
    weights: str | Path,
    *,
    runtime: str = "torch",
    exported: str | Path | None = None,
    image_size: Sizes | Mapping[str, Sizes] | None = None,
    threads: int = 1,
    facts: Mapping[str, str] | None = None,
    output_order: Sequence[int] | None = None,
) -> nn.Module:
    """A network ready to infer.

    Args:
        network: As defined by the bundle.
        weights: Its weight file.
        runtime: ``torch``, or ``onnx`` to let ONNX Runtime compute on the CPU.
        exported: File that ``medpipe export`` made of this network with these weights, for ``onnx``.
        image_size: Size of the images, one number or one per axis; or with the channels before; of several images by name.
        threads: Threads of ONNX Runtime; those of torch are set elsewhere.
        facts: What an exported file must say of itself besides: names of classes, ...
        output_order: Of the maps, see ``reorder_head``; an exported file has it already.

    Returns:
        The network with its weights, or an ``OnnxNetwork`` that is called alike.

    Raises:
        RequestError: A file is missing or does not fit, or ONNX Runtime is not installed.
        ValueError: The runtime is unknown.
    """
    if choose("runtime", runtime, RUNTIMES) == "torch":
        if exported is not None:
            raise RequestError(f"exported='{exported}' goes with runtime onnx; give --runtime onnx, or leave it out")
        return reorder_head(load_weights(network, weights), output_order)
    onnx = OnnxNetwork(_named(exported), threads)
    if onnx.facts.get("weights_sha256") != _sha256(weights):
        raise RequestError(f"'{exported}' was not exported with the weights '{weights}'; export the bundle again")
    _check_sizes(onnx, image_size, exported)
    for name, value in (facts or {}).items():
        if name not in onnx.facts:
            raise RequestError(f"'{exported}' does not say its {name}; export the bundle again")
        if onnx.facts[name] != value:
            raise RequestError(
                f"'{exported}' was exported with {name} {onnx.facts.get(name)}, and this run has {value}; "
                "export the bundle with the same options"
            )
    return onnx.eval()


def runtime_identity(runtime: str = "torch", exported: str | Path | None = None) -> dict[str, Any]:
    """What run.json says of the runtime: its name, and of an exported file the SHA-256.

    Raises:
        RequestError: The file is missing.
        ValueError: The runtime is unknown.
    """
    if choose("runtime", runtime, RUNTIMES) == "torch":
        return {"name": runtime}
    require_packages(["onnxruntime"], "onnx")
    return {"name": runtime, "version": version("onnxruntime"), "exported_sha256": _sha256(_named(exported))}


def _check_sizes(onnx: OnnxNetwork, image_size: Sizes | Mapping[str, Sizes] | None, exported: Any) -> None:
    several = isinstance(image_size, Mapping)
    if not several and len(onnx.inputs) != 1:
        raise RequestError(f"'{exported}' takes {len(onnx.inputs)} inputs; expected a network of one image")
    sizes = image_size if isinstance(image_size, Mapping) else dict.fromkeys(onnx.inputs, image_size)
    for name, size in sizes.items():
        if size is None:
            continue
        shape = onnx.inputs.get(name)
        if shape is None:
            raise RequestError(
                f"'{exported}' takes {', '.join(onnx.inputs)}, and no image '{name}'; export this bundle"
            )
        expected = [size] * (len(shape) - 2) if isinstance(size, int) else list(size)
        found = list(shape[len(shape) - len(expected) :])
        if found != expected:
            what = f"'{name}'" if several else "images"
            raise RequestError(
                f"'{exported}' takes {what} of {_times(found)}, and this run has "
                f"{_times(expected)}; export the bundle with the same sizes"
            )


def _named(exported: str | Path | None) -> Path:
    if exported is None:
        raise RequestError(
            "runtime onnx needs the exported network: exported=FILE, made by 'medpipe export BUNDLE -o FILE'"
        )
    return Path(exported)


def _sha256(path: str | Path) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise RequestError(f"file '{path}' cannot be read ({error.strerror})") from error


def _times(sizes: Sequence[Any]) -> str:
    return " x ".join(map(str, sizes))
