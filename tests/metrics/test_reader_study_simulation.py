"""Simulated reader studies: how often the test of other readers and other cases finds what is there, and what is not."""

from __future__ import annotations

import numpy as np
import pytest

from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.obuchowski_rockette import obuchowski_rockette
from medpipe.metrics.reader_study import ReaderStudy


def simulated(draw: np.random.Generator, readers: int, cases: int, shift: float) -> ReaderStudy:
    """Two modalities, as many diseased as non-diseased cases.

    A rating is the sum of random effects of the case and of the case with the modality and the reader, of an error,
    and for diseased cases of a signal that varies with the reader and with the reader in the modality.
    """
    labels = np.repeat([0, 1], cases // 2)
    signal = (
        1.2 + shift * np.array([[0.0], [1.0]]) + 0.15 * draw.normal(size=readers) + 0.1 * draw.normal(size=(2, readers))
    )
    scores = (
        0.55 * draw.normal(size=cases)
        + 0.4 * draw.normal(size=(2, 1, cases))
        + 0.4 * draw.normal(size=(readers, cases))
        + 0.6 * draw.normal(size=(2, readers, cases))
        + signal[..., None] * labels
    )
    readings = [[FreeResponseData.from_scores(row, labels) for row in modality] for modality in scores]
    return ReaderStudy(("old", "new"), tuple(f"r{j}" for j in range(readers)), readings)


def rejected(seed: int, studies: int, readers: int, cases: int, shift: float) -> float:
    """Share of studies in which RRRC finds a difference at the level of 5 %."""
    draw = np.random.default_rng(seed)
    p = [
        obuchowski_rockette(simulated(draw, readers, cases, shift), "Wilcoxon").analysis("RRRC").test.p
        for _ in range(studies)
    ]
    return float(np.mean(np.array(p) < 0.05))


def test_modalities_that_do_not_differ_are_told_apart_as_often_as_the_level_says() -> None:
    assert 0.03 <= rejected(1, 1200, 4, 60, 0.0) <= 0.07


def test_power_rises_with_readers_and_with_cases() -> None:
    small, readers, cases = (rejected(2, 250, *size, 0.5) for size in ((3, 40), (7, 40), (3, 120)))
    assert small > 0.1
    assert readers > small + 0.1
    assert cases > small + 0.1


@pytest.mark.parametrize("seed", [3])
def test_intervals_of_the_difference_cover_it(seed: int) -> None:
    # With equal signals the true difference is 0.
    draw = np.random.default_rng(seed)
    covered = 0
    for _ in range(300):
        (one,) = obuchowski_rockette(simulated(draw, 4, 60, 0.0), "Wilcoxon", level=0.8).analysis("RRRC").differences
        covered += one.low <= 0 <= one.high
    assert 0.73 <= covered / 300 <= 0.89
