"""Analysis of a reader study (Obuchowski-Rockette and DBM, all three generalisations), beside what a user has otherwise.

A study of free-response data is drawn: 2 modalities, 5 readers, 500 cases. "medpipe" is the whole analysis of one figure
of merit, from marks to intervals; "brute force" is the same with every figure computed anew without each case; RJafroc
runs on the same marks where R has it. A bootstrap of 2,000 resamples is timed besides.

    python scripts/bench/reader_study.py [--cases 500] [--readers 5] [--modalities 2] [--runs 5]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from medpipe.metrics.dbm import dorfman_berbaum_metz
from medpipe.metrics.free_response import FreeResponseData, equal_weights
from medpipe.metrics.jackknife import study_leave_one_out
from medpipe.metrics.jafroc import figure_of_merit_statistic
from medpipe.metrics.mrmc import ANALYSES
from medpipe.metrics.obuchowski_rockette import obuchowski_rockette
from medpipe.metrics.reader_bootstrap import bootstrap_reader_study
from medpipe.metrics.reader_study import ReaderStudy

FIGURES = ("wAFROC", "HrAuc")

RJAFROC = """
library(RJafroc)
folder <- commandArgs(TRUE)[1]
shape <- scan(file.path(folder, "shape.txt"), quiet = TRUE)
I <- shape[1]; J <- shape[2]; K1 <- shape[3]; K2 <- shape[4]; most_nl <- shape[5]; most_ll <- shape[6]
NL <- array(scan(file.path(folder, "nl.txt"), quiet = TRUE), c(I, J, K1 + K2, most_nl))
LL <- array(scan(file.path(folder, "ll.txt"), quiet = TRUE), c(I, J, K2, most_ll))
lesions <- scan(file.path(folder, "lesions.txt"), quiet = TRUE)
data <- Df2RJafrocDataset(NL, LL, perCase = lesions)
for (name in c("wAFROC", "HrAuc")) {
  start <- Sys.time()
  for (method in c("OR", "DBM")) for (kind in c("RRRC", "FRRC", "RRFC"))
    St(data, FOM = name, method = method, analysisOption = kind)
  cat(name, as.numeric(difftime(Sys.time(), start, units = "secs")), "\\n")
}
"""


def draw_study(modalities: int, readers: int, cases: int, seed: int = 0) -> ReaderStudy:
    """Half of the cases have one to three lesions; readers find most of them, and mark other places too."""
    draw = np.random.default_rng(seed)
    n_diseased = cases // 2
    lesions = draw.integers(1, 4, n_diseased)
    case = np.repeat(np.arange(n_diseased), lesions)
    number = np.arange(lesions.sum()) - (np.cumsum(lesions) - lesions)[case]

    def reading() -> FreeResponseData:
        found = draw.random(lesions.sum()) < 0.75
        nl_case = np.repeat(np.arange(cases), draw.poisson(0.8, cases))
        return FreeResponseData(
            n_nondiseased=cases - n_diseased,
            n_diseased=n_diseased,
            nl_case=nl_case,
            nl_rating=draw.normal(size=nl_case.size),
            ll_case=case[found],
            ll_lesion=number[found],
            ll_rating=draw.normal(1.5, 1, found.sum()),
            lesions_per_case=lesions,
            lesion_weights=equal_weights(lesions),
        )

    names = tuple(f"m{i}" for i in range(modalities)), tuple(f"r{j}" for j in range(readers))
    return ReaderStudy(*names, tuple(tuple(reading() for _ in names[1]) for _ in names[0]))


def analyse(study: ReaderStudy, name: str) -> None:
    """Both methods, all generalisations."""
    for model in (obuchowski_rockette(study, name), dorfman_berbaum_metz(study, name)):
        for kind in ANALYSES:
            model.analysis(kind)


def brute_force(study: ReaderStudy, name: str) -> np.ndarray:
    """Figures of merit without each case, each computed anew."""
    without = np.ones((study.n_cases, study.n_cases), dtype=np.int64) - np.eye(study.n_cases, dtype=np.int64)

    def anew(reading: FreeResponseData) -> np.ndarray:
        return np.array([figure_of_merit_statistic(reading, name)(counts) for counts in without])

    return study.each(anew)


def median_seconds(work: Callable[[], object], runs: int) -> float:
    """Median of the seconds that ``work`` takes."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def write_for_r(study: ReaderStudy, folder: Path) -> None:
    """The study as arrays with minus infinity for no mark, first index fastest."""
    readings = [reading for row in study.readings for reading in row]
    most_nl = max(int(np.bincount(reading.nl_case).max(initial=1)) for reading in readings)
    most_ll = int(readings[0].lesions_per_case.max())
    nl = np.full((study.n_modalities, study.n_readers, study.n_cases, most_nl), -np.inf)
    ll = np.full((study.n_modalities, study.n_readers, study.n_diseased, most_ll), -np.inf)
    for i, row in enumerate(study.readings):
        for j, reading in enumerate(row):
            turn = np.arange(reading.nl_case.size) - np.searchsorted(reading.nl_case, reading.nl_case)
            nl[i, j, reading.nl_case, turn] = reading.nl_rating
            ll[i, j, reading.ll_case, reading.ll_lesion] = reading.ll_rating
    for name, values in (("nl", nl), ("ll", ll)):
        np.savetxt(folder / f"{name}.txt", values.ravel(order="F"), fmt="%.17g")
    np.savetxt(folder / "lesions.txt", readings[0].lesions_per_case, fmt="%d")
    shape = (*nl.shape[:2], study.n_nondiseased, study.n_diseased, most_nl, most_ll)
    np.savetxt(folder / "shape.txt", shape, fmt="%d")


def rjafroc(study: ReaderStudy) -> dict[str, float] | str:
    """Seconds of RJafroc for each figure of merit, or why there are none."""
    program = shutil.which("Rscript")
    if program is None:
        return "not measured: no Rscript on this machine"
    if subprocess.run([program, "-e", "library(RJafroc)"], capture_output=True).returncode:
        return "not measured: R has no package RJafroc"
    with tempfile.TemporaryDirectory() as folder:
        write_for_r(study, Path(folder))
        script = Path(folder, "time.R")
        script.write_text(RJAFROC)
        run = subprocess.run([program, str(script), folder], capture_output=True, text=True)
    if run.returncode:
        return f"not measured: it stopped with {run.stderr.strip().splitlines()[-1:]}"
    return {name: float(seconds) for name, seconds in (line.split() for line in run.stdout.splitlines())}


def main() -> None:
    """Draw a study, time the ways to analyse it, print medians and what they must agree in."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--readers", type=int, default=5)
    parser.add_argument("--modalities", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    study = draw_study(given.modalities, given.readers, given.cases)
    print(f"{given.modalities} modalities x {given.readers} readers x {given.cases} cases, medians of {given.runs}")
    rival = rjafroc(study)
    total = 0.0
    for name in FIGURES:
        ours = median_seconds(lambda name=name: analyse(study, name), given.runs)
        total += ours
        slow = median_seconds(lambda name=name: brute_force(study, name), 1)
        resampled = median_seconds(lambda name=name: bootstrap_reader_study(study, name), 1)
        apart = np.abs(brute_force(study, name) - study_leave_one_out(study, name)).max()
        print(f"{name:7} OR and DBM, all analyses      {ours * 1000:9.1f} ms")
        print(f"{'':7} brute-force jackknife alone   {slow * 1000:9.1f} ms   largest difference {apart:.1e}")
        if isinstance(rival, dict):
            print(
                f"{'':7} RJafroc, the same analyses    {rival[name] * 1000:9.1f} ms   {rival[name] / ours:.0f} times as long"
            )
        print(f"{'':7} bootstrap, 2,000 resamples    {resampled * 1000:9.1f} ms")
    if isinstance(rival, str):
        print(f"RJafroc {rival}")
    print(f"both figures of merit: {total:.3f} s   (aim: 2 s)")


if __name__ == "__main__":
    main()
