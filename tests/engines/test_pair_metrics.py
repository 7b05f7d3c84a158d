from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ignite.exceptions import NotComputableError
from monai.utils import CommonKeys as Keys

from medpipe.engines.handlers.pair_metrics import PAIR_METRICS, pair_metric


def output(count: int = 2, **more) -> dict:
    numbers = torch.Generator().manual_seed(0)
    fixed, warped = (torch.rand(count, 1, 6, 7, 8, generator=numbers) for _ in range(2))
    field = torch.zeros(count, 3, 6, 7, 8)
    targets = {"fixed": fixed, "field": torch.zeros_like(field), "field_given": torch.ones(count, dtype=torch.bool)}
    return {Keys.PRED: SimpleNamespace(field=field, warped=warped), Keys.LABEL: {**targets, **more}}


def value(name: str, *outputs: dict) -> float:
    metric = pair_metric(name)
    for each in outputs:
        metric.iteration_completed(SimpleNamespace(state=SimpleNamespace(output=each)))
    return metric.compute()


def test_dice_is_the_mean_over_labels_then_pairs() -> None:
    fixed = torch.zeros(2, 1, 6, 7, 8, dtype=torch.int32)
    fixed[0, :, :2], fixed[0, :, 3:5], fixed[1, :, :1] = 1, 2, 1
    moving = fixed.clone()
    moving[0, :, 3:4] = 0  # half of label 2: Dice 2/3; pair 0 has (1 + 2/3) / 2, pair 1 has 1
    assert value("dice", output(fixed_label=fixed, moving_label=moving)) == pytest.approx((5 / 6 + 1) / 2)


def test_dice_is_of_the_warped_labels() -> None:
    fixed = torch.zeros(2, 1, 6, 7, 8, dtype=torch.int32)
    fixed[:, :, 1:3] = 4
    shifted = output(fixed_label=fixed, moving_label=fixed.roll(1, dims=2))
    assert value("dice", shifted) == pytest.approx(0.5)
    shifted[Keys.PRED].field[:, 0] = 1
    assert value("dice", shifted) == 1


def test_pairs_without_labels_are_left_out_and_none_is_undefined() -> None:
    fixed = torch.zeros(2, 1, 6, 7, 8, dtype=torch.int32)
    assert np.isnan(value("dice", output()))
    assert np.isnan(value("dice", output(fixed_label=fixed, moving_label=fixed)))
    labelled = fixed + 1
    assert value("dice", output(), output(fixed_label=labelled, moving_label=labelled)) == 1


def test_correlation_is_numpys() -> None:
    given = output()
    expected = [
        np.corrcoef(given[Keys.LABEL]["fixed"][k].ravel(), given[Keys.PRED].warped[k].ravel())[0, 1] for k in range(2)
    ]
    assert value("correlation", given) == pytest.approx(np.mean(expected))
    given[Keys.PRED].warped.zero_()
    assert value("correlation", given) == 0


def test_folding_is_in_percent_of_voxels() -> None:
    given = output()
    assert value("folding", given) == 0
    given[Keys.PRED].field[0, 0, 3] = -2  # from row 2 to row 3 of one of two pairs: one of five intervals
    assert value("folding", given) == pytest.approx(100 * (1 / 5) / 2)


def test_the_distance_to_a_given_field_is_in_voxels() -> None:
    given = output()
    given[Keys.PRED].field[0, 0], given[Keys.PRED].field[0, 1], given[Keys.PRED].field[1] = 3, 4, 99
    given[Keys.LABEL]["field_given"][1] = False
    assert value("field_error", given) == pytest.approx(5)


def test_without_a_pair_there_is_nothing_to_compute() -> None:
    with pytest.raises(NotComputableError, match="no pair"):
        pair_metric("dice").compute()
    with pytest.raises(ValueError, match=f"expected one of {', '.join(PAIR_METRICS)}"):
        pair_metric("jaccard")
