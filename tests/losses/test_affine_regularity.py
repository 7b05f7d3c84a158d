"""Losses of affine matrices: limits by hand, and eigenvalues in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from medpipe.losses.affine_regularity import AffineDeterminantLoss, AffineOrthogonalityLoss

EPSILON = 1e-5


def weights(seed: int, batch: int = 3) -> torch.Tensor:
    return torch.randn(batch, 3, 3, generator=torch.Generator().manual_seed(seed)) * 0.2


@given(st.integers(0, 2**31 - 1))
@settings(max_examples=30, deadline=None)
def test_both_follow_their_formulas(seed: int) -> None:
    weight = weights(seed)
    determinant, orthogonality = [], []
    for matrix in np.eye(3) + weight.double().numpy():
        determinant.append(0.5 * (np.linalg.det(matrix) - 1) ** 2)
        stretch = np.linalg.eigvalsh(matrix.T @ matrix) + EPSILON
        orthogonality.append(stretch.sum() + (1 + EPSILON) ** 2 * (1 / stretch).sum() - 6 * (1 + EPSILON))
    assert AffineDeterminantLoss()(weight).item() == pytest.approx(np.mean(determinant), rel=1e-4, abs=1e-6)
    assert AffineOrthogonalityLoss()(weight).item() == pytest.approx(np.mean(orthogonality), rel=1e-3, abs=1e-5)


def test_a_rotation_costs_nothing() -> None:
    matrix = torch.from_numpy(Rotation.from_euler("xyz", [10, 50, -130], degrees=True).as_matrix())[None]
    assert AffineDeterminantLoss()(matrix - torch.eye(3)).item() == pytest.approx(0, abs=1e-12)
    assert AffineOrthogonalityLoss()(matrix - torch.eye(3)).item() == pytest.approx(0, abs=1e-9)


def test_a_doubling_costs_24_5_and_6_75() -> None:
    weight = torch.eye(3)[None]
    assert AffineDeterminantLoss()(weight).item() == pytest.approx(24.5)
    assert AffineOrthogonalityLoss()(weight).item() == pytest.approx(6.75, abs=1e-3)


def test_a_singular_matrix_has_a_finite_loss_and_gradient() -> None:
    weight = -torch.eye(3)[None].double()
    weight[0, 0, 0] = 0
    weight.requires_grad_()
    loss = AffineOrthogonalityLoss()(weight) + AffineDeterminantLoss()(weight)
    loss.backward()
    assert loss.isfinite()
    assert weight.grad.isfinite().all()


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(B, 3, 3\), found \(3, 3\)"):
        AffineDeterminantLoss()(torch.eye(3))
