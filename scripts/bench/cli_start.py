"""How long the command line takes to start, beside MONAI's bundle command, run by turns.

python scripts/bench/cli_start.py [--runs 7]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "medpipe --help": [sys.executable, "-m", "medpipe.cli.main", "--help"],
    "medpipe list": [sys.executable, "-m", "medpipe.cli.main", "list"],
    "python -m monai.bundle --help": [sys.executable, "-m", "monai.bundle", "--help"],
}


def run(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of one process and its children."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Time the commands by turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for number in range(runs + 1):
        for name, command in COMMANDS.items():
            measured = run(command)
            if number:  # the first round warms the page cache
                times[name].append(measured)
    print(f"{'command':32} {'wall s':>8} {'CPU s':>8}   medians of {runs}")
    for name, values in times.items():
        wall, cpu = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"{name:32} {wall:8.3f} {cpu:8.3f}")


if __name__ == "__main__":
    main()
