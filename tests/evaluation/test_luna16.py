"""The CPM of LUNA16 on the challenge's own annotations, against plain loops written from its description.

"A candidate is a hit when it is within a nodule's radius of its centre. Of several candidates on one nodule, that with the
highest probability counts. Candidates on excluded findings are neither true nor false positives. The score is the mean of
the sensitivities at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives per scan", between points by linear interpolation, all scans
counted. The challenge's annotations hold no two nodules that a candidate could hit at once.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from medpipe.evaluation.formats import read_detection_truth, read_detections
from medpipe.metrics.conventions import CONVENTIONS
from medpipe.metrics.free_response import FreeResponseData, MatchedCase
from medpipe.metrics.froc import froc_score
from medpipe.metrics.matching import match_marks

Finding = tuple[str, float, float, float, float]


def findings(path: Path) -> list[Finding]:
    with path.open() as stream:
        return [(row[0], *(float(cell) for cell in row[1:])) for row in list(csv.reader(stream))[1:]]  # type: ignore[misc]


def generated_candidates(folder: Path, path: Path, seed: int, every: int) -> None:
    """Candidates of a detector: on most nodules (some twice), on some excluded findings, and anywhere; not on every scan."""
    draw = np.random.default_rng(seed)
    rows: list[list[object]] = []

    def add(series: str, place: np.ndarray, suspicion: float) -> None:
        rows.append([series, *(f"{value:.5f}" for value in place), f"{1 / (1 + np.exp(-suspicion)):.9f}"])

    for name, share, suspicion in (("annotations", 0.85, 2.0), ("annotations_excluded", 0.1, 1.0)):
        for series, x, y, z, diameter in findings(folder / f"{name}.csv"):
            size = (diameter if diameter > 0 else 10) / 2
            for _ in range(int(draw.random() < share) * int(draw.choice([1, 2, 3], p=[0.7, 0.2, 0.1]))):
                add(series, draw.normal((x, y, z), size * 0.6), draw.normal(suspicion))
    for number, series in enumerate((folder / "seriesuids.csv").read_text().split()):
        if number % every:
            for _ in range(draw.poisson(6)):
                add(series, draw.uniform(-150, 150, 3), draw.normal(0))
    draw.shuffle(rows)
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([["seriesuid", "coordX", "coordY", "coordZ", "probability"], *rows])


def described_score(folder: Path, candidates: Path) -> tuple[float, list[float], dict[str, int]]:
    """CPM, the seven sensitivities, and what became of the candidates; in plain loops over the files."""
    scans = (folder / "seriesuids.csv").read_text().split()
    by_scan: dict[str, list[tuple[float, float, float, float]]] = {scan: [] for scan in scans}
    for series, *values in findings(candidates):
        by_scan[series].append(tuple(values))  # type: ignore[arg-type]
    nodules, excluded = ({scan: [] for scan in scans} for _ in range(2))
    for name, target in (("annotations", nodules), ("annotations_excluded", excluded)):
        for series, *values in findings(folder / f"{name}.csv"):
            target[series].append(values)
    true, false, total = [], [], 0
    counts = {"LL": 0, "duplicate": 0, "ignored": 0, "NL": 0}
    for scan in scans:
        total += len(nodules[scan])
        used = set()
        for x, y, z, diameter in nodules[scan]:
            hits = []
            for index, (cx, cy, cz, probability) in enumerate(by_scan[scan]):
                if (cx - x) ** 2 + (cy - y) ** 2 + (cz - z) ** 2 < (diameter / 2) ** 2:
                    assert index not in used
                    hits.append(probability)
                    used.add(index)
            if hits:
                true.append(max(hits))
                counts["LL"] += 1
                counts["duplicate"] += len(hits) - 1
        for index, (cx, cy, cz, probability) in enumerate(by_scan[scan]):
            if index in used:
                continue
            for x, y, z, diameter in excluded[scan]:
                radius = (10.0 if diameter < 0 else diameter) / 2
                if (cx - x) ** 2 + (cy - y) ** 2 + (cz - z) ** 2 < radius**2:
                    counts["ignored"] += 1
                    break
            else:
                counts["NL"] += 1
                false.append(probability)
    points = [(0.0, 0.0)]
    for threshold in sorted({*true, *false}, reverse=True):
        rate = sum(value >= threshold for value in false) / len(scans)
        points.append((rate, sum(value >= threshold for value in true) / total))
    sensitivities = [interpolated(points, rate) for rate in (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)]
    return sum(sensitivities) / 7, sensitivities, counts


def interpolated(points: list[tuple[float, float]], rate: float) -> float:
    """Sensitivity at a rate; points come by rising rate and sensitivity."""
    before = [point for point in points if point[0] <= rate][-1]
    after = [point for point in points if point[0] > rate][:1]
    if not after:
        return before[1]
    (x0, y0), (x1, y1) = before, after[0]
    return y0 + (y1 - y0) * (rate - x0) / (x1 - x0)


@pytest.mark.shared_data
@pytest.mark.parametrize(("seed", "every"), [(1, 7), (2, 2)])
def test_the_score_is_that_of_plain_loops_over_the_files(shared_data, tmp_path, seed: int, every: int) -> None:
    folder = shared_data / "froc" / "luna16" / "annotations"
    path = tmp_path / "candidates.csv"
    generated_candidates(folder, path, seed, every)
    truth, _ = read_detection_truth(folder)
    predictions = {prediction.case: prediction.marks for prediction in read_detections(path)[0]}
    matched, kinds = [], []
    convention = CONVENTIONS["luna16"]
    for case in truth:
        rows = match_marks(predictions.get(case.case, []), case.lesions or [], convention.hit_rule)
        kinds += [row.kind for row in rows]
        matched.append(MatchedCase.of_image(case.case, rows, case.lesions or [], case.patient))
    data = FreeResponseData.from_cases(matched)
    found = froc_score(data, convention.rates)
    score, sensitivities, counts = described_score(folder, path)
    assert (data.n_cases, data.n_diseased, data.n_lesions) == (888, 601, 1186)
    assert len(predictions) < 888  # scans without a candidate count too
    assert {kind: kinds.count(kind) for kind in counts} == counts  # type: ignore[arg-type]
    assert min(counts.values()) > 50
    assert found.sensitivities == pytest.approx(sensitivities, abs=1e-12)
    assert found.mean == pytest.approx(score, abs=1e-12)


@pytest.mark.shared_data
def test_the_annotations_hold_no_two_nodules_that_overlap(shared_data) -> None:
    truth, _ = read_detection_truth(shared_data / "froc" / "luna16" / "annotations")
    for case in truth:
        nodules = [lesion for lesion in case.lesions or [] if not lesion.ignore]
        for number, one in enumerate(nodules):
            for other in nodules[:number]:
                assert (
                    np.subtract(one.centre, other.centre) @ np.subtract(one.centre, other.centre)
                    > ((one.radius or 0) + (other.radius or 0)) ** 2
                )
