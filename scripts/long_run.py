"""A batch of many small cases: does memory or the number of open files grow, and how long does taking it up again take?

    OMP_NUM_THREADS=1 python scripts/long_run.py [--cases 10000] [--workers 1]

Printed are the slopes after the first tenth of the cases, of the run's process and of its decoding processes.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image

BUNDLE = "cxr_pneumothorax_acm"
CODE = "import sys; from medpipe.cli.main import invoke; sys.exit(invoke(sys.argv[1:]))"


def write_study(folder: Path, cases: int) -> None:
    """Pictures of 64 x 64 pixels, a hundred to a folder."""
    random = np.random.default_rng(0)
    for number in range(cases):
        path = folder / f"{number // 100:04d}" / f"image{number:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (64, 64), np.uint8)).save(path)


def command(study: Path, out: Path, workers: int) -> list[str]:
    """The run, as a process of its own."""
    options = ["image_size=64", "picture_size=64", "-o", str(out), "--workers", str(workers)]
    return [sys.executable, "-c", CODE, "infer", BUNDLE, str(study), *options]


def sample(pid: int) -> tuple[float, int] | None:
    """Resident memory in MB, and open files."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None


def descendants(pid: int) -> list[int]:
    """Processes under ``pid``."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rsplit(") ", 1)[1].split()[1])
        except OSError:
            continue
    found, level = [], [pid]
    while level:
        level = [child for child, parent in parents.items() if parent in level]
        found += level
    return found


def watch(run: subprocess.Popen, out: Path) -> list[dict]:
    """Samples while the run goes on."""
    samples = []
    while run.poll() is None:
        time.sleep(0.5)
        own, cases = sample(run.pid), len(os.listdir(out / "cases")) if (out / "cases").is_dir() else 0
        others = [found for child in descendants(run.pid) if (found := sample(child))]
        if own and cases:
            worst = max((memory for memory, _ in others), default=0.0)
            samples.append({"cases": cases, "memory": own[0], "files": own[1], "worst decoder": worst})
    return samples


def main() -> None:
    """Run, print slopes, and take the finished run up again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study, out = Path(folder, "study"), Path(folder, "out")
        write_study(study, given.cases)
        start = time.perf_counter()
        run = subprocess.Popen(command(study, out, given.workers), stderr=subprocess.DEVNULL)
        samples = watch(run, out)
        seconds = time.perf_counter() - start
        later = [item for item in samples if given.cases / 10 < item["cases"] < given.cases * 0.99]
        count = np.array([item["cases"] for item in later]) / 1000
        slope = {
            key: float(np.polyfit(count, [item[key] for item in later], 1)[0])
            for key in ("memory", "files", "worst decoder")
        }
        print(f"exit code {run.returncode}, {given.cases} cases in {seconds:.0f} s")
        print(f"run: {slope['memory']:+.2f} MB and {slope['files']:+.2f} open files per 1,000 cases")
        print(f"     at most {max(s['memory'] for s in samples):.0f} MB, {max(s['files'] for s in samples)} open files")
        print(f"decoding processes: {slope['worst decoder']:+.2f} MB per 1,000 cases,", end=" ")
        print(f"at most {max(s['worst decoder'] for s in samples):.0f} MB")
        with closing(sqlite3.connect(out / "journal.sqlite")) as db:
            print("rows:", json.dumps(dict(db.execute("SELECT status, count(*) FROM cases GROUP BY status"))))
        print(f"taken up again, start of the folder and register: {take_up(study, out):.2f} s")


def take_up(study: Path, out: Path) -> float:
    """Seconds that a finished run's folder takes to be opened and its cases to be recognised."""
    from medpipe.batch.register import register
    from medpipe.bundles import find_bundle
    from medpipe.io.cases import find_radiographs
    from medpipe.predictions.run_folder import RunFolder, read_run

    cases = find_radiographs(study)
    identity = read_run(out)["identity"]
    weights, options = find_bundle(BUNDLE).weights, identity["options"]
    folder = RunFolder(out, bundle=identity["bundle"], weights=weights, inputs=study, options=options)
    start = time.perf_counter()
    folder.start()
    left = register(folder, cases)
    seconds = time.perf_counter() - start
    folder.close()
    assert left == []
    return seconds


if __name__ == "__main__":
    main()
