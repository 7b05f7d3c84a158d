"""Squeeze-and-excitation against its formula."""

from __future__ import annotations

import pytest
import torch

from medpipe.networks.blocks import SqueezeExcite


@torch.no_grad()
def test_equals_matrix_products_per_image() -> None:
    module = SqueezeExcite(32, reduction=4).double()
    x = torch.randn(3, 32, 4, 5, dtype=torch.float64)
    first, second = module.fc1.weight[:, :, 0, 0], module.fc2.weight[:, :, 0, 0]
    for image, y in zip(x, module(x), strict=True):
        squeezed = torch.stack([channel.sum() / 20 for channel in image])
        hidden = (first @ squeezed + module.fc1.bias).clamp(min=0)
        gate = 1 / (1 + (-(second @ hidden + module.fc2.bias)).exp())
        assert torch.allclose(y, torch.stack([g * c for g, c in zip(gate, image, strict=True)]), atol=1e-12)


@pytest.mark.parametrize(("channels", "hidden"), [(256, 16), (352, 22), (64, 4), (8, 1)])
def test_hidden_width_is_a_sixteenth_without_rounding_to_eight(channels: int, hidden: int) -> None:
    assert SqueezeExcite(channels).fc1.out_channels == hidden
