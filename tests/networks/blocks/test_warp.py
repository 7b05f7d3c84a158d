"""Warping: identity, shifts, scipy and MONAI as oracles, labels, precision, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.networks.blocks import Warp
from scipy.ndimage import map_coordinates
from torch import Tensor

from medpipe.networks.blocks.warp import sample_positions, warp


def volume(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def smooth_field(*shape: int, size: float = 2.0, seed: int = 1) -> Tensor:
    coarse = torch.randn(1, 3, 4, 4, 4, generator=torch.Generator().manual_seed(seed)) * size
    return F.interpolate(coarse, shape, mode="trilinear", align_corners=True)


def with_scipy(moving: Tensor, field: Tensor, order: int = 1, mode: str = "nearest") -> np.ndarray:
    positions = np.indices(field.shape[2:]) + field[0].double().numpy()
    return np.stack(
        [map_coordinates(channel.double().numpy(), positions, order=order, mode=mode) for channel in moving[0]]
    )


@pytest.mark.parametrize("shape", [(16, 8, 32), (64, 64, 64)])
def test_a_zero_field_gives_the_volume_back_exactly(shape: tuple[int, int, int]) -> None:
    moving = volume(2, 3, *shape)
    assert torch.equal(warp(moving, torch.zeros(2, 3, *shape)), moving)


def test_a_zero_field_gives_sizes_that_are_no_powers_of_two_back_within_rounding() -> None:
    moving = volume(1, 1, 47, 100, 61)
    assert torch.allclose(warp(moving, torch.zeros(1, 3, 47, 100, 61)), moving, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("axis", "shift"), [(0, 3), (1, -2), (2, 1)])
def test_an_integer_shift_moves_the_volume_along_its_axis(axis: int, shift: int) -> None:
    moving = volume(1, 1, 16, 16, 16)
    field = torch.zeros(1, 3, 16, 16, 16)
    field[:, axis] = shift
    expected = moving.roll(-shift, dims=axis + 2)
    inside = slice(max(0, -shift), 16 - max(0, shift))
    at = [slice(None)] * 5
    at[axis + 2] = inside
    assert torch.allclose(warp(moving, field)[tuple(at)], expected[tuple(at)], atol=1e-6)


@given(st.tuples(*[st.integers(2, 12)] * 3), st.integers(0, 2**31 - 1), st.floats(0.1, 8))
@settings(max_examples=30, deadline=None)
def test_it_is_linear_interpolation_with_the_border_repeated(shape: tuple[int, ...], seed: int, size: float) -> None:
    moving = volume(1, 2, *shape, seed=seed)
    field = torch.randn(1, 3, *shape, generator=torch.Generator().manual_seed(seed)) * size
    assert np.allclose(warp(moving, field)[0].numpy(), with_scipy(moving, field), atol=1e-5)


def test_it_equals_monais_warp() -> None:
    moving, field = volume(2, 1, 20, 24, 28), smooth_field(20, 24, 28).repeat(2, 1, 1, 1, 1)
    assert torch.allclose(warp(moving, field), Warp("bilinear", "border")(moving, field), atol=1e-5)
    assert torch.allclose(warp(moving, field, padding="zeros"), Warp("bilinear", "zeros")(moving, field), atol=1e-5)


def test_the_field_may_have_another_size_than_the_volume() -> None:
    moving, field = volume(1, 1, 9, 20, 12), smooth_field(16, 10, 7)
    assert np.allclose(warp(moving, field)[0].numpy(), with_scipy(moving, field), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64, torch.float32, torch.bool])
def test_labels_keep_their_type_and_values(dtype: torch.dtype) -> None:
    labels = (volume(1, 1, 12, 14, 16) * 200).to(dtype)
    field = smooth_field(12, 14, 16, size=3)
    warped = warp(labels, field, mode="nearest")
    assert warped.dtype == dtype
    assert np.array_equal(warped[0].numpy(), with_scipy(labels, field, order=0).astype(warped.numpy().dtype))


def test_labels_outside_are_the_border_or_zero() -> None:
    labels = torch.full((1, 1, 4, 4, 4), 7, dtype=torch.uint8)
    field = torch.zeros(1, 3, 4, 4, 4)
    field[:, 0] = 2
    assert warp(labels, field, mode="nearest").unique().tolist() == [7]
    assert warp(labels, field, mode="nearest", padding="zeros")[0, 0, :, 0, 0].tolist() == [7, 7, 0, 0]


def test_large_labels_are_not_rounded() -> None:
    labels = torch.tensor([2**24 + 1, 2**24 + 3]).view(1, 1, 2, 1, 1)
    assert warp(labels, torch.zeros(1, 3, 2, 1, 1), mode="nearest").flatten().tolist() == [2**24 + 1, 2**24 + 3]


def test_positions_are_formed_in_float32_for_half_precision_fields() -> None:
    moving = volume(1, 1, 128, 4, 4)
    for dtype in (torch.bfloat16, torch.float16):
        assert torch.equal(warp(moving, torch.zeros(1, 3, 128, 4, 4, dtype=dtype)), moving)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(warp(moving, torch.zeros(1, 3, 128, 4, 4)), moving)


def test_gradients_of_volume_and_field_are_those_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    moving = torch.rand(1, 2, 4, 5, 6, dtype=torch.float64, generator=generator, requires_grad=True)
    # A quarter voxel away from the grid, where linear interpolation has a kink.
    field = (torch.rand(1, 3, 4, 5, 6, dtype=torch.float64, generator=generator) * 0.5 + 0.25).requires_grad_()
    assert torch.autograd.gradcheck(warp, (moving, field), fast_mode=True)


def test_positions_are_index_plus_displacement() -> None:
    positions = sample_positions(torch.full((1, 3, 2, 3, 4), 0.5, dtype=torch.bfloat16))
    assert positions.dtype == torch.float32
    assert positions[0, :, 1, 2, 3].tolist() == [1.5, 2.5, 3.5]


def test_an_exported_warp_gives_the_same() -> None:
    class Module(torch.nn.Module):
        def forward(self, moving: Tensor, field: Tensor) -> Tensor:
            return warp(moving, field)

    moving, field = volume(1, 1, 8, 8, 8), smooth_field(8, 8, 8)
    exported = torch.export.export(Module(), (moving, field)).module()
    assert torch.allclose(exported(moving, field), warp(moving, field), atol=1e-6)


def test_wrong_arguments_are_refused() -> None:
    moving, field = torch.zeros(1, 1, 4, 4, 4), torch.zeros(1, 3, 4, 4, 4)
    with pytest.raises(ValueError, match=r"unknown mode 'nearst'.*did you mean 'nearest'"):
        warp(moving, field, mode="nearst")
    with pytest.raises(ValueError, match=r"unknown padding 'reflection'"):
        warp(moving, field, padding="reflection")
    with pytest.raises(ValueError, match=r"\(B, 3, X, Y, Z\), found \(1, 2, 4, 4, 4\)"):
        warp(moving, field[:, :2])
    with pytest.raises(ValueError, match=r"\(1, C, X, Y, Z\), found \(2, 1, 4, 4, 4\)"):
        warp(moving.repeat(2, 1, 1, 1, 1), field)
