"""The ten cases of picai_eval's tests: volumes of labels and of detection maps.

Each connected component of a detection map is a mark, its rating is the map's highest value in it. A component finds a lesion
when they overlap by at least 0.1, as many lesions as possible being found, then with the largest total overlap.
"""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medpipe.metrics.free_response import FreeResponseData, MatchedCase
from medpipe.metrics.froc import operating_curve
from medpipe.metrics.lesions import Lesion, split_mask
from medpipe.metrics.matching import HitRule, Mark, MatchRow, match_marks
from medpipe.metrics.precision_recall import detection_average_precision_estimate
from medpipe.metrics.roc import auc

RULE = HitRule("iou", 0.1, strict=False, assignment="optimal")
NUMBERS = range(10)


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "froc" / "picai_eval" / "tests"


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict:
    return json.loads((folder / "output-expected" / "metrics-full-expected.json").read_text())


def volume(path: Path) -> np.ndarray:
    """Slices, rows, columns."""
    return np.asarray(nibabel.load(path).dataobj).T


def marks_of_map(detection_map: np.ndarray) -> list[Mark]:
    marks = []
    for part in split_mask(detection_map > 0):
        assert part.mask is not None
        x, y, z = part.centre
        window = tuple(slice(first, first + size) for first, size in zip(part.origin, part.mask.shape, strict=True))
        rating = float(detection_map[window][part.mask].max())
        marks.append(Mark(x, y, rating, mask=part.mask, origin=part.origin, z=z))
    return marks


def read(folder: Path, number: int) -> tuple[list[Mark], list[Lesion]]:
    maps = folder / "test-maps"
    marks = marks_of_map(volume(maps / f"case-{number}_detection_map.nii.gz"))
    return marks, split_mask(volume(maps / f"case-{number}_label.nii.gz") > 0)


def overlap(mark: Mark, lesion: Lesion, shape: tuple[int, ...]) -> float:
    """Intersection over union on whole volumes."""
    canvases = []
    for part in (mark, lesion):
        canvas = np.zeros(shape, dtype=bool)
        assert part.mask is not None
        canvas[tuple(slice(a, a + b) for a, b in zip(part.origin, part.mask.shape, strict=True))] = part.mask
        canvases.append(canvas)
    return (canvases[0] & canvases[1]).sum() / (canvases[0] | canvases[1]).sum()


@pytest.fixture(scope="module")
def data(folder: Path) -> FreeResponseData:
    cases = []
    for number in NUMBERS:
        marks, lesions = read(folder, number)
        cases.append(MatchedCase.of_image(f"case-{number}", match_marks(marks, lesions, RULE), lesions))
    return FreeResponseData.from_cases(cases)


@pytest.mark.shared_data
@pytest.mark.parametrize("number", NUMBERS)
def test_lesion_results_are_those_of_picai_eval(folder: Path, expected: dict, number: int) -> None:
    """Its list holds (is a lesion, rating, overlap); a lesion that was missed has rating and overlap 0 there."""
    marks, lesions = read(folder, number)
    rows = match_marks(marks, lesions, RULE)
    found = [(0, row.rating, 0.0) for row in rows if row.kind == "NL"]
    for row in rows:
        if row.kind == "LL" and row.lesion is not None:
            found.append((1, row.rating, overlap(marks[row.mark], lesions[row.lesion], (3, 32, 32))))
    missed = len(lesions) - sum(row.kind == "LL" for row in rows)
    found += [(1, 0.0, 0.0)] * missed
    wanted = sorted(tuple(result) for result in expected["lesion_results"][f"case-{number}"])
    assert len(found) == len(wanted)
    for result, other in zip(sorted(found), wanted, strict=True):
        assert result == pytest.approx(other, abs=1e-8)


@pytest.mark.shared_data
def test_the_best_overlap_counts_and_not_the_highest_rating(folder: Path) -> None:
    """Case 6: overlaps of 1/3 (rating 1) and 2/7 (rating 2) with one lesion."""
    marks, lesions = read(folder, 6)
    kinds = {row.rating: row.kind for row in match_marks(marks, lesions, RULE)}
    assert kinds == {1.0: "LL", 2.0: "duplicate"}
    greedy = {row.rating: row.kind for row in match_marks(marks, lesions, HitRule("iou", 0.1, strict=False))}
    assert greedy == {1.0: "duplicate", 2.0: "LL"}


@pytest.mark.shared_data
def test_case_ratings_are_those_of_picai_eval_but_where_a_surplus_mark_is_the_highest(
    folder: Path, data: FreeResponseData, expected: dict
) -> None:
    """Case 6 has rating 2 there, the map's maximum, and 1 in the inferred ROC, which knows no marks that were left out."""
    highest = {
        f"case-{number}": max((mark.rating for mark in read(folder, number)[0]), default=0) for number in NUMBERS
    }
    assert highest == expected["case_pred"]
    names = list(highest)
    assert (
        auc([highest[name] for name in names], [expected["case_target"][name] for name in names]) == expected["auroc"]
    )
    inferred = dict(zip(data.case_ids or (), np.maximum(data.highest_rating, 0).tolist(), strict=True))
    assert {name: inferred[name] for name in names if inferred[name] != highest[name]} == {"case-6": 1}


@pytest.mark.shared_data
def test_summary_figures_are_those_of_picai_eval_where_lesions_were_missed(
    data: FreeResponseData, expected: dict
) -> None:
    """Five lesions of ten are missed, so that what its convention drops is the threshold 0 of the missed ones."""
    curve = operating_curve(data, "FROC")
    points = list(zip(expected["lesion_FPR"], expected["lesion_TPR"], strict=True))
    assert np.column_stack([curve.x, curve.y])[1:] == pytest.approx(np.array(points[:-1]), abs=1e-7)
    assert points[-1] == (np.inf, 0.5)
    assert detection_average_precision_estimate(data).value == pytest.approx(expected["AP"])
    assert (data.n_cases, data.n_lesions) == (expected["num_cases"], expected["num_lesions"])


def test_the_lowest_operating_point_stays_where_nothing_was_missed() -> None:
    """picai_eval's own test of this example stores sensitivities .2, .4, .4, .6 and .6 for five lesions found of five.

    It lets the score 0 stand for "missed" and gives up the lowest threshold, which here is a real one: 1.
    """
    found = {"2": [3.0], "3": [1.0, 1.0], "5": [2.5, 1.5]}
    false = {"0": 1.0, "1": 2.0, "4": 3.0}
    cases = [MatchedCase(name, [MatchRow(0, "NL", None, rating)], 0) for name, rating in false.items()]
    for name, ratings in found.items():
        rows = [MatchRow(n, "LL", n, rating) for n, rating in enumerate(ratings)]
        cases.append(MatchedCase(name, rows, len(ratings)))
    curve = operating_curve(FreeResponseData.from_cases(cases), "FROC")
    assert curve.y[1:] == pytest.approx([0.2, 0.4, 0.4, 0.6, 1.0])
    assert curve.x[1:] == pytest.approx([1 / 6, 1 / 6, 1 / 3, 1 / 3, 1 / 2])


def test_two_found_of_two_is_a_sensitivity_of_one() -> None:
    cases = [MatchedCase("a", [MatchRow(0, "LL", 0, 0.9)], 1), MatchedCase("b", [MatchRow(0, "LL", 0, 0.4)], 1)]
    curve = operating_curve(FreeResponseData.from_cases(cases), "FROC")
    assert curve.y.tolist() == [0, 0.5, 1]
