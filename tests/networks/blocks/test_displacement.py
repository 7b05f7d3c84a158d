"""Arithmetic of fields: composition, inversion, resampling, Jacobian."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medpipe.networks.blocks.displacement import (
    affine_field,
    compose,
    compose_affine,
    invert,
    jacobian_determinant,
    resample_field,
)
from medpipe.networks.blocks.warp import warp

SHAPE = (24, 20, 28)


def waves(channels: int, shape: tuple[int, ...], seed: int) -> Tensor:
    """(1, channels, *shape): sums of waves as long as the grid, so that linear interpolation loses little."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, n) for n in shape], indexing="ij"))
    frequencies = torch.randn(channels, 4, 3, generator=generator) * 2
    phases = torch.rand(channels, 4, 1, 1, 1, generator=generator) * 6.3
    return torch.sin(torch.einsum("cwa,axyz->cwxyz", frequencies, places) + phases).mean(dim=1)[None]


def smooth_field(*shape: int, size: float = 1.0, seed: int = 0) -> Tensor:
    return 3 * size * waves(3, shape, seed)


def smooth_volume(*shape: int) -> Tensor:
    return waves(1, shape, 9)


def shift(*by: int) -> Tensor:
    return torch.tensor(by, dtype=torch.float32).view(1, 3, 1, 1, 1).expand(1, 3, *SHAPE)


def random_affine(seed: int, batch: int = 2, size: float = 0.1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, 3, generator=generator) * size, torch.randn(batch, 3, generator=generator)


def test_warping_by_the_composed_field_equals_warping_twice() -> None:
    image, first, then = smooth_volume(*SHAPE), smooth_field(*SHAPE), smooth_field(*SHAPE, seed=1)
    twice = warp(warp(image, first), then)
    once = warp(image, compose(first, then))
    wrong_order = warp(image, compose(then, first))
    inside = (..., slice(4, -4), slice(4, -4), slice(4, -4))
    # What remains is the second interpolation's smoothing.
    assert (once - twice)[inside].norm() < 0.1 * (wrong_order - twice)[inside].norm()


def test_integer_shifts_compose_exactly() -> None:
    composed = compose(shift(1, 0, -2), shift(0, 3, 1))
    assert torch.allclose(composed, shift(1, 3, -1), atol=1e-6)


def test_zero_is_neutral_on_both_sides() -> None:
    field = smooth_field(16, 16, 16)
    assert torch.equal(compose(field, torch.zeros_like(field)), field)
    assert torch.equal(compose(torch.zeros_like(field), field), field)


def test_composition_is_the_formula_point_by_point() -> None:
    first, then = smooth_field(8, 9, 10), smooth_field(8, 9, 10, seed=1)
    point = (3, 4, 5)
    v = then[0, :, 3, 4, 5]
    place = torch.tensor(point) + v
    low = place.floor().long()
    value = torch.zeros(3)
    for corner in torch.cartesian_prod(*[torch.tensor([0, 1])] * 3):
        weight = torch.where(corner == 1, place - low, 1 - (place - low)).prod()
        value += weight * first[(0, slice(None), *(low + corner))]
    assert torch.allclose(compose(first, then)[0, :, 3, 4, 5], v + value, atol=1e-5)


def test_an_affine_field_is_w_times_the_distance_from_the_centre_plus_b() -> None:
    weight, bias = random_affine(0)
    field = affine_field(weight, bias, SHAPE)
    x = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in SHAPE], indexing="ij"))
    expected = np.einsum("bij,jxyz->bixyz", weight.double().numpy(), x) + bias.double().numpy()[:, :, None, None, None]
    assert np.allclose(field.numpy(), expected, atol=1e-5)


def test_the_affine_shortcut_equals_the_general_composition_inside() -> None:
    weight, bias = random_affine(1, batch=1, size=0.05)
    first, then = affine_field(weight, bias, SHAPE), smooth_field(*SHAPE)
    inside = (..., slice(4, -4), slice(4, -4), slice(4, -4))
    assert torch.allclose(compose_affine(weight, first, then)[inside], compose(first, then)[inside], atol=1e-4)


@pytest.mark.parametrize("size", [0.5, 1.0])
def test_a_field_and_its_inverse_cancel(size: float) -> None:
    field = smooth_field(32, 32, 32, size=size)
    inverse, residual = invert(field)
    assert residual.shape == (1,)
    assert residual.item() < 1e-3
    inside = (..., slice(4, -4), slice(4, -4), slice(4, -4))
    assert compose(field, inverse)[inside].abs().max() < 0.01
    assert compose(inverse, field)[inside].abs().max() < 0.1


def test_the_inverse_of_a_shift_is_the_shift_back() -> None:
    inverse, residual = invert(shift(2, -1, 0))
    assert torch.allclose(inverse, shift(-2, 1, 0))
    assert residual.item() == 0


def test_a_folding_field_has_no_inverse_and_the_residual_says_so() -> None:
    field = torch.zeros(1, 3, 32, 8, 8)
    field[:, 0] = 4 * torch.sin(torch.arange(32) * 2 * torch.pi / 12)[:, None, None]
    assert jacobian_determinant(field).min() < 0
    assert invert(field)[1].item() > 0.5


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("shape", [(48, 40, 56), (12, 10, 14), (30, 31, 17)])
def test_a_resampled_affine_field_is_the_same_map(align_corners: bool, shape: tuple[int, int, int]) -> None:
    weight, bias = random_affine(2, batch=1)
    field = resample_field(affine_field(weight, bias, SHAPE), shape, align_corners=align_corners)
    scale = torch.tensor([(n - 1) / (o - 1) if align_corners else n / o for n, o in zip(shape, SHAPE, strict=True)])
    # In voxels of the new grid W becomes S W S^-1 and b becomes S b; both conventions keep the centre.
    expected = affine_field(scale[:, None] * weight / scale, bias * scale, shape)
    inside = (..., slice(3, -3), slice(3, -3), slice(3, -3))
    assert torch.allclose(field[inside], expected[inside], atol=1e-4)


def test_resampling_to_the_same_size_changes_nothing() -> None:
    field = smooth_field(*SHAPE)
    assert torch.equal(resample_field(field, SHAPE, align_corners=False), field)


def test_the_two_conventions_scale_differently() -> None:
    field = torch.ones(1, 3, 8, 8, 8)
    assert torch.allclose(resample_field(field, (16, 16, 16), align_corners=False), torch.tensor(2.0))
    assert torch.allclose(resample_field(field, (16, 16, 16), align_corners=True), torch.tensor(15 / 7))


@given(st.integers(0, 2**31 - 1))
@settings(max_examples=20, deadline=None)
def test_the_jacobian_determinant_of_an_affine_field_is_that_of_its_matrix(seed: int) -> None:
    weight, bias = random_affine(seed, size=0.5)
    determinant = jacobian_determinant(affine_field(weight, bias, (5, 6, 7)))
    assert determinant.shape == (2, 4, 5, 6)
    expected = torch.linalg.det(torch.eye(3) + weight)[:, None, None, None]
    assert torch.allclose(determinant, expected.expand_as(determinant), atol=1e-3)


def test_a_reflection_folds_everywhere() -> None:
    weight = torch.diag(torch.tensor([-2.0, 0.0, 0.0]))[None]
    assert torch.allclose(jacobian_determinant(affine_field(weight, torch.zeros(1, 3), (4, 4, 4))), torch.tensor(-1.0))


def test_the_jacobian_uses_forward_differences() -> None:
    field = torch.zeros(1, 3, 4, 3, 3)
    field[:, 0, 2:] = 0.5
    assert jacobian_determinant(field)[0, :, 0, 0].tolist() == [1.0, 1.5, 1.0]
