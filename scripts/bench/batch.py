"""A batch of radiographs, end to end, beside its parts alone and beside itself with more processes, run by turns.

    decode      reading and preprocessing in one decoding process, no network
    network     forward pass and marks on images in memory, no decoding
    run, 1      the run: one decoding process beside the network, pictures, journal
    run, 0      the same in one process, whose threads may use both CPUs
    one CPU     the same held to one CPU
    run, 2      two decoding processes
    ray, 2      two workers of a local Ray cluster (with --ray)

Seconds per case from the sixteenth case on, so that start-up is left out. One thread everywhere.

    OMP_NUM_THREADS=1 python scripts/bench/batch.py [--cases 216] [--size 1024] [--runs 3] [--ray] [--weights FILE] [--ways "run, 2" ...]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line sets it

BUNDLE = "cxr_pneumothorax_acm"
START_UP = 16


def workflow(root: Path, out: Path, options: dict[str, Any]) -> Any:
    """The bundle's inference, built and ready."""
    from medpipe.bundles import build_workflow, find_bundle

    bundle = find_bundle(BUNDLE)
    given = {"dataset_dir": str(root), "output_dir": str(out), "weights": str(bundle.weights), **options}
    built = build_workflow(bundle, "infer", given)
    built.initialize()
    return built


def decode(root: Path, out: Path, options: dict[str, Any]) -> list[float]:
    """Moments at which cases come out of the decoding processes."""
    loader = workflow(root, out, options).parser.get_parsed_content("dataloader")
    return [time.perf_counter() for _ in loader]


def network(root: Path, out: Path, options: dict[str, Any]) -> list[float]:
    """Moments at which forward passes and marks are done, on the first images held in memory and used again."""
    import torch

    parser = workflow(root, out, options).parser
    dataset, net = parser.get_parsed_content("dataset"), parser.get_parsed_content("network")
    marks = parser.get_parsed_content("postprocessing")
    held = [case for case in (dataset[i] for i in range(min(16, len(dataset)))) if case["status"] == "pending"]
    moments = []
    with torch.no_grad():
        for index in range(len(dataset)):
            case = held[index % len(held)]
            marks({**case, "pred": net(case["image"].as_tensor()[None])[0]})
            moments.append(time.perf_counter())
    return moments


def whole(root: Path, out: Path, options: dict[str, Any]) -> list[float]:
    """Moments at which the run's cases are in the journal."""
    from medpipe.predictions.run_folder import RunFolder

    moments: list[float] = []
    record = RunFolder.record

    def timed(self: RunFolder, result: Any) -> None:
        record(self, result)
        moments.append(time.perf_counter())

    RunFolder.record = timed  # type: ignore[method-assign]
    try:
        workflow(root, out, options).run()
    finally:
        RunFolder.record = record  # type: ignore[method-assign]
    return moments


def on_one_cpu(root: Path, out: Path, options: dict[str, Any]) -> list[float]:
    """As ``whole``, on a single CPU; threads that are already there may not stay elsewhere."""
    before = {int(task): os.sched_getaffinity(int(task)) for task in os.listdir("/proc/self/task")}
    try:
        for task in before:
            os.sched_setaffinity(task, {min(before[task])})
        return whole(root, out, options)
    finally:
        for task in os.listdir("/proc/self/task"):
            os.sched_setaffinity(int(task), before[os.getpid()])


def on_ray(root: Path, out: Path, options: dict[str, Any]) -> list[float]:
    """As ``whole``, on two workers of a cluster that is already there, from the moment when both are ready."""
    from medpipe.batch import cluster
    from medpipe.bundles import find_bundle

    request = json.dumps(
        {
            "bundle": str(find_bundle(BUNDLE).root),
            "mode": "infer",
            "overrides": {"weights": str(find_bundle(BUNDLE).weights), **options},
        }
    )
    cluster.ClusterRun._emptiest = all_ready(cluster.ClusterRun._emptiest)  # type: ignore[method-assign]
    evaluator = {
        "_target_": "medpipe.batch.cluster.ClusterRun",
        "run_folder": "@run_folder",
        "cases": "@todo",
        "request": request,
        "workers": 2,
    }
    return whole(root, out, {**options, "evaluator": evaluator})


def all_ready(emptiest: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Hand out nothing before every worker is ready."""

    def wrapped(self: Any) -> Any:
        return None if any(worker.ready is not None for worker in self._workers) else emptiest(self)

    return wrapped


def main() -> None:
    """Draw a study, time all by turns, print medians and the ratios that matter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=216)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--weights")
    parser.add_argument("--ways", nargs="+", help="these alone")
    given = parser.parse_args()
    more = {"weights": str(Path(given.weights).absolute())} if given.weights else {}
    from medpipe.data.lookalikes.siim_acr import write_siim_acr_lookalike

    ways: dict[str, Callable[[Path, Path], list[float]]] = {
        "decode": lambda root, out: decode(root, out, {"num_workers": 1, **more}),
        "network": lambda root, out: network(root, out, {"num_workers": 0, **more}),
        "run, 1": lambda root, out: whole(root, out, {"num_workers": 1, **more}),
        "run, 0": lambda root, out: whole(root, out, {"num_workers": 0, **more}),
        "one CPU": lambda root, out: on_one_cpu(root, out, {"num_workers": 0, **more}),
        "run, 2": lambda root, out: whole(root, out, {"num_workers": 2, **more}),
    }
    if given.ray:
        from medpipe.batch.cluster import connect

        connect()
        time.sleep(10)  # Ray's own processes start in the background
        ways["ray, 2"] = lambda root, out: on_ray(root, out, {"num_workers": 1, **more})
    ways = {name: way for name, way in ways.items() if not given.ways or name in given.ways}
    times: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        write_siim_acr_lookalike(Path(folder, "study"), cases=given.cases, seed=1, size=given.size, workers=2)
        root = Path(folder, "study", "dicom-images-train")
        for number in range(given.runs):
            for name, way in ways.items():
                moments = way(root, Path(folder, f"{name.replace(', ', '_')}{number}"))
                times[name].append((moments[-1] - moments[START_UP - 1]) / (len(moments) - START_UP))
    report({name: statistics.median(values) for name, values in times.items()}, given.runs)


def report(seconds: dict[str, float], runs: int) -> None:
    """Print rates and ratios."""
    for name, value in seconds.items():
        print(f"{name:8} {1e3 * value:8.1f} ms per case   {1 / value:6.1f} cases/s")
    decode_or_network = max(seconds.get("decode", 0), seconds.get("network", 0))
    ratios = {
        "run, 1 / larger of decode and network (aim: at most 1.15)": (seconds.get("run, 1"), decode_or_network),
        "one CPU / run, 2 (aim: at least 1.7)": (seconds.get("one CPU"), seconds.get("run, 2")),
        "run, 0 / run, 2": (seconds.get("run, 0"), seconds.get("run, 2")),
        "ray, 2 / run, 2 (aim: at most 1.1)": (seconds.get("ray, 2"), seconds.get("run, 2")),
    }
    for name, (value, other) in ratios.items():
        if value and other:
            print(f"{name}: {value / other:.2f}")
    print(f"medians of {runs}; {os.cpu_count()} CPUs, load before {os.getloadavg()[1]:.1f}")


if __name__ == "__main__":
    main()
