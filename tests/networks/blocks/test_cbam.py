"""CBAM against loops over its two gates."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from medpipe.networks.blocks import BlockAttention


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def slow_channels(image: Tensor, first: Tensor, second: Tensor) -> Tensor:
    flat = image.flatten(1)
    pooled = [flat.sum(dim=1) / flat.shape[1], torch.stack([max(row) for row in flat])]
    codes = [second @ (first @ vector).clamp(min=0) for vector in pooled]
    gate = [sigmoid(float(a + b)) for a, b in zip(*codes, strict=True)]
    return torch.stack([g * c for g, c in zip(gate, image, strict=True)])


def slow_positions(image: Tensor, kernel: Tensor, scale: float, shift: float) -> Tensor:
    channels, height, width = image.shape
    maps = torch.stack([image.sum(dim=0) / channels, image.amax(dim=0)])
    reach, y = kernel.shape[-1] // 2, torch.empty_like(image)
    for i in range(height):
        for j in range(width):
            code = 0.0
            for di in range(-reach, reach + 1):
                for dj in range(-reach, reach + 1):
                    if 0 <= i + di < height and 0 <= j + dj < width:
                        code += float(kernel[:, reach + di, reach + dj] @ maps[:, i + di, j + dj])
            y[:, i, j] = image[:, i, j] * sigmoid(code * scale + shift)
    return y


@torch.no_grad()
def test_equals_a_slow_loop_over_both_gates() -> None:
    torch.manual_seed(0)
    module = BlockAttention(8, reduction=2).double().eval()
    norm = module.spatial.conv.bn
    for parameter in module.parameters():
        parameter.normal_(std=0.5)
    norm.running_mean.fill_(0.3)
    norm.running_var.fill_(2.0)
    scale = float(norm.weight) / math.sqrt(2.0 + norm.eps)
    shift = float(norm.bias) - 0.3 * scale
    x = torch.randn(2, 8, 4, 9, dtype=torch.float64)
    for image, y in zip(x, module(x), strict=True):
        gated = slow_channels(image, module.channel.fc1.weight[:, :, 0, 0], module.channel.fc2.weight[:, :, 0, 0])
        expected = slow_positions(gated, module.spatial.conv.conv.weight[0], scale, shift)
        assert torch.allclose(y, expected, atol=1e-12)


def test_has_the_papers_sizes() -> None:
    module = BlockAttention(256)
    assert module.channel.fc1.weight.shape == (16, 256, 1, 1)
    assert module.channel.fc1.bias is None
    assert module.spatial.conv.conv.weight.shape == (1, 2, 7, 7)


def test_even_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match="odd, found 4"):
        BlockAttention(8, kernel_size=4)
