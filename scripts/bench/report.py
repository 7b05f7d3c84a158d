"""How long the report takes over many cases, and how much memory.

python scripts/bench/report.py [--cases 10000] [--figures 20] [--runs 3]

The results are made up here, with as many figures, five curves of 1,000 points with bands, five subgroup variables,
three operating points, calibration and a second model; each run writes the page in a fresh process.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WRITE = "import sys; from medpipe.reports.page import write_report; write_report(sys.argv[1])"


def figure(name: str, value: float, width: float = 0.05) -> dict[str, Any]:
    """A figure with an interval around its value."""
    method = "percentile bootstrap of 8000 patients, 2000 resamples, seed 0"
    limits = {"low": max(value - width, 0.0), "high": min(value + width, 1.0)}
    more = {"definition": f"what {name} is", "level": 0.95, "method": method, "n": 8000, "reason": None, "text": name}
    return {"name": name, "value": value, **limits, **more}


def curve(name: str, points: int = 1000) -> dict[str, Any]:
    """A curve with a band at a hundred places."""
    x = [k / (points - 1) for k in range(points)]
    grid = [k / 100 for k in range(101)]
    band = {
        "x": grid,
        "low": [max(v**0.3 - 0.05, 0) for v in grid],
        "high": [min(v**0.3 + 0.05, 1) for v in grid],
        "level": 0.95,
        "method": "pointwise bootstrap of patients",
        "n": 8000,
    }
    axes = {"x_label": "false positives", "y_label": "sensitivity", "extends": True, "area": 0.8, "n_points": points}
    return {"name": name, "x": x, "y": [v**0.3 for v in x], "thresholds": [1 - v for v in x], "band": band, **axes}


def operating_point(name: str) -> dict[str, Any]:
    """An operating point with four shares."""
    shares = {key: figure(key, 0.8) for key in ("sensitivity", "specificity", "ppv", "npv")}
    counts = {"tp": 1600, "fp": 1600, "tn": 6400, "fn": 400}
    return {"name": name, "rule": "given", "preset": True, "threshold": 0.5, "counts": counts, **shares, "reason": None}


def results(cases: int, figures: int) -> dict[str, Any]:
    """The content of a results.json over ``cases`` cases."""
    draw = random.Random(0)
    curves = {name: curve(name) for name in ("ROC", "PR", "FROC", "AFROC", "wAFROC")}
    groups = [
        {"name": f"group {k}", "n": 100, "diseased": 20, "patients": 90, "figure": figure("AUC", 0.85)}
        for k in range(6)
    ]
    observed = [figure("Observed share", (k + 0.5) / 10) for k in range(10)]
    bins = [
        {"low": k / 10, "high": (k + 1) / 10, "n": 99, "mean_score": (k + 0.5) / 10, "observed": observed[k]}
        for k in range(10)
    ]
    second = {"first": "new", "second": "old", "n": cases, "statement": "They do not differ.", "curves": curves}
    compared = {"name": "AUC", "difference": figure("Difference", 0.01), "p": 0.4, "test": "DeLong"}
    return {
        "format": "medpipe-results/1",
        "task": "localization",
        "data": {"name": "benchmark", "generated": True},
        "cohort": {
            "listed": cases,
            "without_result": [],
            "analysed": cases,
            "diseased": cases // 5,
            "nondiseased": cases - cases // 5,
            "patients": cases,
        },
        "headline": [figure(f"figure {k}", 0.8 + k / 200) for k in range(figures)],
        "curves": curves,
        "operating_points": [operating_point(f"point {k}") for k in range(3)],
        "calibration": {"figures": [figure("Brier score", 0.1)], "bins": bins, "reason": None},
        "subgroups": [{"variable": f"variable {k}", "figure": "AUC", "groups": groups} for k in range(5)],
        "comparison": {
            **second,
            "figures": [{**compared, "first": figure("AUC", 0.85), "second": figure("AUC", 0.84)}],
        },
        "cases": [
            {
                "case": f"case{k:06d}",
                "patient": str(k),
                "diseased": k % 5 == 0,
                "score": draw.random(),
                "lesions": int(k % 5 == 0),
                "found": draw.randrange(2) * int(k % 5 == 0),
                "false_positives": 3,
                "false_positive_ratings": [draw.random() for _ in range(3)],
                "groups": {"sex": "F", "site": "north"},
            }
            for k in range(cases)
        ],
    }


def run(folder: Path) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MiB of one process that writes the page."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", WRITE, str(folder)], check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss / 1024


def main() -> None:
    """Time the report in fresh processes and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--figures", type=int, default=20)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "results.json").write_text(json.dumps(results(options.cases, options.figures)))
        run(folder)  # warms the page cache
        wall, cpu, peak = (
            statistics.median(column) for column in zip(*(run(folder) for _ in range(options.runs)), strict=True)
        )
        size = (folder / "report" / "index.html").stat().st_size / 1e6
    print(
        f"{options.cases:,} cases, {options.figures} figures: wall {wall:.2f} s, CPU {cpu:.2f} s, peak {peak:.0f} MiB, page {size:.2f} MB"
    )


if __name__ == "__main__":
    main()
