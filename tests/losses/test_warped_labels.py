from __future__ import annotations

import pytest
import torch

from medpipe.losses.warped_labels import WarpedLabelLoss


def maps() -> tuple[torch.Tensor, torch.Tensor]:
    fixed = torch.zeros(1, 1, 8, 8, 8, dtype=torch.int16)
    fixed[:, :, 1:3, 2:6, 2:6], fixed[:, :, 4:6, 2:6, 2:6] = 1, 2
    return fixed, fixed.roll(1, dims=2)


def test_a_shift_that_aligns_the_labels_has_no_loss() -> None:
    fixed, moving = maps()
    field = torch.zeros(1, 3, 8, 8, 8)
    assert float(WarpedLabelLoss()(field, fixed, moving)) == pytest.approx(1 - 33 / 65)
    field[:, 0] = 1
    assert float(WarpedLabelLoss()(field, fixed, moving)) == 0


def test_only_labels_asked_for_count() -> None:
    fixed, moving = maps()
    moving[moving == 1] = 0
    field = torch.zeros(1, 3, 8, 8, 8)
    missing, half = 1 - 1 / 33, 1 - 33 / 65
    assert float(WarpedLabelLoss([1])(field, fixed, moving)) == pytest.approx(missing)
    assert float(WarpedLabelLoss([2])(field, fixed, moving)) == pytest.approx(half)
    assert float(WarpedLabelLoss([1, 2, 3])(field, fixed, moving)) == pytest.approx((missing + half) / 2)


def test_a_gradient_leads_towards_the_overlap() -> None:
    fixed, moving = maps()
    field = torch.full((1, 3, 8, 8, 8), 0.25).requires_grad_()
    WarpedLabelLoss()(field, fixed, moving).backward()
    assert float(field.grad[:, 0].sum()) < 0  # further along the first axis is better


def test_without_labels_there_is_no_loss_and_no_error() -> None:
    nothing = torch.zeros(1, 1, 4, 4, 4)
    field = torch.zeros(1, 3, 4, 4, 4, requires_grad=True)
    loss = WarpedLabelLoss()(field, nothing, nothing)
    loss.backward()
    assert float(loss) == 0
    assert float(WarpedLabelLoss([7])(field, nothing, nothing)) == 0


def test_at_most_so_many_labels_are_warped_at_a_time() -> None:
    fixed = torch.arange(64).view(1, 1, 4, 4, 4)
    moving = torch.where(fixed == 5, 0, fixed)
    field = torch.zeros(1, 3, 4, 4, 4)
    torch.manual_seed(0)
    losses = {round(float(WarpedLabelLoss(most=1)(field, fixed, moving)), 3) for _ in range(300)}
    assert losses == {0.0, 0.5}
    with pytest.raises(ValueError, match="most must be at least 1"):
        WarpedLabelLoss(most=0)
