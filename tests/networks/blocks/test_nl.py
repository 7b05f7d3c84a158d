"""The non-local block against a loop over pairs of positions."""

from __future__ import annotations

import math

import torch

from medpipe.networks.blocks import NonLocal


@torch.no_grad()
def test_equals_a_slow_loop_over_pairs_of_positions() -> None:
    torch.manual_seed(0)
    module = NonLocal(6).double().eval()
    torch.nn.init.normal_(module.norm.weight)
    torch.nn.init.normal_(module.norm.bias)
    torch.nn.init.normal_(module.t.bias)
    x = torch.randn(2, 6, 2, 3, dtype=torch.float64)
    y = module(x)

    def at(conv: torch.nn.Conv2d, position: torch.Tensor) -> torch.Tensor:
        return conv.weight[:, :, 0, 0] @ position + conv.bias

    scale = module.norm.weight / math.sqrt(1 + module.norm.eps)
    for b in range(2):
        positions = list(x[b].flatten(1).T)
        for n, here in enumerate(positions):
            affinity = [math.exp(float(at(module.t, here) @ at(module.p, there))) for there in positions]
            mixed = torch.stack([a * at(module.g, there) for a, there in zip(affinity, positions, strict=True)])
            response = mixed.sum(dim=0) / sum(affinity)
            expected = at(module.z, response) * scale + module.norm.bias + here
            assert torch.allclose(y[b].flatten(1)[:, n], expected, atol=1e-12)


def test_embeds_in_half_the_channels() -> None:
    assert {NonLocal(256).t.out_channels, NonLocal(256).g.out_channels} == {128}


def test_starts_as_identity() -> None:
    x = torch.randn(2, 8, 3, 3)
    assert torch.equal(NonLocal(8)(x), x)
