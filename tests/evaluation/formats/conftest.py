"""What tests of the formats share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medpipe.metrics.free_response import FreeResponseData
from medpipe.metrics.reader_study import ReaderStudy


def _reading(draw: np.random.Generator, names: bool) -> FreeResponseData:
    lesions = [1, 3, 2]
    case, lesion = np.repeat([0, 1, 2], lesions), np.array([0, 0, 1, 2, 0, 1])
    found = draw.random(6) < 0.8
    found[0] = True
    nls = int(draw.integers(1, 9))
    return FreeResponseData(
        n_nondiseased=4,
        n_diseased=3,
        nl_case=draw.integers(0, 7, nls),
        nl_rating=draw.normal(size=nls),
        ll_case=case[found],
        ll_lesion=lesion[found],
        ll_rating=draw.normal(size=found.sum()),
        lesions_per_case=np.array(lesions),
        lesion_weights=np.array([1, 0.2, 0.5, 0.3, 1 / 3, 2 / 3]),
        case_ids=("h1", "h 2", "=h3", "ü4", "d1", "d2", "d3")
        if names
        else tuple(str(k) for k in (5, 3, 9, 1, 20, 10, 30)),
        patients=("p", "p", "q", "r", "s", "t", "s") if names else None,
    )


@pytest.fixture
def study() -> ReaderStudy:
    """A free-response study with names, patients and unequal weights: 2 modalities, 3 readers, 4 + 3 cases, 6 lesions."""
    draw = np.random.default_rng(11)
    readings = tuple(tuple(_reading(draw, names=True) for _ in range(3)) for _ in range(2))
    return ReaderStudy(("film, old", "10"), ("r1", "=r2", "r,3"), readings)


@pytest.fixture
def numbered_study() -> ReaderStudy:
    """The like without patients, whose names are numbers."""
    draw = np.random.default_rng(12)
    return ReaderStudy(("1", "10"), ("=a", "b"), tuple(tuple(_reading(draw, names=False) for _ in "ab") for _ in "12"))


@pytest.fixture
def roc_study() -> ReaderStudy:
    """An ROC study: 1 modality, 2 readers, 3 + 2 cases."""
    draw = np.random.default_rng(13)
    rows = tuple(FreeResponseData.from_scores(draw.normal(size=5), [0, 0, 0, 1, 1]) for _ in range(2))
    return ReaderStudy(("ct",), ("a", "b"), (rows,))


def _assert_same(first: ReaderStudy, second: ReaderStudy, *, names: bool = True) -> None:
    assert first.modalities == second.modalities
    assert first.readers == second.readers
    for one, two in zip(sum(first.readings, ()), sum(second.readings, ()), strict=True):
        assert one.highest_rating.tolist() == two.highest_rating.tolist()
        assert one.lesion_rating.tolist() == two.lesion_rating.tolist()
        assert sorted(zip(one.nl_case, one.nl_rating, strict=True)) == sorted(
            zip(two.nl_case, two.nl_rating, strict=True)
        )
        assert one.lesions_per_case.tolist() == two.lesions_per_case.tolist()
        assert one.lesion_weights.tolist() == two.lesion_weights.tolist()
        if names:
            assert (one.case_ids, one.patients) == (two.case_ids, two.patients)


@pytest.fixture
def assert_same():
    """Function that compares two studies number by number; ``names`` also by names of cases and patients."""
    return _assert_same


@pytest.fixture
def rjafroc(shared_data: Path) -> Path:
    """Folder of workbooks that are shipped with RJafroc."""
    return shared_data / "froc" / "rjafroc" / "inst" / "extdata"
