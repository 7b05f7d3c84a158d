"""Polyphase up-convolutions: equal to transposed ones, and networks made of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from medpipe.networks.blocks.subpixel import SubpixelUp3d, optimize_for_inference
from medpipe.networks.blocks.volume_layers import up_convolution
from medpipe.networks.ldr import LDR
from medpipe.networks.rcn import RCN


@given(st.integers(1, 5), st.integers(1, 4), st.tuples(*[st.integers(1, 6)] * 3), st.booleans())
@settings(max_examples=30, deadline=None)
def test_it_equals_the_transposed_convolution(inside: int, out: int, shape: tuple[int, ...], last: bool) -> None:
    torch.manual_seed(inside)
    source = up_convolution(inside, out)
    features = torch.randn(2, inside, *shape)
    if last:
        features = features.contiguous(memory_format=torch.channels_last_3d)
    assert torch.allclose(SubpixelUp3d(source)(features), source(features), atol=1e-5)


def test_other_transposed_convolutions_are_refused() -> None:
    with pytest.raises(ValueError, match="kernel 4, stride 2, padding 1"):
        SubpixelUp3d(nn.ConvTranspose3d(1, 1, 2, stride=2, bias=False))
    with pytest.raises(ValueError, match="kernel 4, stride 2, padding 1"):
        SubpixelUp3d(nn.ConvTranspose3d(1, 1, 4, stride=2, padding=1))


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {
        "rcn": RCN(64, n_cascades=2, channels=4),
        "ldr": LDR(64, n_cascades=2),
        "ldr code": LDR(64, n_cascades=1, variant="code", channels=4),
    }


@pytest.mark.parametrize("name", ["rcn", "ldr", "ldr code"])
def test_an_optimised_network_gives_the_same_field(name: str) -> None:
    net = networks()[name].eval()
    for module in net.modules():
        if isinstance(module, nn.ConvTranspose3d) and name != "rcn":
            nn.init.normal_(module.weight, std=0.05)
    fixed, moving = torch.rand(2, 1, 1, 64, 64, 64)
    names = list(net.state_dict())
    fast = optimize_for_inference(net)
    assert any(isinstance(module, SubpixelUp3d) for module in fast.modules())
    assert list(net.state_dict()) == names
    with torch.no_grad():
        plain, quick = net(fixed, moving), fast(fixed, moving)
        half = optimize_for_inference(net, dtype=torch.bfloat16)(fixed, moving)
    assert plain.field.abs().max() > 0.1
    assert (quick.field - plain.field).abs().max() < 1e-3
    assert torch.allclose(quick.warped, plain.warped, atol=1e-3)
    assert half.field.dtype == torch.float32
    # bfloat16 has eight bits: 0.4 % per rounding.
    assert (half.field - plain.field).norm() < 0.05 * plain.field.norm()
