"""Stacked attention against loops over its formula, and what follows from the formula."""

import pytest
import torch
from torch import Tensor

from medpipe.networks.blocks.stacked_attention import StackedAttention


def block(hops: int = 2, values: str = "shared", seed: int = 0) -> StackedAttention:
    torch.manual_seed(seed)
    return StackedAttention(6, 5, hops=hops, values=values).double().eval()


def inputs(regions: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    draw = {"dtype": torch.float64, "generator": generator}
    return torch.randn(3, regions, 6, **draw), torch.randn(3, 12, 5, **draw)


def by_loops(net: StackedAttention, regions: Tensor, question: Tensor) -> Tensor:
    """One sample, region by region."""
    joint, state = None, question
    for hop, (query, key, score) in enumerate(zip(net.queries, net.keys, net.scores, strict=True)):
        asked = query(state)
        seen = [key(region) for region in regions]
        scores = [score(torch.tanh(asked + value)) for value in seen]
        total = sum(value.exp() for value in scores)
        if hop == 0:
            joint = asked if net.first_query is None else net.first_query(question)
            seen = seen if net.first_value is None else [net.first_value(region) for region in regions]
        joint = joint + sum(value.exp() / total * vector for value, vector in zip(scores, seen, strict=True))
        state = joint
    return joint


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("values", ["shared", "separate"])
def test_it_equals_loops_over_the_formula(hops: int, values: str) -> None:
    net, (regions, states) = block(hops, values), inputs()
    found = net(regions, None, states)
    for sample in range(3):
        assert torch.allclose(found[sample], by_loops(net, regions[sample], states[sample, -1]))


def test_only_the_last_state_is_asked_with() -> None:
    net, (regions, states) = block(), inputs()
    changed = states.clone()
    changed[:, :-1] = 0
    assert torch.equal(net(regions, None, states), net(regions, None, changed))


def test_padded_regions_change_nothing_and_their_order_neither() -> None:
    net, (regions, states) = block(), inputs()
    padded = torch.cat([regions, torch.randn(3, 2, 6, dtype=torch.float64)], dim=1)
    mask = torch.tensor([True] * 4 + [False] * 2).expand(3, 6)
    assert torch.allclose(net(padded, mask, states), net(regions, None, states))
    order = torch.tensor([5, 2, 0, 4, 3, 1])
    assert torch.allclose(net(padded[:, order], mask[:, order], states), net(regions, None, states))


def test_an_image_without_regions_gives_finite_numbers() -> None:
    net, (regions, states) = block(), inputs()
    assert net(regions, torch.zeros(3, 4, dtype=torch.bool), states).isfinite().all()


def test_with_one_region_it_collapses_to_a_sum_and_later_queries_have_no_gradient() -> None:
    net, (regions, states) = block(), inputs(regions=1)
    expected = net.queries[0](states[:, -1]) + sum(key(regions[:, 0]) for key in net.keys)
    found = net(regions, None, states)
    assert torch.allclose(found, expected, atol=1e-12)
    found.sum().backward()
    assert not net.queries[1].weight.grad.any()
    assert not net.scores[0].weight.grad.any()


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, found 0"):
        StackedAttention(6, hops=0)
    with pytest.raises(ValueError, match="unknown variant of stacked attention 'own'"):
        StackedAttention(6, values="own")
