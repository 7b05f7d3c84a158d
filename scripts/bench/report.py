"""Evaluation and report of many cases, from tables to the page: wall and CPU seconds, and peak memory.

Each run is a fresh process: `medpipe score froc` on generated marks, image scores and lesions, with 2,000 resamples, bands,
calibration and five subgroup variables (more than 20 figures); then `medpipe report` on its results alone.

    python scripts/bench/report.py [--cases 10000] [--runs 3]
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np


def write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])


def tables(folder: Path, cases: int) -> None:
    """A run folder with cases.csv and marks.csv, and lesions.csv: a third diseased, two images of every tenth patient."""
    draw = np.random.default_rng(0)
    scores, marks, lesions = [], [], []
    for k in range(cases):
        name = f"case-{k:06d}"
        places = draw.uniform(50, 450, (draw.integers(1, 3) if k % 3 == 0 else 0, 2))
        found = [place + draw.normal(0, 8, 2) for place in places if draw.random() < 0.8]
        false = draw.uniform(0, 500, (draw.poisson(1.2), 2))
        rated = [(x, y, draw.beta(4, 3)) for x, y in found] + [(x, y, draw.beta(2, 5)) for x, y in false]
        marks += [[name, f"{x:.2f}", f"{y:.2f}", f"{rating:.5f}"] for x, y, rating in rated]
        scores.append([name, "done", "", f"{max((rating for *_, rating in rated), default=0.01):.5f}"])
        patient = f"p{k - 1 if k % 20 == 1 else k}"
        facts = [patient, "FM"[k % 2], int(draw.integers(1, 95)), "abc"[k % 3], ["PA", "AP"][k % 2], f"maker {k % 4}"]
        lesions += [[name, *facts, f"{x:.2f}", f"{y:.2f}", 20] for x, y in places] or [[name, *facts, "", "", ""]]
    (folder / "run").mkdir()
    write_csv(folder / "run" / "cases.csv", ["case", "status", "reason", "score"], scores)
    write_csv(folder / "run" / "marks.csv", ["case", "x", "y", "score"], marks)
    groups = ["patient", "sex", "age", "site", "view", "manufacturer"]
    write_csv(folder / "lesions.csv", ["case", *groups, "x", "y", "radius"], lesions)


def measured(arguments: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of one medpipe command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "medpipe.cli.main", *arguments], check=True, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    times: dict[str, list[tuple[float, float]]] = {"score and report": [], "report alone": []}
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name), Path(name) / "out"
        tables(folder, options.cases)
        score = [
            "score",
            "froc",
            str(folder / "run"),
            str(folder / "lesions.csv"),
            "--criterion",
            "radius",
            "-o",
            str(out),
        ]
        for _ in range(options.runs):
            shutil.rmtree(out, ignore_errors=True)
            times["score and report"].append(measured(score))
            times["report alone"].append(measured(["report", str(out)]))
        size = os.path.getsize(out / "report" / "index.html")
    for what, found in times.items():
        wall, cpu = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"{what:18} {options.cases:,} cases: {wall:6.2f} s wall {cpu:6.2f} s CPU")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB, page {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
