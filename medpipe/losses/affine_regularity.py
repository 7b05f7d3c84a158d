"""Keeps an affine map near a rotation: losses of the volume tweening network.

S Zhao et al., IEEE J-BHI 2019, https://arxiv.org/abs/1902.05020.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["AffineDeterminantLoss", "AffineOrthogonalityLoss"]


class AffineDeterminantLoss(nn.Module):
    """``1/2 (det A - 1)^2``, averaged over the batch: volume is kept."""

    def forward(self, weight: Tensor) -> Tensor:
        """The loss of (B, 3, 3) matrices W, where A = I + W; a scalar."""
        return (_determinant(_matrix(weight)) - 1).square().mean() / 2


class AffineOrthogonalityLoss(nn.Module):
    """``sum_i (l_i + e) + (1 + e)^2 sum_i 1 / (l_i + e) - 6 (1 + e)``, averaged over the batch.

    The l_i are the eigenvalues of A^T A: squared stretches. The loss is 0 for orthogonal A and positive otherwise. It
    is computed from the elementary symmetric polynomials of the eigenvalues, without decomposition.

    Args:
        epsilon: The e above; keeps the loss of a singular A finite.
    """

    def __init__(self, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, weight: Tensor) -> Tensor:
        """The loss of (B, 3, 3) matrices W, where A = I + W; a scalar."""
        matrix, one = _matrix(weight), 1 + self.epsilon
        gram = matrix.mT @ matrix + self.epsilon * torch.eye(3, dtype=matrix.dtype, device=matrix.device)
        trace = gram.diagonal(dim1=1, dim2=2).sum(dim=1)
        second = (trace.square() - (gram @ gram).diagonal(dim1=1, dim2=2).sum(dim=1)) / 2
        return (trace + one**2 * second / _determinant(gram) - 6 * one).mean()


def _matrix(weight: Tensor) -> Tensor:
    if weight.ndim != 3 or weight.shape[1:] != (3, 3):
        raise ValueError(f"expected matrices (B, 3, 3), found {tuple(weight.shape)}")
    weight = weight.to(torch.promote_types(weight.dtype, torch.float32))
    return weight + torch.eye(3, dtype=weight.dtype, device=weight.device)


def _determinant(matrix: Tensor) -> Tensor:
    # By cross product: torch.linalg.det has no gradient of second order where a matrix is singular.
    return (matrix[:, 0] * torch.linalg.cross(matrix[:, 1], matrix[:, 2])).sum(dim=1)
