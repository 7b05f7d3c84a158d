"""What tests of several metrics share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from medpipe.metrics.free_response import FreeResponseData, equal_weights


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
