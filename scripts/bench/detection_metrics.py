"""Detection and ROC statistics beside the alternatives a user has, by turns: medians of wall and CPU seconds.

    FROC curve and score        1,000,000 images, 6,000,000 marks; MONAI on 10,000 images (it grows with the square)
    wAFROC, 2,000 resamples     2,000 + 2,000 cases; an index-matrix bootstrap on a tenth of them
    wAFROC, analytic            2,000 + 2,000 cases
    DeLong, two models          1,000,000 cases; a scikit-learn bootstrap on 10,000 cases, from 20 of 2,000 resamples

BLAS threads are left as they are: the resampling loops call no BLAS.

    python scripts/bench/detection_metrics.py [--runs 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from medpipe.metrics.free_response import FreeResponseData, equal_weights
from medpipe.metrics.froc import CAMELYON16_RATES, froc_score, operating_curve
from medpipe.metrics.intervals import Bootstrap
from medpipe.metrics.jafroc import figure_of_merit, figure_of_merit_analytic, figure_of_merit_estimate
from medpipe.metrics.roc import compare_aucs


def free_response(n_nondiseased: int, n_diseased: int, marks: float, seed: int = 0) -> dict[str, Any]:
    """Arguments of FreeResponseData: one to three lesions per diseased case, 80 % found, ``marks`` per case in all."""
    draw = np.random.default_rng(seed)
    lesions = draw.integers(1, 4, n_diseased)
    found = draw.random(lesions.sum()) < 0.8
    case = np.repeat(np.arange(n_diseased), lesions)
    number = np.arange(case.size) - (np.cumsum(lesions) - lesions)[case]
    n_nl = int(marks * (n_nondiseased + n_diseased)) - int(found.sum())
    return {
        "n_nondiseased": n_nondiseased,
        "n_diseased": n_diseased,
        "nl_case": draw.integers(0, n_nondiseased + n_diseased, n_nl),
        "nl_rating": draw.random(n_nl) * 0.9 + 0.01,
        "ll_case": case[found],
        "ll_lesion": number[found],
        "ll_rating": draw.random(int(found.sum())) * 0.9 + 0.1,
        "lesions_per_case": lesions,
        "lesion_weights": equal_weights(lesions),
    }


def froc_ours(parts: dict[str, Any]) -> float:
    """Checks of the input, the whole curve and the mean sensitivity."""
    data = FreeResponseData(**parts)
    return froc_score(data, CAMELYON16_RATES, curve=operating_curve(data, "FROC")).mean


def froc_monai(parts: dict[str, Any]) -> float:
    from monai.metrics.froc import compute_froc_curve_data, compute_froc_score

    n_lesions = int(parts["lesions_per_case"].sum())
    hits = np.concatenate([parts["ll_rating"], np.zeros(n_lesions - parts["ll_rating"].size)])
    n_images = parts["n_nondiseased"] + parts["n_diseased"]
    curve = compute_froc_curve_data(parts["nl_rating"], hits, n_lesions, n_images)
    return float(compute_froc_score(*curve, eval_thresholds=CAMELYON16_RATES))


def bootstrap_ours(parts: dict[str, Any]) -> float:
    return figure_of_merit_estimate(FreeResponseData(**parts), "wAFROC", Bootstrap(2000)).low


def bootstrap_matrix(parts: dict[str, Any]) -> float:
    """The matrix of psi once, then rows and columns of it by index for every resample."""
    data = FreeResponseData(**parts)
    highest = data.highest_nl[: data.n_nondiseased, None]
    psi = (highest < data.lesion_rating) + 0.5 * (highest == data.lesion_rating)
    by_case = np.add.reduceat(
        psi * data.lesion_weights, np.cumsum(data.lesions_per_case) - data.lesions_per_case, axis=1
    )
    draw = np.random.default_rng(0)
    rows, columns = by_case.shape
    values = [by_case[draw.integers(0, rows, rows)][:, draw.integers(0, columns, columns)].mean() for _ in range(2000)]
    return float(np.quantile(values, 0.025))


def analytic_ours(parts: dict[str, Any]) -> float:
    return figure_of_merit_analytic(FreeResponseData(**parts), "wAFROC").low


def loop_figure(parts: dict[str, Any]) -> float:
    """The figure of merit alone, without an interval, to compare with."""
    return figure_of_merit(FreeResponseData(**parts), "wAFROC")


def two_models(n: int) -> tuple[Any, Any, Any]:
    draw = np.random.default_rng(1)
    labels = draw.integers(0, 2, n)
    first = draw.normal(size=n) + labels
    return first, first + draw.normal(size=n), labels


def delong_ours(models: tuple[Any, Any, Any]) -> float:
    return compare_aucs(*models).p


def scikit_learn_bootstrap(models: tuple[Any, Any, Any]) -> float:
    from sklearn.metrics import roc_auc_score

    first, second, labels = models
    draw = np.random.default_rng(0)
    drawn = [draw.integers(0, labels.size, labels.size) for _ in range(20)]
    return float(np.std([roc_auc_score(labels[i], first[i]) - roc_auc_score(labels[i], second[i]) for i in drawn]))


def timed(jobs: dict[str, tuple[Callable[[Any], float], Any, float]], runs: int) -> None:
    """Run the jobs by turns and print medians; the last number of a job multiplies its time."""
    wall: dict[str, list[float]] = {name: [] for name in jobs}
    cpu: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(runs):
        for name, (job, argument, times) in jobs.items():
            start, used = time.perf_counter(), time.process_time()
            job(argument)
            wall[name].append((time.perf_counter() - start) * times)
            cpu[name].append((time.process_time() - used) * times)
    for name in jobs:
        print(f"{name:58} {statistics.median(wall[name]):9.4f} s wall {statistics.median(cpu[name]):9.4f} s CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    small = free_response(5_000, 5_000, 6.0)
    print(f"the two agree on 10,000 images: {froc_ours(small):.9f} and {froc_monai(small):.9f}")
    timed(
        {
            "FROC curve and score, 1,000,000 images, 6,000,000 marks": (
                froc_ours,
                free_response(500_000, 500_000, 6.0),
                1,
            ),
            "the same of 10,000 images, 60,000 marks": (froc_ours, small, 1),
            "MONAI, 10,000 images, 60,000 marks": (froc_monai, small, 1),
        },
        runs,
    )
    cases = free_response(2_000, 2_000, 3.0)
    timed(
        {
            "wAFROC, 2,000 resamples of 2,000 + 2,000 cases": (bootstrap_ours, cases, 1),
            "wAFROC, analytic interval, 2,000 + 2,000 cases": (analytic_ours, cases, 1),
            "wAFROC alone, 2,000 + 2,000 cases": (loop_figure, cases, 1),
            "index matrix, 2,000 resamples of 200 + 200 cases": (bootstrap_matrix, free_response(200, 200, 3.0), 1),
        },
        runs,
    )
    timed(
        {
            "DeLong, two models, 1,000,000 cases": (delong_ours, two_models(1_000_000), 1),
            "DeLong, two models, 10,000 cases": (delong_ours, two_models(10_000), 1),
            "scikit-learn, 2,000 resamples of 10,000 cases (from 20)": (
                scikit_learn_bootstrap,
                two_models(10_000),
                100,
            ),
        },
        runs,
    )


if __name__ == "__main__":
    main()
