"""Consistency of class maps under flips and scales: hand-worked values, and where they vanish."""

from __future__ import annotations

import pytest
import torch

from medpipe.losses.attention_consistency import flip_consistency, scale_consistency


def test_mirrored_maps_agree_and_the_mean_is_over_all_numbers() -> None:
    maps = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    assert flip_consistency(maps, maps.flip(-1)) == 0
    assert flip_consistency(maps, maps).item() == pytest.approx((4 + 0 + 4) / 3)


def test_scales_are_compared_on_their_common_grid() -> None:
    large, small = torch.tensor([[[[0.0, 6.0, 0.0]]]]), torch.tensor([[[[1.0, 3.0]]]])
    # Six cells: 0 0 6 6 0 0 against 1 1 1 3 3 3.
    assert scale_consistency(large, small).item() == pytest.approx((1 + 1 + 25 + 9 + 9 + 9) / 6)


def test_the_same_picture_in_two_sizes_of_uniform_cells_agrees() -> None:
    cells = torch.rand(2, 3, 2, 2)
    large = cells.repeat_interleave(3, -1).repeat_interleave(3, -2)
    small = cells.repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert scale_consistency(large, small) == 0


def test_both_maps_get_a_gradient() -> None:
    first, second = torch.rand(1, 1, 2, 2, requires_grad=True), torch.rand(1, 1, 2, 2, requires_grad=True)
    flip_consistency(first, second).backward()
    assert first.grad is not None
    assert second.grad is not None
    assert torch.allclose(first.grad.flip(-1), -second.grad)


def test_other_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="same shape"):
        flip_consistency(torch.zeros(1, 2, 3, 3), torch.zeros(1, 1, 3, 3))
    with pytest.raises(ValueError, match="same shape"):
        scale_consistency(torch.zeros(2, 1, 3, 3), torch.zeros(1, 1, 3, 3))
