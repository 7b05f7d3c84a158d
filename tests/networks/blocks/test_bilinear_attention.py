"""Bilinear attention against loops over its formula, and what follows from the formula."""

import pytest
import torch
from torch import Tensor

from medpipe.networks.blocks.bilinear_attention import BilinearAttention, BilinearAttentionNetwork, BilinearPooling


def network(glimpses: int = 2) -> BilinearAttentionNetwork:
    torch.manual_seed(0)
    return BilinearAttentionNetwork(6, 5, glimpses=glimpses).double().eval()


def inputs(regions: int = 4, words: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    draw = {"dtype": torch.float64, "generator": generator}
    return torch.randn(2, regions, 6, **draw), torch.randn(2, words, 5, **draw)


def test_maps_equal_loops_over_the_formula_and_sum_to_1() -> None:
    torch.manual_seed(0)
    net = BilinearAttention(6, 5, glimpses=3).double().eval()
    regions, states = inputs()
    maps = net(regions, None, states)
    a, b = net.regions(regions), net.words(states)
    assert a.shape[-1] == 15
    for glimpse in range(3):
        for k in range(4):
            for t in range(3):
                score = (net.maps[0, glimpse, 0] * a[1, k] * b[1, t]).sum() + net.bias[0, glimpse, 0, 0]
                assert torch.allclose(net.logits(regions, states)[1, glimpse, k, t], score)
    assert torch.allclose(maps.sum(dim=(2, 3)), torch.ones(2, 3, dtype=torch.float64))
    assert net.parametrizations.maps.original0.shape == ()


def test_pooling_equals_loops_over_the_formula() -> None:
    torch.manual_seed(0)
    net, (regions, states) = BilinearPooling(6, 5).double().eval(), inputs()
    shares = torch.rand(2, 4, 3, dtype=torch.float64)
    v, q = net.regions(regions), net.words(states)
    expected = sum(shares[0, k, t] * v[0, k] * q[0, t] for k in range(4) for t in range(3))
    assert torch.allclose(net(regions, states, shares)[0], expected)


def test_each_glimpse_adds_to_every_word_what_it_pooled_from_the_words_before_it() -> None:
    net, (regions, states) = network(), inputs()
    maps = net.attention(regions, None, states)
    first = states + net.projections[0](net.pooling[0](regions, states, maps[:, 0]))[:, None]
    second = first + net.projections[1](net.pooling[1](regions, first, maps[:, 1]))[:, None]
    assert torch.allclose(net(regions, None, states), second.sum(dim=1))


def test_padded_regions_change_nothing_and_their_order_neither() -> None:
    net, (regions, states) = network(), inputs()
    padded = torch.cat([regions, torch.randn(2, 2, 6, dtype=torch.float64)], dim=1)
    mask = torch.tensor([True] * 4 + [False] * 2).expand(2, 6)
    assert torch.equal(net.attention(padded, mask, states)[:, :, 4:], torch.zeros(2, 2, 2, 3, dtype=torch.float64))
    assert torch.allclose(net(padded, mask, states), net(regions, None, states))
    order = torch.tensor([5, 2, 0, 4, 3, 1])
    assert torch.allclose(net(padded[:, order], mask[:, order], states), net(regions, None, states))


def test_an_image_without_regions_gives_finite_numbers() -> None:
    net, (regions, states) = network(), inputs()
    assert net(regions, torch.zeros(2, 4, dtype=torch.bool), states).isfinite().all()


def test_with_one_region_the_words_are_still_attended_to() -> None:
    net, (regions, states) = network(), inputs(regions=1)
    maps = net.attention(regions, None, states)
    assert maps.std() > 0
    net(regions, None, states).sum().backward()
    assert net.attention.words.linear.bias.grad.any()


def test_a_network_without_glimpses_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, found 0"):
        BilinearAttentionNetwork(6, 5, glimpses=0)
