"""Label maps of many classes by sliding windows: memory and time, beside MONAI's inferer and an argmax.

    python scripts/bench/label_windows.py [--size 384] [--classes 100] [--roi 96] [--overlap 0.25] [--monai-size 160]

The network is one convolution of 1 x 1 x 1, so that what is measured is the stitching. Every row runs in a process of its own:
its peak resident memory counts torch and the volume, too. MONAI holds all classes of the whole volume, so it is run at a
smaller size, beside ours at that size; labels are compared there.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

METHODS = ("medpipe", "medpipe, float16 sums", "monai")


def run(method: str, size: int, classes: int, roi: int, overlap: float) -> dict[str, float | int]:
    """One row, in this process."""
    import torch

    torch.manual_seed(0)
    network = torch.nn.Conv3d(1, classes, 1).requires_grad_(False)
    image = torch.randn(1, 1, size, size, size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if method == "monai":
        from monai.inferers import SlidingWindowInferer

        start, cpu = time.perf_counter(), time.process_time()
        labels = SlidingWindowInferer(roi, 1, overlap)(image, network).argmax(1)
    else:
        from medpipe.engines.inferers import SlidingWindowLabelInferer

        sums = "float16" if "float16" in method else "float32"
        start, cpu = time.perf_counter(), time.process_time()
        labels = SlidingWindowLabelInferer(roi, 1, overlap, sums=sums)(image, network)
    return {
        "wall": time.perf_counter() - start,
        "cpu": time.process_time() - cpu,
        "before": before / 1024**2,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2,
        "sum": int((labels.flatten().long() * (torch.arange(labels.numel()) % 1009)).sum()),
    }


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--roi", type=int, default=96)
    parser.add_argument("--overlap", type=float, default=0.25)
    parser.add_argument("--monai-size", type=int, default=160)
    parser.add_argument("--row", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        print(json.dumps(run(options.row[0], int(options.row[1]), options.classes, options.roi, options.overlap)))
        return
    print(f"{options.classes} classes, windows of {options.roi}^3, overlap {options.overlap:g}")
    rows = [(name, options.size) for name in METHODS[:2]] + [(name, options.monai_size) for name in METHODS]
    for name, size in rows:
        command = [sys.executable, __file__, *sys.argv[1:], "--row", name, str(size)]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        print(
            f"  {name:24} {size}^3  {row['wall']:7.1f} s wall {row['cpu']:7.1f} s CPU  peak {row['peak']:6.2f} GiB "
            f"(before {row['before']:.2f})  checksum {row['sum']}",
            flush=True,
        )


if __name__ == "__main__":
    main()
