"""Train and score cxr_pneumothorax_acm with several context modules and seeds on one data set, and print the comparison.

    python scripts/compare_contexts.py ROOT OUT [--test ROOT2] [--contexts none se acm] [--seeds 0 1 2] [--jobs 2] [key=value ...]

ROOT holds datalist.json. Finished runs in OUT are not run again. The table gives, over seeds, mean and standard deviation of
the image AUC and of JAFROC (the AFROC figure of merit) on the test section, and the difference to the first context with a
95 % t interval over the seeds; each seed's own interval over patients stands in its results.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from scipy import stats

NAME = "cxr_pneumothorax_acm"
SCORED = ("image_size", "backbone", "groups", "output_stride")  # options that inference must share with training
FIGURES = {"AUC": "AUC", "JAFROC": "AFROC"}


def run(root: Path, test: Path, out: Path, context: str, seed: int, options: list[str], threads: int) -> None:
    """Train and evaluate one network unless its results are there."""
    folder = out / f"{context}_{seed}"
    if (folder / "scores" / "results.json").is_file():
        return
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    common = [f"context={context}"]
    medpipe = [sys.executable, "-m", "medpipe.cli.main"]
    trained, unfinished = folder / "trained", folder / "unfinished"
    train = [*medpipe, "train", NAME, f"dataset_dir={root}", *common, f"seed={seed}", *options, "-o", str(unfinished)]
    weights = f"weights={trained / 'model.pt'}"
    shared = [option for option in options if option.split("=")[0] in SCORED]
    evaluate = [
        *medpipe,
        "evaluate",
        NAME,
        f"dataset_dir={test}",
        *common,
        weights,
        "pictures=false",
        *shared,
        "-o",
        str(folder / "scores"),
    ]
    if not trained.is_dir():
        shutil.rmtree(unfinished, ignore_errors=True)
        subprocess.run(train, check=True, env=environment)
        unfinished.rename(trained)
    subprocess.run(evaluate, check=True, env=environment)


def values(out: Path, context: str, seeds: list[int], figure: str) -> np.ndarray:
    """One value per seed of a headline figure."""
    found = []
    for seed in seeds:
        results = json.loads((out / f"{context}_{seed}" / "scores" / "results.json").read_text(encoding="utf-8"))
        found += [entry["value"] for entry in results["headline"] if entry["name"] == FIGURES[figure]]
    return np.array(found, dtype=float)


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--contexts", nargs="+", default=["none", "se", "acm"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--test", type=Path, help="score on this data set's test section instead of ROOT's")
    parser.add_argument("--jobs", type=int, default=2)
    given, options = parser.parse_known_args()
    threads = max(1, (os.cpu_count() or 1) // given.jobs)
    with ThreadPoolExecutor(given.jobs) as pool:
        tasks = [(context, seed) for seed in given.seeds for context in given.contexts]
        list(
            pool.map(lambda task: run(given.root, given.test or given.root, given.out, *task, options, threads), tasks)
        )
    print(
        "| context | " + " | ".join(f"{name} (mean, sd) | difference to {given.contexts[0]}" for name in FIGURES) + " |"
    )
    print("| --- |" + " --- | --- |" * len(FIGURES))
    for context in given.contexts:
        cells = []
        for name in FIGURES:
            found, first = (values(given.out, c, given.seeds, name) for c in (context, given.contexts[0]))
            cells.append(f"{found.mean():.3f}, {found.std(ddof=1):.3f}")
            difference = found - first
            half = stats.t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / np.sqrt(len(difference))
            interval = f"{difference.mean():+.3f} ({difference.mean() - half:+.3f} to {difference.mean() + half:+.3f})"
            cells.append("" if context == given.contexts[0] else interval)
        print(f"| {context} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
