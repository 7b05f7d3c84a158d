"""Time of networks on a CPU by runtime: torch plain and optimised, ONNX Runtime, OpenVINO; in turns, in one process.

    OMP_WAIT_POLICY=PASSIVE python scripts/bench/export.py [--what cxr cxr14 ldr] [--cxr-sizes 128 448] [--volume-sizes 64 128]
        [--cascades 1 3] [--threads 1 2] [--runs 7]

cxr is the shipped network of cxr_pneumothorax_acm, a batch of 4 images; cxr14 are the classifiers of 14 findings in the
paper's sizes with and without ACM, and what ACM costs; ldr a student without weights that were trained (the time does not
depend on them), one pair, warps included. "Optimised" is channels-last for images and
``optimize_for_inference`` for volumes. Two runs warm up; the rest go in turns, and medians are given: pieces (images or
pairs) per second, CPU seconds of one piece, and the largest difference from plain torch. The variable is what the
command medpipe sets for itself: torch's idle threads do not spin then, which would take the cores from the others.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn

from medpipe.bundles import build_workflow, find_bundle
from medpipe.networks.acm import ContextLocalizer
from medpipe.networks.blocks.subpixel import optimize_for_inference
from medpipe.networks.deployment.capture import capture
from medpipe.networks.deployment.formats import FORMATS
from medpipe.networks.deployment.signature import Signature
from medpipe.networks.ldr import LDR, PaperStudent
from medpipe.networks.weights import load_weights

Outputs = Sequence[np.ndarray]


def localizer(size: int) -> tuple[nn.Module, nn.Module, Signature]:
    """The shipped network, its optimised form, and its signature."""
    bundle = find_bundle("cxr_pneumothorax_acm")
    definition = build_workflow(bundle, "infer", {}).parser.get_parsed_content("network_def")
    network = load_weights(definition.cpu(), bundle.weights)
    fast = copy.deepcopy(network).to(memory_format=torch.channels_last)
    return network, fast, Signature({"image": (1, size, size)}, ("pred",), dynamic_batch=True)


def classifier(backbone: str, context: str) -> tuple[nn.Module, nn.Module, Signature]:
    """A classifier of 14 findings at 448 x 448 without trained weights, its optimised form, and its signature."""
    torch.manual_seed(0)
    groups = {"context_args": {"groups": 32}} if context == "acm" else {}
    network = ContextLocalizer(backbone, context, num_classes=14, zero_init_last=False, **groups).eval()
    fast = copy.deepcopy(network).to(memory_format=torch.channels_last)
    return network, fast, Signature({"image": (1, 448, 448)}, ("pred",), dynamic_batch=True)


def student(size: int, cascades: int) -> tuple[nn.Module, nn.Module, Signature]:
    """A student whose fields are of some voxels, its optimised form, and its signature."""
    torch.manual_seed(0)
    network = LDR(size, n_cascades=cascades).eval()
    for module in network.modules():
        if isinstance(module, PaperStudent):
            nn.init.normal_(module.flow.weight, std=0.05)
    shape = (1, size, size, size)
    signature = Signature({"fixed": shape, "moving": shape}, ("warped", "field"), dynamic_batch=False)
    return network, optimize_for_inference(network), signature


def in_torch(network: nn.Module, inputs: Sequence[Tensor], channels_last: bool) -> Callable[[], Outputs]:
    """A run of a torch network."""
    given = [item.contiguous(memory_format=torch.channels_last) if channels_last else item for item in inputs]
    more = {"stages": False} if len(inputs) == 2 else {}

    def run() -> Outputs:
        with torch.inference_mode():
            found = network(*given, **more)
        return [found.warped.numpy(), found.field.numpy()] if more else [found.numpy()]

    return run


def measure(runs: dict[str, Callable[[], Outputs]], count: int) -> dict[str, tuple[float, float]]:
    """Median (wall, CPU) seconds of each, run in turns."""
    for run in (*runs.values(), *runs.values()):
        run()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(count):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: (statistics.median(w for w, _ in t), statistics.median(c for _, c in t)) for name, t in times.items()}


def cost_of_context(backbone: str, batch: int, threads: Sequence[int], count: int) -> None:
    """Print classifiers with and without ACM, all in turns, and how much longer it takes."""
    for number in threads:
        torch.set_num_threads(number)
        runs: dict[str, Callable[[], Outputs]] = {}
        for context in ("none", "acm"):
            network, fast, signature = classifier(backbone, context)
            inputs = signature.random_inputs(batch, seed=0)
            exported = FORMATS["onnx"].run(
                FORMATS["onnx"].files(FORMATS["onnx"].convert(capture(network, signature), signature), {}), number
            )
            runs[f"torch, {context}"] = in_torch(network, inputs, channels_last=False)
            runs[f"torch optimised, {context}"] = in_torch(fast, inputs, channels_last=True)
            arrays = [item.numpy() for item in inputs]
            runs[f"onnx, {context}"] = lambda exported=exported, arrays=arrays: exported(arrays)
        times = measure(runs, count)
        print(f"\n{backbone} at 448^2, 14 findings, batch of {batch}, {number} threads")
        for kind in ("torch", "torch optimised", "onnx"):
            plain, with_acm = (times[f"{kind}, {context}"][0] for context in ("none", "acm"))
            print(
                f"  {kind:16} none {batch / plain:6.2f}, acm {batch / with_acm:6.2f} images a second; "
                f"acm costs {100 * (with_acm / plain - 1):+.1f} %",
                flush=True,
            )


def table(
    title: str, made: tuple[nn.Module, nn.Module, Signature], batch: int, threads: Sequence[int], count: int
) -> None:
    """Print one table per number of threads."""
    network, fast, signature = made
    inputs = signature.random_inputs(batch, seed=0)
    arrays = [item.numpy() for item in inputs]
    program = capture(network, signature)
    files = {}
    for kind in ("onnx", "openvino"):
        files[kind] = FORMATS[kind].files(FORMATS[kind].convert(program, signature), {})
    for number in threads:
        torch.set_num_threads(number)
        runs = {
            "torch": in_torch(network, inputs, channels_last=False),
            "torch, optimised": in_torch(fast, inputs, channels_last=signature.dynamic_batch),
        }
        for kind, content in files.items():
            exported = FORMATS[kind].run(content, number)
            runs[kind] = lambda exported=exported: exported(arrays)
        expected = runs["torch"]()
        times = measure(runs, count)
        print(f"\n{title}, {number} threads")
        for name, (wall, cpu) in times.items():
            apart = max(float(np.abs(a - b).max()) for a, b in zip(expected, runs[name](), strict=True))
            print(
                f"  {name:18} {batch / wall:8.2f} per second  {cpu / batch:8.4f} CPU s each  "
                f"x {times['torch'][0] / wall:5.2f} of torch  apart {apart:.1e}",
                flush=True,
            )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", nargs="+", choices=["cxr", "cxr14", "ldr"], default=["cxr", "cxr14", "ldr"])
    parser.add_argument("--cxr-sizes", type=int, nargs="+", default=[128, 448])
    parser.add_argument("--volume-sizes", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--cascades", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    policy = os.environ.get("OMP_WAIT_POLICY", "not set")
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "onnxruntime", "openvino"))
    print(f"{versions}; OMP_WAIT_POLICY {policy}")
    if "cxr" in options.what:
        for size in options.cxr_sizes:
            table(f"cxr_pneumothorax_acm at {size}^2", localizer(size), 4, options.threads, options.runs)
    if "cxr14" in options.what:
        for backbone in ("resnet50", "densenet121"):
            cost_of_context(backbone, 4, options.threads, options.runs)
    if "ldr" in options.what:
        for size, cascades in product(options.volume_sizes, options.cascades):
            table(f"LDR-{cascades} at {size}^3", student(size, cascades), 1, options.threads, options.runs)


if __name__ == "__main__":
    main()
