"""Similarity of volumes against formulas in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medpipe.losses.volume_similarity import PearsonLoss, volume_similarity


def volumes(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, 1, 6, 7, 8, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 2**31 - 1))
@settings(max_examples=20, deadline=None)
def test_it_is_one_minus_pearsons_correlation_per_pair(seed: int) -> None:
    a, b = volumes(seed)
    b = b + 0.5 * a
    each = []
    for x, y in zip(a.double().numpy(), b.double().numpy(), strict=True):
        covariance = ((x - x.mean()) * (y - y.mean())).mean()
        each.append(1 - covariance / np.sqrt((x.var() + 1e-6) * (y.var() + 1e-6)))
    assert PearsonLoss()(a, b).item() == pytest.approx(np.mean(each), abs=1e-5)
    assert 1 - each[0] == pytest.approx(np.corrcoef(a[0].flatten(), b[0].flatten())[0, 1], abs=1e-4)


@pytest.mark.parametrize(("factor", "offset"), [(0.3, 0.0), (1.0, 5.0), (2.5, -1.0)])
def test_brightness_and_contrast_do_not_matter(factor: float, offset: float) -> None:
    a, b = volumes()
    assert PearsonLoss()(factor * a + offset, b).item() == pytest.approx(PearsonLoss()(a, b).item(), abs=1e-4)


def test_equal_volumes_have_no_loss_and_inverted_ones_two() -> None:
    a = volumes()[0]
    assert PearsonLoss()(a, a).item() == pytest.approx(0, abs=1e-4)
    assert PearsonLoss()(1 - a, a).item() == pytest.approx(2, abs=1e-4)


def test_a_constant_image_has_correlation_zero_and_a_finite_gradient() -> None:
    constant = torch.full((1, 1, 4, 4, 4), 0.5, requires_grad=True)
    loss = PearsonLoss()(constant, torch.rand(1, 1, 4, 4, 4))
    assert loss.item() == pytest.approx(1)
    loss.backward()
    assert constant.grad.isfinite().all()


@pytest.mark.parametrize("name", ["pearson", "lncc", "mi"])
def test_every_similarity_prefers_the_image_itself(name: str) -> None:
    torch.manual_seed(0)
    fixed = torch.nn.functional.interpolate(torch.rand(1, 1, 4, 4, 4), (16, 16, 16), mode="trilinear")
    loss = volume_similarity(name)
    assert loss(fixed, fixed) < loss(fixed.roll(4, dims=2), fixed)


def test_wrong_names_and_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'lncc'"):
        volume_similarity("ncc")
    with pytest.raises(ValueError, match="of one shape"):
        PearsonLoss()(torch.zeros(1, 1, 4, 4, 4), torch.zeros(2, 1, 4, 4, 4))
