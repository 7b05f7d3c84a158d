"""Meta-gradients against finite differences, plain loops and the limits in which they are known."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from monai.engines import SupervisedTrainer
from torch import Tensor, nn
from torch.nn import functional as F

from medpipe.engines.steps.meta_learning import Adaptation, MetaLearningStep, episodes_of


def toy(seed: int = 0, norm: bool = True) -> nn.Module:
    torch.manual_seed(seed)
    middle = [nn.BatchNorm2d(3)] if norm else []
    layers = [nn.Conv2d(1, 3, 3, stride=2, padding=1), nn.Softplus(), *middle, nn.Flatten(), nn.Linear(48, 3)]
    return nn.Sequential(*layers).double()


def episodes(count: int = 2, seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(3).repeat_interleave(2).expand(count, 6)
    draw = {"generator": generator, "dtype": torch.float64}
    support, query = (torch.randn(count, 6, 1, 8, 8, **draw) + labels[..., None, None, None] for _ in range(2))
    return {"support": support, "support_label": labels, "query": query, "query_label": labels}


def gradient(net: nn.Module, adaptation: Adaptation, batch: dict[str, Tensor]) -> Tensor:
    net.zero_grad()
    MetaLearningStep(adaptation).accumulate(net, F.cross_entropy, batch)
    return torch.cat([parameter.grad.flatten() for parameter in net.parameters()])


def meta_loss(net: nn.Module, adaptation: Adaptation, batch: dict[str, Tensor]) -> float:
    losses = [
        F.cross_entropy(adaptation.query_logits(net, episode), episode["query_label"]) for episode in episodes_of(batch)
    ]
    return torch.stack(losses).mean().item()


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("norm", [False, True])
def test_the_second_order_gradient_equals_finite_differences(steps: int, norm: bool) -> None:
    net, batch = toy(norm=norm), episodes()
    adaptation = Adaptation(steps=steps, rate=0.3)
    found = gradient(net, adaptation, batch)
    direction = torch.randn(found.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    flat = nn.utils.parameters_to_vector(net.parameters()).detach()
    around = []
    for sign in (1, -1):
        moved = copy.deepcopy(net)
        nn.utils.vector_to_parameters(flat + sign * 1e-5 * direction, moved.parameters())
        around.append(meta_loss(moved, adaptation, batch))
    assert (found @ direction).item() == pytest.approx((around[0] - around[1]) / 2e-5, rel=1e-6)


def test_first_and_second_order_differ_where_the_rate_is_not_0() -> None:
    net, batch = toy(), episodes()
    first = gradient(net, Adaptation(rate=0.3, first_order=True), batch)
    second = gradient(net, Adaptation(rate=0.3), batch)
    cosine = F.cosine_similarity(first, second, dim=0).item()
    assert 0.3 < cosine < 0.9999


def test_the_first_order_gradient_is_that_of_the_query_loss_at_the_adapted_weights() -> None:
    net, batch = toy(), episodes(count=1)
    found = gradient(net, Adaptation(steps=2, rate=0.3, first_order=True), batch)
    adapted = copy.deepcopy(net)
    optimizer = torch.optim.SGD(adapted.parameters(), lr=0.3)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(adapted(batch["support"][0]), batch["support_label"][0]).backward()
        optimizer.step()
    adapted.zero_grad()
    F.cross_entropy(adapted(batch["query"][0]), batch["query_label"][0]).backward()
    assert torch.allclose(found, torch.cat([parameter.grad.flatten() for parameter in adapted.parameters()]))


@pytest.mark.parametrize("adaptation", [{"steps": 0}, {"rate": 0.0}, {"rate": 0.0, "first_order": True}])
def test_without_adaptation_it_is_the_plain_gradient_over_all_query_sets(adaptation: dict[str, Any]) -> None:
    net, batch = toy(norm=False), episodes()
    found = gradient(net, Adaptation(**adaptation), batch)
    net.zero_grad()
    F.cross_entropy(net(batch["query"].flatten(0, 1)), batch["query_label"].flatten()).backward()
    assert torch.allclose(found, torch.cat([parameter.grad.flatten() for parameter in net.parameters()]))


def test_the_order_of_support_images_does_not_matter() -> None:
    net, batch = toy(), episodes(count=1)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    one = Adaptation(rate=0.3).weights(net, batch["support"][0], batch["support_label"][0])
    two = Adaptation(rate=0.3).weights(net, batch["support"][0][order], batch["support_label"][0][order])
    assert all(torch.allclose(one[name], two[name]) for name in one)


def test_neither_weights_nor_running_statistics_are_touched_by_adapting() -> None:
    net, batch = toy().train(), episodes()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    gradient(net, Adaptation(rate=0.3), batch)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_frozen_parameters_stay_and_get_no_gradient() -> None:
    net, batch = toy(), episodes()
    net[0].weight.requires_grad_(False)
    adapted = Adaptation(rate=0.3).weights(net, batch["support"][0], batch["support_label"][0])
    assert "0.weight" not in adapted
    MetaLearningStep(Adaptation()).accumulate(net, F.cross_entropy, batch)
    assert net[0].weight.grad is None
    assert net[0].bias.grad.any()


@pytest.mark.parametrize("first_order", [False, True])
def test_a_trainer_learns_to_adapt(first_order: bool) -> None:
    net = toy()
    outputs: list[dict[str, Any]] = []
    trainer = SupervisedTrainer(
        torch.device("cpu"),
        1,
        [episodes(4, seed) for seed in range(60)],
        net,
        torch.optim.Adam(net.parameters(), lr=3e-3),
        F.cross_entropy,
        iteration_update=MetaLearningStep(Adaptation(steps=2, rate=0.05, first_order=first_order)),
        decollate=False,
    )
    from ignite.engine import Events

    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: outputs.append(engine.state.output))
    trainer.run()
    accuracies = [float(output["parts"]["accuracy"]) for output in outputs]
    assert sum(accuracies[-10:]) / 10 > sum(accuracies[:5]) / 5 + 0.1
    assert not outputs[0]["loss"].requires_grad


def test_batches_that_are_no_episodes_are_refused() -> None:
    batch = episodes()
    with pytest.raises(ValueError, match="lacks query_label"):
        list(episodes_of({name: part for name, part in batch.items() if name != "query_label"}))
    with pytest.raises(ValueError, match="as many episodes in each part"):
        list(episodes_of({**batch, "query": batch["query"][:1]}))
    with pytest.raises(ValueError, match="must not be negative, found -1"):
        Adaptation(steps=-1)
