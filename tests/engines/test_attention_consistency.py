"""The step with several views: MONAI's own update without them, and what each view and term adds."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from monai.engines import SupervisedTrainer
from torch import Tensor, nn

from medpipe.engines.steps.attention_consistency import AttentionConsistencyStep
from medpipe.losses import MultilabelClassificationLoss
from medpipe.losses.attention_consistency import flip_consistency, scale_consistency
from medpipe.networks.acm import ContextLocalizer, image_logits


def network(context: str = "none", **options: Any) -> ContextLocalizer:
    torch.manual_seed(0)
    more = {"context_args": {"groups": 4}} if context == "acm" else {}
    return ContextLocalizer(
        "resnet11_quarter", context, num_classes=2, output_stride=8, zero_init_last=False, **more, **options
    )


def batches(count: int = 2) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.rand(4, 1, 32, 32, generator=generator), torch.randint(0, 2, (4, 2), generator=generator).float())
        for _ in range(count)
    ]


def train(net: nn.Module, step: AttentionConsistencyStep | None) -> list[Any]:
    outputs: list[Any] = []
    trainer = SupervisedTrainer(
        torch.device("cpu"),
        1,
        batches(),
        net,
        torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9),
        MultilabelClassificationLoss(image_logits),
        prepare_batch=lambda batch, device, non_blocking, **_: batch,
        iteration_update=step,
        decollate=False,
    )
    from ignite.engine import Events

    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: outputs.append(engine.state.output))
    trainer.run()
    return outputs


def test_without_views_it_is_monais_own_update_bit_for_bit() -> None:
    ours, monais = network("acm"), network("acm")
    train(ours, AttentionConsistencyStep())
    train(monais, None)
    for name, value in ours.state_dict().items():
        assert torch.equal(value, monais.state_dict()[name]), name


def test_weights_of_zero_are_the_baseline_of_the_same_views_bit_for_bit() -> None:
    plain, zero = network(), network()
    train(plain, AttentionConsistencyStep(flip=True, small_size=24))
    losses = {"flip_loss": flip_consistency, "scale_loss": scale_consistency}
    train(zero, AttentionConsistencyStep(flip=True, small_size=24, flip_weight=0, scale_weight=0, **losses))
    for name, value in plain.state_dict().items():
        assert torch.equal(value, zero.state_dict()[name]), name


def test_the_loss_is_the_mean_of_the_views_and_the_weighted_terms() -> None:
    net = network()
    before = copy.deepcopy(net)
    step = AttentionConsistencyStep(
        flip=True,
        small_size=24,
        flip_loss=flip_consistency,
        flip_weight=0.6,
        scale_loss=scale_consistency,
        scale_weight=0.8,
    )
    first = train(net, step)[0]
    images, labels = batches()[0]
    large, small = (before(view) for view in step.views(images))
    loss, labels = MultilabelClassificationLoss(image_logits), labels.repeat(2, 1)
    flip = sum(flip_consistency(p["class_maps"][:4], p["class_maps"][4:]) for p in (large, small))
    scale = scale_consistency(large["class_maps"], small["class_maps"])
    expected = (loss(large, labels) + loss(small, labels)) / 2 + 0.6 * flip + 0.8 * scale
    assert torch.allclose(first["loss"], expected, rtol=1e-5)
    assert set(first["parts"]) == {"classification", "flip", "scale"}


def test_views_are_the_images_their_mirror_images_and_both_smaller() -> None:
    images = torch.rand(2, 1, 8, 8)
    large, small = AttentionConsistencyStep(flip=True, small_size=4).views(images)
    assert torch.equal(large, torch.cat([images, images.flip(-1)]))
    assert small.shape == (4, 1, 4, 4)
    assert torch.allclose(small[2:], small[:2].flip(-1), atol=1e-6)


def test_the_consistency_term_does_not_reach_the_head() -> None:
    net = network()
    maps = net(torch.rand(2, 1, 32, 32))["class_maps"]
    flip_consistency(maps, maps.roll(1, -1)).backward()
    assert net.head.weight.grad is None
    assert next(net.backbone.parameters()).grad is not None


def test_class_maps_are_the_logit_maps_less_their_bias() -> None:
    net = network()
    found = net(torch.rand(2, 1, 32, 32))
    assert torch.allclose(found["class_maps"] + net.head.bias[:, None, None], found["logits"], atol=1e-5)


@pytest.mark.parametrize(
    "options", [{"flip_weight": -1}, {"scale_weight": -0.1}, {"small_size": 0}, {"small_size": 64, "image_size": 64}]
)
def test_numbers_out_of_range_are_refused(options) -> None:
    with pytest.raises(ValueError, match="must"):
        AttentionConsistencyStep(**options)


@pytest.mark.parametrize("losses", [{"flip_loss": flip_consistency}, {"scale_loss": scale_consistency}])
def test_maps_that_are_to_agree_without_their_view_are_refused(losses) -> None:
    with pytest.raises(ValueError, match="are to agree, but there"):
        AttentionConsistencyStep(**losses)
