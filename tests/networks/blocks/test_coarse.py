from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from medpipe.networks.blocks.coarse import CoarseRegistration
from medpipe.networks.blocks.displacement import resample_field
from medpipe.networks.blocks.subpixel import optimize_for_inference
from medpipe.networks.blocks.warp import warp
from medpipe.networks.ldr import LDR


@pytest.fixture
def network() -> CoarseRegistration:
    torch.manual_seed(0)
    inner = LDR(32, n_cascades=2, channels=4, initial="none")
    for dense in inner.dense:
        nn.init.normal_(dense.flow.weight, std=0.05)
    return CoarseRegistration(inner).eval()


def test_it_is_the_cascade_on_averaged_images_with_its_field_doubled(network) -> None:
    fixed, moving = torch.rand(2, 1, 1, 64, 64, 64)
    with torch.no_grad():
        found = network(fixed, moving)
        inner = network.network(F.avg_pool3d(fixed, 2), F.avg_pool3d(moving, 2))
    assert torch.equal(found.field, resample_field(inner.field, (64, 64, 64), align_corners=False))
    assert torch.equal(found.warped, warp(moving, found.field))
    assert found.field.abs().max() > inner.field.abs().max() > 0.1


def test_a_constant_displacement_keeps_its_length_in_millimetres(network) -> None:
    class Shift(nn.Module):
        def forward(self, fixed, moving):
            return torch.ones(1, 3, *fixed.shape[2:])

    network.network.dense[0] = network.network.dense[1] = Shift()
    found = network(*torch.rand(2, 1, 1, 32, 32, 32))
    assert torch.equal(found.field, torch.full((1, 3, 32, 32, 32), 4.0))


def test_the_optimised_copy_gives_the_same(network) -> None:
    fixed, moving = torch.rand(2, 1, 1, 64, 64, 64)
    fast = optimize_for_inference(network)
    with torch.no_grad():
        plain, quick = network(fixed, moving), fast(fixed, moving)
    assert fast.network.fused
    assert torch.allclose(plain.field, quick.field, atol=2e-3)
    assert torch.allclose(plain.warped, quick.warped, atol=2e-3)


def test_images_of_odd_sizes_are_refused(network) -> None:
    with pytest.raises(ValueError, match="even sizes"):
        network(*torch.rand(2, 1, 1, 33, 32, 32))
