"""Criss-cross attention against a loop over rows and columns."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from medpipe.networks.blocks import CrissCross


@torch.no_grad()
def slow_pass(image: Tensor, module: CrissCross) -> Tensor:
    _, height, width = image.shape
    y = torch.empty_like(image)

    def at(conv: nn.Conv2d, i: int, j: int) -> Tensor:
        return conv.weight[:, :, 0, 0] @ image[:, i, j] + conv.bias

    for i in range(height):
        for j in range(width):
            cross = {(i, other) for other in range(width)} | {(other, j) for other in range(height)}
            assert len(cross) == height + width - 1
            query = at(module.query, i, j)
            affinity = {place: math.exp(float(query @ at(module.key, *place))) for place in cross}
            mixed = sum(a * at(module.value, *place) for place, a in affinity.items())
            y[:, i, j] = module.gamma * mixed / sum(affinity.values()) + image[:, i, j]
    return y


@pytest.mark.parametrize(("height", "width"), [(3, 4), (1, 3), (3, 1), (1, 1)])
@pytest.mark.parametrize("recurrence", [1, 2])
def test_equals_a_slow_loop_over_rows_and_columns(height: int, width: int, recurrence: int) -> None:
    torch.manual_seed(0)
    module = CrissCross(8, reduction=4, recurrence=recurrence).double()
    nn.init.constant_(module.gamma, 0.7)
    x = torch.randn(2, 8, height, width, dtype=torch.float64)
    for image, y in zip(x, module(x), strict=True):
        expected = image
        for _ in range(recurrence):
            expected = slow_pass(expected, module)
        assert torch.allclose(y, expected, atol=1e-12)


@pytest.mark.parametrize(("recurrence", "reached"), [(1, False), (2, True)])
def test_the_opposite_corner_is_reached_in_two_passes(recurrence: int, reached: bool) -> None:
    module = CrissCross(8, recurrence=recurrence)
    nn.init.ones_(module.gamma)
    x = torch.randn(1, 8, 4, 4, requires_grad=True)
    module(x)[0, :, 0, 0].sum().backward()
    assert bool(x.grad[0, :, 3, 3].any()) is reached


def test_starts_as_identity() -> None:
    x = torch.randn(2, 8, 3, 3)
    assert torch.equal(CrissCross(8)(x), x)


def test_has_the_papers_sizes() -> None:
    expected = 2 * (64 * 8 + 8) + 64 * 64 + 64 + 1
    assert sum(p.numel() for p in CrissCross(64).parameters()) == expected


def test_no_pass_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, found 0"):
        CrissCross(8, recurrence=0)
