"""What tests of several metrics share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from medpipe.metrics.free_response import FreeResponseData, equal_weights
from medpipe.metrics.reader_study import ReaderStudy


@pytest.fixture(scope="session")
def simulated() -> Callable[..., FreeResponseData]:
    """Function that draws the marks of one reader."""

    def simulate(seed: int, n_nondiseased: int = 12, n_diseased: int = 9, levels: int = 5) -> FreeResponseData:
        """Marks with ties, unmarked lesions, cases without marks, and several lesions per case."""
        draw = np.random.default_rng(seed)
        lesions = draw.integers(1, 4, n_diseased)
        found = draw.random(lesions.sum()) < 0.7
        case = np.repeat(np.arange(n_diseased), lesions)
        number = np.arange(lesions.sum()) - (np.cumsum(lesions) - lesions)[case]
        n_nl = int(draw.integers(1, 2 * (n_nondiseased + n_diseased)))
        return FreeResponseData(
            n_nondiseased=n_nondiseased,
            n_diseased=n_diseased,
            nl_case=draw.integers(0, n_nondiseased + n_diseased, n_nl),
            nl_rating=draw.integers(0, levels, n_nl).astype(float),
            ll_case=case[found],
            ll_lesion=number[found],
            ll_rating=draw.integers(0, levels, found.sum()) + 1.0,
            lesions_per_case=lesions,
            lesion_weights=equal_weights(lesions),
        )

    return simulate


@pytest.fixture(scope="session")
def simulated_study() -> Callable[..., ReaderStudy]:
    """Function that draws a small reader study."""

    def simulate(
        seed: int, modalities: int = 2, readers: int = 3, n_nondiseased: int = 7, n_diseased: int = 6, levels: int = 4
    ) -> ReaderStudy:
        """Free-response data with ties, unmarked lesions, cases without marks, and lesions of unequal weight."""
        draw = np.random.default_rng(seed)
        lesions = draw.integers(1, 4, n_diseased)
        case = np.repeat(np.arange(n_diseased), lesions)
        number = np.arange(lesions.sum()) - (np.cumsum(lesions) - lesions)[case]
        raw = draw.integers(1, 9, lesions.sum())
        weights = raw / np.bincount(case, raw)[case]

        def reading() -> FreeResponseData:
            found = draw.random(lesions.sum()) < 0.7
            n_nl = int(draw.integers(1, 2 * (n_nondiseased + n_diseased)))
            return FreeResponseData(
                n_nondiseased=n_nondiseased,
                n_diseased=n_diseased,
                nl_case=draw.integers(0, n_nondiseased + n_diseased, n_nl),
                nl_rating=draw.integers(0, levels, n_nl).astype(float),
                ll_case=case[found],
                ll_lesion=number[found],
                ll_rating=draw.integers(0, levels, found.sum()) + 1.0,
                lesions_per_case=lesions,
                lesion_weights=weights,
            )

        names = tuple(f"m{i}" for i in range(modalities)), tuple(f"r{j}" for j in range(readers))
        return ReaderStudy(*names, tuple(tuple(reading() for _ in names[1]) for _ in names[0]))

    return simulate
