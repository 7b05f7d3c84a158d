"""Smoothness of fields against a loop in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medpipe.losses.field_smoothness import FieldSmoothnessLoss


def test_it_is_half_the_sum_of_squared_forward_differences_by_three_times_the_voxels() -> None:
    field = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    each = []
    for u in field.double().numpy():
        total = 0.0
        for axis in (1, 2, 3):
            moved = np.moveaxis(u, axis, 1)
            for i in range(moved.shape[1] - 1):
                total += 0.5 * ((moved[:, i + 1] - moved[:, i]) ** 2).sum()
        each.append(total / (3 * 4 * 5 * 6))
    assert FieldSmoothnessLoss()(field).item() == pytest.approx(np.mean(each), rel=1e-6)


def test_a_shift_is_perfectly_smooth() -> None:
    assert FieldSmoothnessLoss()(torch.full((1, 3, 4, 4, 4), 7.0)).item() == 0


def test_the_hand_worked_ramp() -> None:
    field = torch.zeros(1, 3, 5, 2, 2)
    field[0, 1] = 2 * torch.arange(5.0)[:, None, None]
    # 4 steps of 2 in 4 columns: 16 squares of 4, halved, by 3 * 20.
    assert FieldSmoothnessLoss()(field).item() == pytest.approx(16 * 4 / 2 / 60)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(B, 3, X, Y, Z\), found \(3, 4, 4, 4\)"):
        FieldSmoothnessLoss()(torch.zeros(3, 4, 4, 4))
