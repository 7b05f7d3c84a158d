"""The one-pass kernels give what the tensor operations give."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medpipe.networks.blocks.displacement import affine_field, compose, compose_affine, resample_field
from medpipe.networks.blocks.fused_warp import (
    compose_and_warp,
    halve,
    place_affine_and_warp,
    resample_and_warp,
    warp_alone,
)
from medpipe.networks.blocks.subpixel import optimize_for_inference
from medpipe.networks.blocks.warp import warp
from medpipe.networks.ldr import LDR

shapes = st.tuples(*[st.integers(1, 9)] * 3)
seeds = st.integers(0, 2**31 - 1)


def random(seed: int, *shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) * 2 for shape in shapes]


@given(seeds, shapes, shapes)
@settings(max_examples=30, deadline=None)
def test_it_warps_as_grid_sample_does(seed: int, shape: tuple[int, ...], moving_shape: tuple[int, ...]) -> None:
    moving, field = random(seed, (2, 2, *moving_shape), (2, 3, *shape))
    assert torch.allclose(warp_alone(moving, field), warp(moving, field), atol=1e-4)


@given(seeds, shapes)
@settings(max_examples=30, deadline=None)
def test_it_composes_as_the_formula_does(seed: int, shape: tuple[int, ...]) -> None:
    first, then, moving = random(seed, (2, 3, *shape), (2, 3, *shape), (2, 1, *shape))
    field, warped = compose_and_warp(first, then, moving)
    assert torch.allclose(field, compose(first, then), atol=1e-4)
    assert torch.allclose(warped, warp(moving, field), atol=1e-4)


@given(seeds, shapes)
@settings(max_examples=30, deadline=None)
def test_it_places_affine_fields_as_the_formula_does(seed: int, shape: tuple[int, ...]) -> None:
    weight, shift, then, moving = random(seed, (2, 3, 3), (2, 3), (2, 3, *shape), (2, 1, *shape))
    field, warped = place_affine_and_warp(weight, shift, then, moving)
    expected = compose_affine(weight, affine_field(weight, shift, shape), then)
    assert torch.allclose(field, expected, atol=1e-4)
    assert torch.allclose(warped, warp(moving, field), atol=1e-4)


@given(seeds, shapes, shapes)
@settings(max_examples=30, deadline=None)
def test_it_resamples_fields_as_interpolation_does(seed: int, coarse: tuple[int, ...], shape: tuple[int, ...]) -> None:
    field, moving = random(seed, (2, 3, *coarse), (2, 1, *shape))
    full, warped = resample_and_warp(field, shape, moving)
    assert torch.allclose(full, resample_field(field, shape, align_corners=False), atol=1e-4)
    assert torch.allclose(warped, warp(moving, full), atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    moving, field = random(0, (1, 1, 16, 8, 8), (1, 3, 16, 8, 8))
    before, expected = torch.get_num_threads(), warp_alone(moving, field)
    try:
        torch.set_num_threads(threads)
        assert torch.equal(warp_alone(moving, field), expected)
    finally:
        torch.set_num_threads(before)


def test_a_zero_field_gives_the_volume_back_exactly_at_any_size() -> None:
    (moving,) = random(0, (1, 1, 47, 10, 33))
    assert torch.equal(warp_alone(moving, torch.zeros(1, 3, 47, 10, 33)), moving)


@pytest.mark.parametrize("shape", [(1, 6, 7), (5, 1, 4), (4, 5, 1), (1, 1, 1)])
def test_an_axis_of_one_voxel_has_no_neighbours(shape: tuple[int, ...]) -> None:
    moving, field = torch.rand(1, 2, *shape), 3 * torch.randn(1, 3, *shape)
    torch.testing.assert_close(warp_alone(moving, field), warp(moving, field), rtol=0, atol=1e-5)


def test_positions_that_are_no_numbers_read_a_voxel_of_the_volume() -> None:
    moving, field = torch.rand(1, 1, 5, 6, 7), torch.zeros(1, 3, 5, 6, 7)
    field[0, :, 1, 2, 3] = torch.tensor([float("nan"), float("inf"), -float("inf")])
    warped = warp_alone(moving, field)
    assert warped[0, 0, 1, 2, 3] == moving[0, 0, 0, 5, 0]
    field[0, :, 1, 2, 3] = 0
    assert torch.equal(warp_alone(moving, field), moving)


@pytest.mark.parametrize("options", [{}, {"initial": "none"}, {"half_resolution": True}, {"initial": "ldr_shared"}])
def test_a_cascade_uses_them_only_in_its_optimised_copy_and_without_gradients(options, monkeypatch) -> None:
    torch.manual_seed(0)
    network = LDR(64, n_cascades=2, channels=4, affine_init="uniform_scaling", **options).eval()
    for dense in network.dense:
        torch.nn.init.normal_(dense.flow.weight, std=0.05)
    fixed, moving = torch.rand(2, 1, 1, 64, 64, 64)
    fast = optimize_for_inference(network)
    assert fast.fused
    assert not network.fused
    with torch.no_grad():
        plain, quick = network(fixed, moving), fast(fixed, moving)
    assert len(quick.fields) == len(plain.fields)
    for name in ("fields", "images", "stage_fields"):
        pairs = zip(getattr(plain, name), getattr(quick, name), strict=True)
        assert all(torch.allclose(a, b, atol=2e-3) for a, b in pairs)
    assert fast(fixed, moving.requires_grad_()).warped.requires_grad


@pytest.mark.parametrize("threads", [1, 2])
def test_halving_takes_the_mean_of_eight_voxels(threads: int) -> None:
    volume = torch.randn(2, 3, 6, 4, 10, generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        torch.testing.assert_close(halve(volume), torch.nn.functional.avg_pool3d(volume, 2), rtol=0, atol=1e-6)
    finally:
        torch.set_num_threads(before)
