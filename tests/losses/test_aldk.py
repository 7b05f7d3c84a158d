"""Losses of the two players, against formulas in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medpipe.losses.aldk import DiscriminatorLoss, FieldDistillationLoss, StudentAdversarialLoss, gradient_penalty
from medpipe.networks.blocks.field_discriminator import FieldDiscriminator

SHAPE = (3, 4, 5, 6)


class Quadratic(nn.Module):
    """D(u) = a . u + b |u|^2 / 2, whose gradient a + b u is known."""

    def __init__(self, b: float = 0.01) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(SHAPE, generator=torch.Generator().manual_seed(4)) * 0.1)
        self.b = nn.Parameter(torch.tensor(b))

    def forward(self, fields: Tensor) -> Tensor:
        return (self.a * fields).flatten(1).sum(dim=1) + self.b * fields.square().flatten(1).sum(dim=1) / 2


def fields(batch: int = 3) -> Tensor:
    return torch.randn(2, batch, *SHAPE, generator=torch.Generator().manual_seed(0))


def values(network: Quadratic, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """D and its gradient in float64."""
    a, b = network.a.detach().double().numpy(), network.b.item()
    return (a * u).sum(axis=(1, 2, 3, 4)) + b * (u**2).sum(axis=(1, 2, 3, 4)) / 2, a + b * u


def test_the_students_loss_follows_its_formula() -> None:
    network = Quadratic()
    student, teacher = fields()
    (s, _), (t, _) = (values(network, u.double().numpy()) for u in (student, teacher))
    found = StudentAdversarialLoss(gamma=0.3)(torch.tensor(2.0), network, student, teacher)
    assert found.item() == pytest.approx(0.3 * 2 + 0.7 * ((s - t) ** 2).mean(), rel=1e-5)


def test_the_discriminators_loss_follows_its_formula() -> None:
    network = Quadratic()
    student, teacher = (u.double().numpy() for u in fields())
    (s, _), (t, _) = values(network, student), values(network, teacher)
    gradient = values(network, 0.25 * teacher + 0.75 * student)[1]
    penalty = (np.sqrt((gradient**2).sum(axis=(1, 2, 3, 4))) - 1) ** 2
    found = DiscriminatorLoss(beta=0.25, penalty_weight=0.5)(network, *fields())
    assert found.item() == pytest.approx((0.5 * penalty - (s - t) ** 2).mean(), rel=1e-5)


def adversarial(network: Quadratic, student: Tensor, teacher: Tensor, available: Tensor | None = None) -> Tensor:
    return StudentAdversarialLoss(gamma=0)(torch.tensor(0.0), network, student, teacher, available)


def distillation(_: Quadratic, student: Tensor, teacher: Tensor, available: Tensor | None = None) -> Tensor:
    return FieldDistillationLoss()(student, teacher, available)


@pytest.mark.parametrize("loss", [adversarial, DiscriminatorLoss(), distillation])
def test_pairs_without_a_teacher_count_as_zero_whatever_is_in_their_place(loss) -> None:
    network = Quadratic()
    student, teacher = fields()
    expected = sum(loss(network, student[k : k + 1], teacher[k : k + 1]).item() for k in (0, 2)) / 3
    teacher[1] = torch.nan
    student.requires_grad_()
    found = loss(network, student, teacher, torch.tensor([True, False, True]))
    assert found.item() == pytest.approx(expected, rel=1e-5)
    found.backward()
    gradients = [tensor.grad for tensor in (student, network.a) if tensor.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert loss(network, student, teacher, torch.zeros(3, dtype=torch.bool)).item() == 0


def test_a_linear_discriminator_of_unit_gradient_has_no_penalty() -> None:
    network = Quadratic(b=0.0)
    with torch.no_grad():
        network.a /= network.a.norm()
    assert torch.allclose(gradient_penalty(network, fields()[0]), torch.zeros(3), atol=1e-10)


def test_a_constant_discriminator_has_penalty_one_and_a_finite_gradient() -> None:
    network = Quadratic(b=0.0)
    nn.init.zeros_(network.a)
    penalty = gradient_penalty(network, fields()[0])
    assert torch.equal(penalty, torch.ones(3))
    penalty.sum().backward()
    assert network.a.grad.isfinite().all()


def test_no_gradient_of_the_discriminators_loss_reaches_the_student() -> None:
    student, teacher = fields()
    student.requires_grad_()
    network = Quadratic()
    DiscriminatorLoss()(network, student, teacher).backward()
    assert student.grad is None
    assert network.a.grad.any()


def test_the_students_gradient_draws_it_towards_the_teacher_in_the_eyes_of_the_discriminator() -> None:
    torch.manual_seed(0)
    network = FieldDiscriminator(32)
    student, teacher = torch.randn(2, 1, 3, 32, 32, 32) * 10
    student.requires_grad_()
    loss = StudentAdversarialLoss(gamma=0)
    before = loss(torch.tensor(0.0), network, student, teacher)
    before.backward()
    assert student.grad.any()
    step = before.detach() / student.grad.square().sum()
    after = loss(torch.tensor(0.0), network, student.detach() - 0.5 * step * student.grad, teacher)
    assert after < before


def test_with_gamma_one_the_loss_is_the_reconstruction_itself() -> None:
    reconstruction = torch.tensor(1.5)
    student, teacher = fields()
    assert StudentAdversarialLoss(gamma=1)(reconstruction, Quadratic(), student, teacher) is reconstruction


def test_plain_distillation_is_the_mean_square() -> None:
    student, teacher = fields()
    expected = ((student - teacher).double().numpy() ** 2).mean()
    assert FieldDistillationLoss()(student, teacher).item() == pytest.approx(expected, rel=1e-6)


def test_wrong_weights_and_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"gamma must lie in \[0, 1\], found 1.5"):
        StudentAdversarialLoss(1.5)
    with pytest.raises(ValueError, match="found -0.1"):
        DiscriminatorLoss(beta=-0.1)
    with pytest.raises(ValueError, match="of one shape"):
        FieldDistillationLoss()(torch.zeros(1, *SHAPE), torch.zeros(2, *SHAPE))
