"""Inference over a folder of radiographs, end to end, beside decoding alone and the network alone, run by turns.

The three measure the same steps: "decode" is reading and preprocessing in as many worker processes as the run uses;
"network" is the forward pass and mark extraction on images in memory; "end to end" is both plus pictures, journal and tables.
Start-up (imports) is left out of all three.

    python scripts/bench/inference.py [--cases 200] [--size 1024] [--runs 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line sets it


def workflow(root: Path, out: Path, options: dict[str, Any]) -> Any:
    """The bundle's inference, built and ready."""
    from monai.bundle import ConfigWorkflow

    from medpipe.bundles import find_bundle

    bundle = find_bundle("cxr_pneumothorax_acm")
    files = [str(file) for file in bundle.config_files("infer")]
    built = ConfigWorkflow(
        files,
        workflow_type="infer",
        logging_file=False,
        bundle_root=str(bundle.root),
        dataset_dir=str(root),
        output_dir=str(out),
        **options,
    )
    built.initialize()
    return built


def decode(root: Path, out: Path, options: dict[str, Any]) -> float:
    """Seconds to read and preprocess every case, network left out."""
    loader = workflow(root, out, options).parser.get_parsed_content("dataloader")
    start = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - start


def network(root: Path, out: Path, options: dict[str, Any]) -> float:
    """Seconds for forward passes and marks, on the first images held in memory and used again."""
    import torch

    parser = workflow(root, out, options).parser
    dataset, net = parser.get_parsed_content("dataset"), parser.get_parsed_content("network")
    marks = parser.get_parsed_content("postprocessing")
    held = [case for case in (dataset[i] for i in range(min(16, len(dataset)))) if case["status"] == "pending"]
    start = time.perf_counter()
    with torch.no_grad():
        for index in range(len(dataset)):
            case = held[index % len(held)]
            marks({**case, "pred": net(case["image"].as_tensor()[None])[0]})
    return time.perf_counter() - start


def whole(root: Path, out: Path, options: dict[str, Any]) -> float:
    """Seconds for the run itself: everything but imports and the search for cases."""
    built = workflow(root, out, options)
    start = time.perf_counter()
    built.parser.get_parsed_content("run#0")
    built.parser.get_parsed_content("run#1")
    return time.perf_counter() - start


def main() -> None:
    """Draw a study, time the three by turns, print medians and the ratio that matters."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--weights")
    given = parser.parse_args()
    options: dict[str, Any] = {"num_workers": given.workers}
    if given.weights:
        options["weights"] = str(Path(given.weights).absolute())

    from medpipe.data.lookalikes.siim_acr import write_siim_acr_lookalike

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "study")
        write_siim_acr_lookalike(root, cases=given.cases, seed=1, size=given.size, workers=2)
        root = root / "dicom-images-train"
        times: dict[str, list[float]] = {"decode": [], "network": [], "end to end": []}
        for number in range(given.runs):
            for name, measure in (("decode", decode), ("network", network), ("end to end", whole)):
                times[name].append(measure(root, Path(folder, f"{name.replace(' ', '_')}{number}"), options))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, value in medians.items():
        print(f"{name:12} {value:7.2f} s   {given.cases / value:6.1f} images/s")
    ratio = medians["end to end"] / max(medians["decode"], medians["network"])
    print(f"end to end / larger of the two: {ratio:.2f}   (aim: 1.15)   medians of {given.runs}")


if __name__ == "__main__":
    main()
