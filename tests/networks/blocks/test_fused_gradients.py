"""Values and gradients of the fused operations against the tensor operations that they stand for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medpipe.networks.blocks.displacement import compose, jacobian_determinant
from medpipe.networks.blocks.fused_gradients import (
    differentiable_compose,
    differentiable_warp,
    folding_depth,
    roughness,
)
from medpipe.networks.blocks.warp import warp

shapes = st.tuples(*[st.integers(2, 7)] * 3)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def gradient(function, field: Tensor) -> tuple[Tensor, Tensor]:
    leaf = field.clone().requires_grad_()
    value = function(leaf)
    weights = draw(9, *value.shape) + 2.0 * (value.ndim == 0)
    (value * weights).sum().backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad


def assert_agree(ours, theirs, field: Tensor) -> None:
    """Against the tensor operations in double precision; sums of dozens of terms of some size cancel in single precision."""
    for one, two in zip(gradient(ours, field), gradient(theirs, field.double()), strict=True):
        torch.testing.assert_close(one.double(), two, rtol=1e-4, atol=5e-5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), shape=shapes, batch=st.integers(1, 2))
def test_the_composition_and_both_its_gradients_are_those_of_grid_sample(seed, shape, batch) -> None:
    first, then = (2 * draw(seed + n, batch, 3, *shape) for n in range(2))
    assert_agree(lambda u: differentiable_compose(u, then), lambda u: compose(u, then.double()), first)
    assert_agree(lambda u: differentiable_compose(first, u), lambda u: compose(first.double(), u), then)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), shape=shapes, moving_shape=shapes, batch=st.integers(1, 2))
def test_the_warp_and_its_gradient_are_those_of_grid_sample(seed, shape, moving_shape, batch) -> None:
    moving, field = draw(seed, batch, 1, *moving_shape), 2 * draw(seed + 1, batch, 3, *shape)
    assert_agree(lambda u: differentiable_warp(moving, u), lambda u: warp(moving.double(), u), field)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), shape=shapes, batch=st.integers(1, 2))
def test_roughness_is_half_the_mean_square_of_differences(seed, shape, batch) -> None:
    def slow(field: Tensor) -> Tensor:
        return sum(field.diff(dim=axis).square().sum() for axis in (2, 3, 4)) / (2 * field.numel())

    assert_agree(roughness, slow, draw(seed, batch, 3, *shape))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), shape=shapes, batch=st.integers(1, 2), least=st.sampled_from([0.0, 0.1, 1.0]))
def test_folding_depth_is_what_determinants_lack(seed, shape, batch, least) -> None:
    field = 0.6 * draw(seed, batch, 3, *shape)
    assert_agree(lambda u: folding_depth(u, least), lambda u: F.relu(least - jacobian_determinant(u)).mean(), field)


def test_a_field_that_does_not_fold_has_no_depth_and_no_gradient() -> None:
    value, slope = gradient(lambda u: folding_depth(u, 0.1), torch.zeros(1, 3, 4, 5, 6))
    assert value == 0
    assert not slope.any()


@pytest.mark.parametrize("dtype", [torch.float64])
def test_other_types_take_the_tensor_operations(dtype: torch.dtype) -> None:
    moving, field = draw(0, 1, 1, 4, 5, 6).to(dtype), draw(1, 1, 3, 4, 5, 6).to(dtype)
    assert torch.autograd.gradcheck(lambda u: differentiable_warp(moving, u).sum(), field.clone().requires_grad_())
    other = draw(2, 1, 3, 4, 5, 6).to(dtype)
    assert torch.autograd.gradcheck(lambda u: differentiable_compose(other, u).sum(), field.clone().requires_grad_())
    assert torch.autograd.gradcheck(roughness, field.clone().requires_grad_())
    assert torch.autograd.gradcheck(lambda u: folding_depth(u, 0.5), field.clone().requires_grad_())


def test_a_field_at_rest_has_the_same_gradient_at_the_border_too() -> None:
    moving = draw(3, 2, 1, 5, 6, 7)
    assert_agree(
        lambda u: differentiable_warp(moving, u), lambda u: warp(moving.double(), u), torch.zeros(2, 3, 5, 6, 7)
    )
    first = draw(4, 2, 3, 5, 6, 7)
    still = torch.zeros(2, 3, 5, 6, 7)
    assert_agree(lambda u: differentiable_compose(first, u), lambda u: compose(first.double(), u), still)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a volume"):
        differentiable_warp(torch.zeros(2, 1, 4, 4, 4), torch.zeros(1, 3, 4, 4, 4))
    with pytest.raises(ValueError, match="expected a volume"):
        differentiable_compose(torch.zeros(2, 3, 4, 4, 4), torch.zeros(1, 3, 4, 4, 4))
    with pytest.raises(ValueError, match="two voxels and more"):
        folding_depth(torch.zeros(1, 3, 1, 4, 4), 0.1)


def test_a_second_derivative_is_refused_rather_than_wrong() -> None:
    field = draw(5, 1, 3, 4, 4, 4).requires_grad_()
    (slope,) = torch.autograd.grad(roughness(field) * field.sum(), field, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.square().sum().backward()
