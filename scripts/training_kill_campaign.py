"""Kill a training at random instants, start it again, and compare its end with that of an unbroken one.

    python scripts/training_kill_campaign.py [--kills 50] [--epochs 20] [--seed 0] [--num-workers 0]

The training is ``medpipe train`` itself on generated radiographs; a kill is SIGKILL to its process, and one time in four SIGTERM
or SIGINT (Ctrl-C). Compared are model.pt byte
for byte, every tensor and number of checkpoint.pt, and epochs.csv; durations are left out.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from fault_campaign import exit_code, start, wait_at_most

BUNDLE = "cxr_pneumothorax_acm"


def make_data(root: Path) -> None:
    """Generated radiographs with their datalist."""
    from medpipe.cli.main import invoke

    assert invoke(["data", "synth", "siim_acr", str(root), "--cases", "24", "--seed", "3", "--size", "128"]) == 0
    assert invoke(["data", "prepare", "siim_acr", str(root), "-o", str(root / "datalist.json")]) == 0


def train(root: Path, out: Path, epochs: int, num_workers: int) -> Callable[[], int]:
    """The training, as a task."""

    def task() -> int:
        from medpipe.cli.main import invoke

        options = [f"max_epochs={epochs}", "batch_size=4", "image_size=64", f"num_workers={num_workers}"]
        return invoke(["train", BUNDLE, f"dataset_dir={root}", *options, "-o", str(out)])

    return task


def import_all() -> None:
    """Load what trainings need, once for all that are forked from this process."""
    import monai.bundle
    import monai.engines
    import monai.handlers  # noqa: F401

    import medpipe.engines.handlers.best_weights
    import medpipe.engines.handlers.image_auc
    import medpipe.engines.training_folder
    import medpipe.losses.lesion_localization
    import medpipe.networks.acm
    import medpipe.networks.weights
    import medpipe.transforms.radiograph  # noqa: F401


def rows(out: Path) -> list[dict[str, str]]:
    """epochs.csv without durations."""
    with (out / "epochs.csv").open(newline="") as stream:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(stream)]


def differences(out: Path, whole: Path) -> list[str]:
    """What differs between two finished trainings."""
    import torch

    wrong = [] if rows(out) == rows(whole) else ["epochs.csv"]
    if (out / "model.pt").read_bytes() != (whole / "model.pt").read_bytes():
        wrong.append("model.pt")
    found, expected = (torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (out, whole))
    for content in (found, expected):
        content["objects"].pop("epoch_table")  # durations
    return wrong + [f"checkpoint.pt: {path}" for path in unequal(found, expected)]


def unequal(found: object, expected: object, path: str = "") -> list[str]:
    """Paths of the leaves of two nested structures that are not equal, bit for bit."""
    import torch

    if isinstance(expected, torch.Tensor):
        return [] if torch.equal(found, expected) else [path]
    if isinstance(expected, dict | list | tuple):
        items = expected.items() if isinstance(expected, dict) else enumerate(expected)
        if type(found) is not type(expected) or len(found) != len(expected):
            return [path]
        return [wrong for key, value in items for wrong in unequal(found[key], value, f"{path}.{key}")]
    return [] if found == expected else [path]


def campaign(folder: Path, *, kills: int, epochs: int, seed: int, num_workers: int = 0, seconds: float = 1e9) -> dict:
    """Kill and resume until ``kills`` are done or the time is over; returns counts and the differences."""
    root, whole, again = folder / "data", folder / "whole", folder / "again"
    assert exit_code(start(lambda: make_data(root) or 0)) == 0
    import_all()
    chance = random.Random(seed)
    assert exit_code(start(train(root, whole, epochs, num_workers))) == 0
    begin = time.monotonic()
    assert exit_code(start(train(root, again, epochs, num_workers))) == 0
    duration = time.monotonic() - begin
    report = {"kills": 0, "after an epoch": 0, "trainings": 0, "seconds of one": round(duration, 2)}
    report["wrong"] = differences(again, whole)
    while report["kills"] < kills and time.monotonic() - begin < seconds:
        out = folder / f"out{report['trainings']}"
        while True:
            pid = start(train(root, out, epochs, num_workers))
            last = report["kills"] >= kills
            code = exit_code(pid) if last else wait_at_most(pid, chance.uniform(0, duration))
            if code is not None:
                break
            report["kills"] += 1
            report["after an epoch"] += (out / "checkpoint.pt").is_file()
            os.kill(pid, chance.choice([signal.SIGKILL] * 6 + [signal.SIGTERM, signal.SIGINT]))
            if (code := exit_code(pid)) == 0:  # it was at its end
                break
        wrong = differences(out, whole) if code == 0 else [f"exit code {code}"]
        report["wrong"] += [f"{out.name}: {name}" for name in wrong]
        report["trainings"] += 1
    return report


def main() -> None:
    """Run a campaign and print its counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-workers", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1e9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = campaign(Path(folder), **vars(given))
    print(json.dumps(report, indent=2))
    sys.exit(bool(report["wrong"]))


if __name__ == "__main__":
    main()
