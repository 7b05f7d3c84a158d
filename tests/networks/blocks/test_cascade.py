"""Cascades: composition without re-warping, order of stages, gradients, memory of stages."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from medpipe.networks.blocks.cascade import Affine, Cascade
from medpipe.networks.blocks.displacement import affine_field, compose, compose_affine, resample_field
from medpipe.networks.blocks.fused_gradients import differentiable_warp
from medpipe.networks.blocks.warp import warp

SIZE = 32


def waves(channels: int, shape: tuple[int, ...], seed: int) -> Tensor:
    """(1, channels, *shape): sums of waves as long as the grid, so that linear interpolation loses little."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, n) for n in shape], indexing="ij"))
    frequencies = torch.randn(channels, 4, 3, generator=generator) * 2
    phases = torch.rand(channels, 4, 1, 1, 1, generator=generator) * 6.3
    return torch.sin(torch.einsum("cwa,axyz->cwxyz", frequencies, places) + phases).mean(dim=1)[None]


class Constant(nn.Module):
    """A dense network that always predicts one smooth field, and remembers the images it saw."""

    def __init__(self, seed: int, size: int = SIZE) -> None:
        super().__init__()
        self.field = nn.Parameter(4 * waves(3, (size,) * 3, seed))
        self.seen: list[Tensor] = []

    def forward(self, fixed: Tensor, moving: Tensor) -> Tensor:
        self.seen.append(moving)
        return self.field.expand(fixed.shape[0], -1, -1, -1, -1)


class ConstantAffine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.weight = nn.Parameter(torch.randn(1, 3, 3, generator=generator) * 0.05)
        self.shift = nn.Parameter(torch.randn(1, 3, generator=generator))

    def forward(self, fixed: Tensor, moving: Tensor) -> Affine:
        return Affine(self.weight.expand(len(fixed), -1, -1), self.shift.expand(len(fixed), -1))


class Brightness(nn.Module):
    """A dense network whose field depends on the image, so that gradients pass through warps."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))

    def forward(self, fixed: Tensor, moving: Tensor) -> Tensor:
        return (self.factor * (moving + 0.1 * fixed)).expand(-1, 3, -1, -1, -1)


def pair(batch: int = 2) -> tuple[Tensor, Tensor]:
    both = waves(2 * batch, (SIZE,) * 3, seed=7)[0, :, None]
    return both[:batch], both[batch:]


def test_the_aggregate_is_composed_by_hand_and_the_original_image_is_warped_once() -> None:
    fixed, moving = pair()
    affine, one, two = ConstantAffine(), Constant(0), Constant(1)
    result = Cascade([one, two], affine)(fixed, moving)
    u0 = affine_field(affine.weight, affine.shift, (SIZE,) * 3)
    u1 = compose_affine(affine.weight, u0, one.field)
    u2 = compose(u1, two.field)
    for found, expected in zip(result.fields, (u0, u1, u2), strict=True):
        assert torch.allclose(found, expected.expand_as(found), atol=1e-5)
    for image, field in zip(result.images, result.fields, strict=True):
        assert torch.equal(image, differentiable_warp(moving, field))
        torch.testing.assert_close(image, warp(moving, field), rtol=0, atol=1e-5)
    assert torch.equal(result.field, result.fields[-1])
    assert torch.equal(result.warped, result.images[-1])
    assert [len(network.seen) for network in (one, two)] == [1, 1]
    assert torch.equal(two.seen[0], result.images[1])
    assert torch.equal(result.stage_fields[1], two.field.expand(2, -1, -1, -1, -1))


def test_the_aggregate_agrees_with_warping_step_by_step() -> None:
    fixed, moving = pair(1)
    networks = [Constant(k) for k in range(3)]
    result = Cascade(networks)(fixed, moving)
    image = moving
    for network in networks:
        image = warp(image, network.field)
    inside = (..., *[slice(6, -6)] * 3)
    # What remains is the smoothing of three interpolations; summed fields are no composition.
    summed = warp(moving, sum(network.field for network in networks))
    assert (image - result.warped)[inside].norm() < 0.1 * (image - summed)[inside].norm()


def test_a_network_that_occurs_twice_has_one_set_of_weights() -> None:
    one, two = Constant(0), Constant(1)
    net = Cascade([one, one, two, one])
    assert len(list(net.parameters())) == 2
    net(*pair())
    assert [len(network.seen) for network in (one, two)] == [3, 1]


def test_an_affine_network_alone_is_a_cascade() -> None:
    fixed, moving = pair()
    result = Cascade([], ConstantAffine())(fixed, moving)
    assert result.stage_fields == ()
    torch.testing.assert_close(result.warped, warp(moving, result.field), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="at least one dense network"):
        Cascade([])


def test_half_resolution_comes_close_to_the_full_composition() -> None:
    fixed, moving = pair()
    stages = [Constant(0), Constant(1)]
    full = Cascade(stages, ConstantAffine())(fixed, moving)
    half = Cascade(stages, ConstantAffine(), half_resolution=True)(fixed, moving)
    assert half.field.shape == full.field.shape
    assert half.stage_fields[0].shape == (2, 3, *[SIZE // 2] * 3)
    inside = (..., *[slice(4, -4)] * 3)
    # Each of the two stages may lose what bringing a field to the half grid and back loses.
    coarse = resample_field(full.field, (SIZE // 2,) * 3, align_corners=False)
    lost = resample_field(coarse, (SIZE,) * 3, align_corners=False) - full.field
    assert (half.field - full.field)[inside].norm() < 2 * lost[inside].norm() < 0.1 * full.field[inside].norm()
    assert torch.equal(half.fields[0], full.fields[0])


def test_a_half_size_field_counts_in_its_own_voxels() -> None:
    fixed, moving = pair()
    stage = Constant(0, size=SIZE // 2)
    nn.init.ones_(stage.field)
    for half in (False, True):
        assert torch.allclose(Cascade([stage], half_resolution=half)(fixed, moving).field, torch.tensor(2.0))


@pytest.mark.parametrize("flows", [True, False])
def test_gradients_reach_the_first_stage_through_the_images_unless_stopped(flows: bool) -> None:
    fixed, moving = pair()
    net = Cascade([Brightness(), Brightness()], ConstantAffine(), warp_gradient=flows)
    result = net(fixed, moving)
    # The second stage's own field depends on the first stage through the warped image alone.
    result.stage_fields[1].sum().backward()
    assert (net.dense[0].factor.grad is not None) is flows
    assert (net.affine.weight.grad is not None) is flows


def test_checkpointing_changes_no_gradient() -> None:
    fixed, moving = pair()
    gradients = []
    for checkpointing in (False, True):
        net = Cascade([Brightness(), Brightness()], ConstantAffine(), checkpointing=checkpointing)
        net(fixed, moving).warped.square().sum().backward()
        gradients.append([p.grad for p in net.parameters()])
    assert all(torch.allclose(a, b) for a, b in zip(*gradients, strict=True))


def test_without_stages_only_the_result_is_kept() -> None:
    net = Cascade([Constant(0)], ConstantAffine())
    long, short = net(*pair()), net(*pair(), stages=False)
    assert torch.equal(long.field, short.field)
    assert torch.equal(long.warped, short.warped)
    assert (short.stage_fields, short.fields, short.images) == ((), (), ())
    assert short.affine is not None


def test_metatensors_are_taken_as_tensors() -> None:
    fixed, moving = pair()
    net = Cascade([Constant(0)])
    result = net(MetaTensor(fixed), MetaTensor(moving))
    assert type(result.warped) is Tensor
    assert torch.equal(result.warped, net(fixed, moving).warped)


@pytest.mark.parametrize("shapes", [((1, 1, 8, 8, 8), (1, 1, 8, 8, 9)), ((1, 2, 8, 8, 8),) * 2, ((1, 8, 8, 8),) * 2])
def test_other_shapes_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"\(B, 1, X, Y, Z\) of one shape, found"):
        Cascade([Constant(0)])(torch.zeros(shapes[0]), torch.zeros(shapes[1]))
