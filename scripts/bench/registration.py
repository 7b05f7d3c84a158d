"""Time of registration networks on a CPU: teacher and student, plain and optimised, in turns.

    python scripts/bench/registration.py [--size 128] [--threads 1 2] [--runs 7] [--cascades 1 3] [--bf16]

Random weights: the time does not depend on them. Batch 1; the time of a run is the network with all warps and
compositions to the warped image and the aggregate field, no files. Two runs warm up; the networks of one table are then
run in turns, and the median is given, CPU seconds beside wall seconds. "apart" is the largest difference of the field
from the plain network's, in voxels. Peak memory is that of a process of its own for each network, torch in it.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from medpipe.networks.blocks.coarse import CoarseRegistration
from medpipe.networks.blocks.subpixel import optimize_for_inference
from medpipe.networks.ldr import LDR, PaperStudent
from medpipe.networks.rcn import RCN

KINDS = (
    ("RCN", ""),
    ("LDR", ""),
    ("LDR", " no affine"),
    ("LDR", " at half the size"),
    ("LDR", " at half the size, 8 channels"),
)


def build(size: int, cascades: int, name: str) -> nn.Module:
    """One of ``KINDS``, without trained weights."""
    if name.startswith("RCN"):
        return RCN(size, n_cascades=cascades)
    if "half" in name:
        channels = 8 if "8 channels" in name else 16
        return CoarseRegistration(LDR(size // 2, n_cascades=cascades, initial="none", channels=channels))
    return LDR(size, n_cascades=cascades, initial="none" if "no affine" in name else "affine_light")


def networks(size: int, cascades: int, bf16: bool) -> dict[str, nn.Module]:
    """Teacher and student of so many cascades, with fields of some voxels."""
    torch.manual_seed(0)
    plain = {f"{kind}-{cascades}{rest}": build(size, cascades, f"{kind}-{cascades}{rest}") for kind, rest in KINDS}
    result = {}
    for name, network in plain.items():
        for module in network.modules():
            if isinstance(module, PaperStudent):
                nn.init.normal_(module.flow.weight, std=0.05)
        result[f"{name} plain"] = network.eval()
        result[f"{name} optimised"] = optimize_for_inference(network)
        if bf16:
            result[f"{name} optimised, bfloat16"] = optimize_for_inference(network, dtype=torch.bfloat16)
    return result


def measure(runs: dict[str, Callable[[], Tensor]], count: int) -> dict[str, tuple[float, float]]:
    """Median (wall, CPU) seconds of each, run in turns."""
    for run in runs.values():
        run()
        run()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(count):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: (statistics.median(w for w, _ in t), statistics.median(c for _, c in t)) for name, t in times.items()}


def peak(size: int, cascades: int, name: str) -> None:
    """Peak memory of this process after one pair, and before, in MiB."""
    before = _peak()
    with torch.inference_mode():
        torch.manual_seed(0)
        network = build(size, cascades, name.split(" optimised")[0].removesuffix(" plain")).eval()
        if "optimised" in name:
            network = optimize_for_inference(network, dtype=torch.bfloat16 if "bfloat16" in name else torch.float32)
        fixed, moving = torch.rand(2, 1, 1, size, size, size)
        for _ in range(2):
            network(fixed, moving, stages=False)
    print(f"{_peak():.0f} MiB ({before:.0f} before)")


def _peak() -> float:
    """In MiB; what getrusage says of a child begins with its parent's."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Print one table per number of threads and cascades."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--cascades", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--bf16", action="store_true", help="also with convolutions in bfloat16")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        peak(options.size, int(options.peak[0]), options.peak[1])
        return
    print(f"torch {torch.__version__}, {platform.processor() or platform.machine()}")
    fixed, moving = torch.rand(2, 1, 1, options.size, options.size, options.size)
    with torch.inference_mode():
        for cascades in options.cascades:
            nets = networks(options.size, cascades, options.bf16)
            fields = {name: net(fixed, moving, stages=False).field for name, net in nets.items()}
            runs = {name: (lambda net=net: net(fixed, moving, stages=False).field) for name, net in nets.items()}
            for threads in options.threads:
                torch.set_num_threads(threads)
                print(f"\n{cascades} cascades at {options.size}^3, {threads} threads")
                times = measure(runs, options.runs)
                teacher = times[f"RCN-{cascades} optimised"][0]
                for name, (wall, cpu) in times.items():
                    plain = fields[name.split(" optimised")[0].removesuffix(" plain") + " plain"]
                    apart = (fields[name] - plain).abs().max().item()
                    print(
                        f"  {name:42} {wall * 1e3:8.1f} ms wall {cpu * 1e3:8.1f} ms CPU "
                        f"x {teacher / wall:5.2f} of the optimised teacher, apart {apart:.4f}"
                    )
            print("peak memory")
            for name in nets:
                command = [sys.executable, __file__, "--size", str(options.size), "--peak", str(cascades), name]
                print(
                    f"  {name:42} {subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()}"
                )


if __name__ == "__main__":
    main()
