from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from medpipe.metrics.anova import excess, mean_squares, satterthwaite

FIGURES = np.array([[0.7, 0.8, 0.9], [0.6, 0.8, 0.7]])


def three_way(values: np.ndarray) -> dict[str, float]:
    """Mean squares of a three-way design, from the textbook's sums."""
    size = dict(zip("TRC", values.shape, strict=True))
    cells = list(itertools.product(*(range(n) for n in values.shape)))

    def mean(**fixed: int) -> float:
        chosen = [values[c] for c in cells if all(c["TRC".index(f)] == at for f, at in fixed.items())]
        return sum(chosen) / len(chosen)

    sums = dict.fromkeys(("T", "R", "C", "TR", "TC", "RC", "TRC"), 0.0)
    for cell in cells:
        at = dict(zip("TRC", cell, strict=True))
        main = {f: mean(**{f: at[f]}) - mean() for f in "TRC"}
        for f in "TRC":
            sums[f] += main[f] ** 2
        two = {}
        for f, g in ("TR", "TC", "RC"):
            two[f + g] = mean(**{f: at[f], g: at[g]}) - mean() - main[f] - main[g]
            sums[f + g] += two[f + g] ** 2
        sums["TRC"] += (values[cell] - mean() - sum(main.values()) - sum(two.values())) ** 2
    return {name: total / math.prod(size[f] - 1 for f in name) for name, total in sums.items()}


def test_mean_squares_of_three_factors_are_the_textbooks() -> None:
    values = np.random.default_rng(2).normal(size=(3, 4, 5))
    expected = three_way(values)
    found = mean_squares(values, "TRC")
    assert found == pytest.approx(expected, rel=1e-12)
    assert list(found) == list(expected)


def test_mean_squares_of_two_factors() -> None:
    # Means of rows .8, .7, of columns .65, .8, .8, of all .75; residuals are 0, -.05, .05 and their opposites.
    found = mean_squares(FIGURES, "TR")
    assert found["T"] == pytest.approx(3 * (0.05**2 + 0.05**2) / 1)
    assert found["R"] == pytest.approx(2 * (0.1**2 + 0.05**2 + 0.05**2) / 2)
    assert found["TR"] == pytest.approx(4 * 0.05**2 / 2)


def test_mean_square_without_degrees_of_freedom_is_nan() -> None:
    found = mean_squares(FIGURES[:1], "TR")
    assert found["R"] == pytest.approx(2 * 0.1**2 / 2)
    assert math.isnan(found["T"])
    assert math.isnan(found["TR"])


def test_equal_but_for_rounding_is_equal() -> None:
    values = np.array([[0.1 + 0.2, 0.7], [0.3, 0.7]])
    assert values[0, 0] != values[1, 0]
    assert mean_squares(values, "TR")["T"] == mean_squares(values, "TR")["TR"] == 0
    assert excess(0.1 + 0.2, 0.3) == 0
    assert excess(0.3001, 0.3) == pytest.approx(0.0001)


def test_degrees_of_freedom_of_a_sum_that_one_part_makes_uncertain() -> None:
    assert satterthwaite(0.3, 0.3, 4) == 4
    assert satterthwaite(0.6, 0.3, 4) == 16
    assert satterthwaite(0.6, 0.0, 4) == math.inf
    assert math.isnan(satterthwaite(0.0, 0.0, 4))
