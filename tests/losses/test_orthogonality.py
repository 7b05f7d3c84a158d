"""The orthogonality term on hand-worked batches."""

from __future__ import annotations

import pytest
import torch

from medpipe.losses.orthogonality import ORTHOGONALITY_FORMS, OrthogonalityLoss

# Two images, three modules: sums over modules 2 and -5.
VALUES = torch.tensor([[1.0, -2.0, 3.0], [-4.0, 0.0, -1.0]])


@pytest.mark.parametrize(("form", "expected"), [("abs_total", 1.5), ("abs_each", 5.5), ("raw", -1.5)])
def test_hand_worked_batch(form: str, expected: float) -> None:
    assert OrthogonalityLoss(form)(VALUES).item() == pytest.approx(expected)


@pytest.mark.parametrize("form", ["abs_total", "raw"])
def test_values_already_summed_give_the_same(form: str) -> None:
    loss = OrthogonalityLoss(form)
    assert torch.allclose(loss(VALUES.sum(dim=1)), loss(VALUES))


def test_opposite_signs_cancel_only_in_the_total() -> None:
    values = torch.tensor([[1.0, -1.0]])
    assert [OrthogonalityLoss(form)(values).item() for form in ORTHOGONALITY_FORMS] == [0.0, 2.0, 0.0]


@pytest.mark.parametrize("form", ORTHOGONALITY_FORMS)
def test_without_modules_it_is_zero(form: str) -> None:
    assert OrthogonalityLoss(form)(torch.zeros(3, 0)).item() == 0.0


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("abs_total", [[-0.5] * 3] * 2),
        ("raw", [[0.5] * 3] * 2),
        ("abs_each", [[0.5, -0.5, 0.5], [-0.5, 0.0, -0.5]]),
    ],
)
def test_gradient_of_the_hand_worked_batch(form: str, expected: list[list[float]]) -> None:
    values = VALUES.clone().requires_grad_()
    OrthogonalityLoss(form)(values).backward()
    assert values.grad.tolist() == expected


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="abs_total, abs_each, raw, found 'abs'"):
        OrthogonalityLoss("abs")
    with pytest.raises(ValueError, match=r"per module, \(B, modules\), found \(B,\)"):
        OrthogonalityLoss("abs_each")(torch.zeros(2))
    for shape in [(), (0,), (0, 3), (1, 1, 1)]:
        with pytest.raises(ValueError, match="B > 0, found"):
            OrthogonalityLoss()(torch.zeros(shape))
