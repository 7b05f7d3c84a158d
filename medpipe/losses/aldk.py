"""Adversarial learning with distilling knowledge: a student's fields against its teacher's.

M Q Tran et al., "Light-weight Deformable Registration using Adversarial Learning with Distilling Knowledge", IEEE TMI
2022, https://arxiv.org/abs/2110.01293. D is a network that gives one number per field. The student makes
(D(student) - D(teacher))^2 small. Minimised over D as well, as the paper's single formula reads, that lets D become
constant; here D is an opponent and makes it large, under the paper's penalty on its gradient.

Fields are aggregate displacements (B, 3, X, Y, Z) in voxels. Pairs without a teacher's field count as 0 in the mean
over the batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["DiscriminatorLoss", "FieldDistillationLoss", "StudentAdversarialLoss", "gradient_penalty"]

Discriminator = Callable[[Tensor], Tensor]


class StudentAdversarialLoss(nn.Module):
    """``gamma l_rec + (1 - gamma) mean (D(student) - D(teacher))^2``.

    Args:
        gamma: Weight of the reconstruction in [0, 1]; 1 is training without a teacher.

    Raises:
        ValueError: gamma lies outside.
    """

    def __init__(self, gamma: float = 0.3) -> None:
        super().__init__()
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma must lie in [0, 1], found {gamma}")
        self.gamma = gamma

    def forward(
        self,
        reconstruction: Tensor,
        discriminator: Discriminator,
        student: Tensor,
        teacher: Tensor,
        available: Tensor | None = None,
    ) -> Tensor:
        """The student's loss, a scalar.

        Args:
            reconstruction: Scalar, the unsupervised loss of the student.
            discriminator: D. Its parameters receive gradients too, which its own step must clear.
            student: The student's fields, with their graph.
            teacher: The teacher's fields.
            available: (B,) bool, whether a pair has a teacher's field; all by default.
        """
        if self.gamma == 1:
            return reconstruction
        teacher = _filled(teacher, student, available)
        with torch.no_grad():
            goal = discriminator(teacher)
        apart = (discriminator(student) - goal).square()
        return self.gamma * reconstruction + (1 - self.gamma) * _mean(apart, available)


class DiscriminatorLoss(nn.Module):
    """``mean of -(D(student) - D(teacher))^2 + lambda (|grad D(mix)| - 1)^2`` with mix = beta teacher + (1 - beta) student.

    Args:
        beta: Share of the teacher in the mix, in [0, 1].
        penalty_weight: lambda.

    Raises:
        ValueError: beta lies outside, or the weight is negative.
    """

    def __init__(self, beta: float = 0.1, penalty_weight: float = 0.1) -> None:
        super().__init__()
        if not 0 <= beta <= 1 or penalty_weight < 0:
            raise ValueError(f"beta must lie in [0, 1] and penalty_weight be >= 0, found {beta} and {penalty_weight}")
        self.beta = beta
        self.penalty_weight = penalty_weight

    def forward(
        self, discriminator: Discriminator, student: Tensor, teacher: Tensor, available: Tensor | None = None
    ) -> Tensor:
        """The discriminator's loss, a scalar; no gradient reaches the student.

        Args:
            discriminator: D.
            student: The student's fields.
            teacher: The teacher's fields.
            available: (B,) bool, whether a pair has a teacher's field; all by default.
        """
        student, teacher = student.detach(), _filled(teacher, student, available).detach()
        apart = (discriminator(student) - discriminator(teacher)).square()
        mix = self.beta * teacher + (1 - self.beta) * student
        return _mean(self.penalty_weight * gradient_penalty(discriminator, mix) - apart, available)


class FieldDistillationLoss(nn.Module):
    """The plain alternative: mean squared difference of the two fields, in square voxels."""

    def forward(self, student: Tensor, teacher: Tensor, available: Tensor | None = None) -> Tensor:
        """The loss, a scalar.

        Args:
            student: The student's fields, with their graph.
            teacher: The teacher's fields.
            available: (B,) bool, whether a pair has a teacher's field; all by default.
        """
        if student.shape != teacher.shape:
            raise ValueError(f"expected fields of one shape, found {tuple(student.shape)} and {tuple(teacher.shape)}")
        teacher = _filled(teacher, student, available)
        return _mean((student - teacher).square().flatten(1).mean(dim=1), available)


def gradient_penalty(discriminator: Discriminator, fields: Tensor) -> Tensor:
    """(B,) of ``(|grad D(field)| - 1)^2``, the norm over all components of a field; differentiable in D."""
    fields = fields.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(discriminator(fields).sum(), fields, create_graph=True)
    return (torch.linalg.vector_norm(gradient.flatten(1), dim=1) - 1).square()


def _filled(teacher: Tensor, student: Tensor, available: Tensor | None) -> Tensor:
    # What stands in for an absent field may be anything, also NaN, whose gradient no mask behind it would stop.
    return teacher if available is None else torch.where(available.view(-1, 1, 1, 1, 1), teacher, student.detach())


def _mean(values: Tensor, available: Tensor | None) -> Tensor:
    return (values if available is None else values * available).mean()
