"""Style-based recalibration against a loop over images and channels."""

from __future__ import annotations

import math

import torch

from medpipe.networks.blocks import StyleRecalibration


@torch.no_grad()
def test_equals_a_slow_loop_in_evaluation() -> None:
    torch.manual_seed(0)
    module = StyleRecalibration(4).double().eval()
    torch.nn.init.normal_(module.weight)
    torch.nn.init.normal_(module.norm.weight)
    torch.nn.init.normal_(module.norm.bias)
    module.norm.running_mean.copy_(torch.randn(4))
    module.norm.running_var.copy_(torch.rand(4) + 0.5)
    x = torch.randn(2, 4, 3, 2, dtype=torch.float64)
    y = module(x)
    for b in range(2):
        for c in range(4):
            values = x[b, c].flatten().tolist()
            mean = sum(values) / 6
            deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / 6 + 1e-5)
            style = float(module.weight[c, 0]) * mean + float(module.weight[c, 1]) * deviation
            scaled = (style - float(module.norm.running_mean[c])) / math.sqrt(
                float(module.norm.running_var[c]) + module.norm.eps
            )
            code = scaled * float(module.norm.weight[c]) + float(module.norm.bias[c])
            expected = x[b, c] / (1 + math.exp(-code))
            assert torch.allclose(y[b, c], expected, atol=1e-12)


def test_in_training_the_styles_are_normalised_over_the_batch() -> None:
    module = StyleRecalibration(2)
    torch.nn.init.ones_(module.weight)
    x = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1).expand(2, 2, 4, 4).contiguous()
    # Constant images: the styles are 1 + s and 3 + s, after batch norm -1 and +1 but for its eps.
    expected = torch.sigmoid(torch.tensor([-1.0, 1.0])).view(2, 1, 1, 1) * x
    assert torch.allclose(module(x), expected, atol=1e-4)


def test_starts_by_halving_its_input() -> None:
    x = torch.randn(2, 4, 3, 3)
    assert torch.allclose(StyleRecalibration(4)(x), x / 2)


def test_has_four_numbers_per_channel() -> None:
    assert sum(p.numel() for p in StyleRecalibration(64).parameters()) == 4 * 64


def test_a_single_position_is_finite_with_gradient() -> None:
    module = StyleRecalibration(4)
    torch.nn.init.ones_(module.weight)
    x = torch.randn(2, 4, 1, 1, requires_grad=True)
    module(x).sum().backward()
    assert x.grad.isfinite().all()
