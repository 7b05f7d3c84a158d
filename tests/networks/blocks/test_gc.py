"""The global context block against a loop over positions."""

from __future__ import annotations

import math

import torch

from medpipe.networks.blocks import GlobalContext


@torch.no_grad()
def test_equals_a_slow_loop_over_positions() -> None:
    torch.manual_seed(0)
    module = GlobalContext(8, reduction=2).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    mlp = module.mlp_add
    x = torch.randn(2, 8, 2, 3, dtype=torch.float64)
    y = module(x)
    for b in range(2):
        positions = list(x[b].flatten(1).T)
        weights = [math.exp(float(module.conv_attn.weight[0, :, 0, 0] @ p)) for p in positions]
        context = sum(w * p for w, p in zip(weights, positions, strict=True)) / sum(weights)
        hidden = mlp.fc1.weight[:, :, 0, 0] @ context + mlp.fc1.bias
        mean = hidden.sum() / 4
        spread = ((hidden - mean).square().sum() / 4 + mlp.norm.eps).sqrt()
        hidden = ((hidden - mean) / spread * mlp.norm.weight + mlp.norm.bias).clamp(min=0)
        added = mlp.fc2.weight[:, :, 0, 0] @ hidden + mlp.fc2.bias
        assert torch.allclose(y[b], x[b] + added[:, None, None], atol=1e-12)


def test_hidden_width_is_a_sixteenth() -> None:
    assert GlobalContext(256).mlp_add.fc1.out_channels == 16


def test_adds_the_same_vector_everywhere_at_the_start() -> None:
    x = torch.randn(2, 16, 3, 4)
    added = GlobalContext(16)(x) - x
    assert torch.allclose(added, added[:, :, :1, :1].expand_as(added), atol=1e-6)
