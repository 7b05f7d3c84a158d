"""The localiser: outputs in both modes, gradient of the orthogonality, export, precision, attention maps."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from medpipe.networks.acm import ContextLocalizer, image_logits
from medpipe.networks.blocks import AttendCompare

TINY = "resnet14_quarter"


def network(context: str = "acm", seed: int = 0, **options: object) -> ContextLocalizer:
    torch.manual_seed(seed)
    net = ContextLocalizer(TINY, context, **options)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return net


def images(batch: int = 2, channels: int = 1, size: int = 64) -> Tensor:
    return torch.rand(batch, channels, size, size, generator=torch.Generator().manual_seed(3))


def modules_of(net: nn.Module) -> list[AttendCompare]:
    return [module for module in net.modules() if isinstance(module, AttendCompare)]


def test_resnet50_with_14_maps_has_24219342_parameters() -> None:
    net = ContextLocalizer("resnet50", num_classes=14)
    assert sum(p.numel() for p in net.parameters()) == 24_219_342


def test_in_evaluation_it_returns_logit_maps() -> None:
    assert network(num_classes=3).eval()(images()).shape == (2, 3, 2, 2)


def test_in_training_it_returns_maps_and_orthogonality_values() -> None:
    net = network()
    seen = []
    for module in modules_of(net):
        module.register_forward_hook(lambda module, _, __: seen.append(module.last_orthogonality))
    output = net(images(3))
    assert set(output) == {"logits", "orthogonality", "orthogonality_per_module", "class_maps"}
    assert output["logits"].shape == (3, 1, 2, 2)
    assert torch.equal(output["orthogonality_per_module"], torch.stack(seen, dim=1))
    assert output["orthogonality_per_module"].shape == (3, 4)
    assert torch.allclose(output["orthogonality"], sum(seen))
    assert output["orthogonality"].abs().min() > 0


@pytest.mark.parametrize("context", ["none", "se"])
def test_without_attend_and_compare_the_orthogonality_is_zero(context: str) -> None:
    output = network(context)(images())
    assert output["orthogonality"].tolist() == [0.0, 0.0]
    assert output["orthogonality_per_module"].shape == (2, 0)


def test_the_orthogonality_has_a_gradient_into_the_maps_and_the_backbone() -> None:
    net = network()
    net(images())["orthogonality"].sum().backward()
    assert net.backbone.conv1.weight.grad.any()
    assert all(module.key_map.weight.grad.any() for module in modules_of(net))
    assert net.head.weight.grad is None


def test_the_first_orthogonality_is_zero_only_with_zeroed_residual_blocks() -> None:
    assert ContextLocalizer(TINY)(images())["orthogonality"].tolist() == [0.0, 0.0]
    assert ContextLocalizer(TINY, zero_init_last=False)(images())["orthogonality"].all()


def test_nothing_is_kept_after_a_forward() -> None:
    net = network()
    net(images())
    assert all(module.last_orthogonality is None for module in modules_of(net))
    net.eval()(images())
    assert all(module.last_orthogonality is None for module in modules_of(net))
    copy.deepcopy(net)


def test_one_grey_channel_equals_three_equal_channels() -> None:
    grey, colour = network().eval(), network(in_channels=3).eval()
    x = images()
    assert torch.equal(grey(x), colour(x.repeat(1, 3, 1, 1)))


def test_images_are_normalised_inside_unless_switched_off() -> None:
    inside, outside = network().eval(), network(in_channels=3, imagenet_normalisation=False).eval()
    x = images()
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    assert torch.allclose(inside(x), outside((x - mean) / std), atol=1e-6)
    assert not any(name in ("mean", "std") for name in inside.state_dict())


def test_the_output_stride_refines_the_maps() -> None:
    assert network(output_stride=16).eval()(images()).shape == (2, 1, 4, 4)


def test_the_context_lets_a_far_corner_matter() -> None:
    # Receptive fields of the untouched backbone do not reach from one corner of a large image to the other.
    x = torch.rand(1, 1, 512, 512)
    changed = x.clone()
    changed[..., 480:, 480:] = 1
    reached = {}
    for context in ("none", "acm"):
        net = network(context).eval()
        with torch.no_grad():
            reached[context] = bool((net(x) - net(changed))[..., 0, 0].abs().max() > 0)
    assert reached == {"none": False, "acm": True}


# Attention maps.


def test_attention_maps_are_given_per_module_and_sum_to_one() -> None:
    net = network()
    net.backbone.bn1.eval()
    maps = net.attention_maps(images())
    assert list(maps) == [f"backbone.layer{n}.0.se" for n in (1, 2, 3, 4)]
    for cells, parts in zip((16, 8, 4, 2), maps.values(), strict=True):
        assert set(parts) == {"key", "query"}
        for attention in parts.values():
            assert attention.shape == (2, 32, cells, cells)
            assert torch.allclose(attention.sum(dim=(2, 3)), torch.ones(2, 32), atol=1e-5)
    assert net.training
    assert not net.backbone.bn1.training
    assert not net.backbone.layer1[0].se._forward_pre_hooks


def test_without_attend_and_compare_there_are_no_attention_maps() -> None:
    assert network("gc").attention_maps(images()) == {}


# Export, checkpointing, precision, parallel wrappers.


def test_a_traced_network_gives_the_same_maps_at_another_size() -> None:
    net = network().eval()
    traced = torch.jit.trace(net, images())
    x = images(batch=1, size=96)
    assert torch.allclose(traced(x), net(x), atol=1e-5)


@pytest.mark.parametrize("context", ["acm", "cc"])
def test_an_exported_network_gives_the_same_maps(context: str, tmp_path: Path) -> None:
    net = network(context).eval()
    torch.export.save(torch.export.export(net, (images(),)), tmp_path / "net.pt2")
    again = torch.export.load(tmp_path / "net.pt2").module()
    assert torch.allclose(again(images()), net(images()), atol=1e-5)


def test_an_export_with_free_sizes_takes_another_size() -> None:
    net = network().eval()
    free = torch.export.Dim.AUTO
    exported = torch.export.export(net, (images(),), dynamic_shapes=({0: free, 2: free, 3: free},)).module()
    x = images(batch=3, size=96)
    assert torch.allclose(exported(x), net(x), atol=1e-5)


def training_gradients(net: ContextLocalizer) -> dict[str, Tensor]:
    net.zero_grad()
    output = net(images())
    (output["logits"].mean() + output["orthogonality"].sum()).backward()
    return {name: parameter.grad.clone() for name, parameter in net.named_parameters()}


def test_gradient_checkpointing_changes_no_gradient_and_keeps_nothing_alive() -> None:
    plain, net = training_gradients(network()), network()
    net.backbone.set_grad_checkpointing(True)
    checkpointed = training_gradients(net)
    assert all(torch.allclose(plain[name], checkpointed[name], atol=1e-5) for name in plain)
    assert all(module.last_orthogonality is None for module in modules_of(net))


def test_trains_a_step_under_autocast_to_bfloat16() -> None:
    net = network()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = net(images())
    assert output["orthogonality"].dtype == torch.float32
    (output["logits"].float().mean() + output["orthogonality"].sum()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
    assert net.backbone.layer1[0].se.key_map.weight.grad.any()


def test_the_orthogonality_comes_through_distributed_data_parallel(tmp_path: Path) -> None:
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1
    )
    try:
        wrapped = nn.parallel.DistributedDataParallel(network())
        output = wrapped(images())
        (output["logits"].mean() + output["orthogonality"].sum()).backward()
    finally:
        torch.distributed.destroy_process_group()
    expected = training_gradients(network())
    for name, parameter in wrapped.module.named_parameters():
        assert torch.allclose(parameter.grad, expected[name], atol=1e-6)


def test_weights_survive_saving(tmp_path: Path) -> None:
    net, other = network().eval(), network(seed=1).eval()
    torch.save(net.state_dict(), tmp_path / "net.pth")
    other.load_state_dict(torch.load(tmp_path / "net.pth", weights_only=True))
    assert torch.equal(other(images()), net(images()))


# Image logits.


def test_image_logits_of_a_hand_worked_map() -> None:
    maps = torch.tensor([[[[0.0, 0.0], [0.0, math.log(5.0)]]]])
    assert image_logits(maps).item() == pytest.approx(math.log(5))
    assert image_logits(maps, "avg").item() == pytest.approx(math.log(5) / 4)
    assert image_logits(maps, "lse").item() == pytest.approx(math.log((1 + 1 + 1 + 5) / 4))


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**31 - 1))
@settings(max_examples=25, deadline=None)
def test_the_poolings_are_ordered(classes: int, height: int, width: int, seed: int) -> None:
    maps = torch.randn(2, classes, height, width, generator=torch.Generator().manual_seed(seed))
    largest, mean, soft = (image_logits(maps, pooling) for pooling in ("max", "avg", "lse"))
    assert largest.shape == (2, classes)
    assert (mean <= soft + 1e-5).all()
    assert (soft <= largest + 1e-5).all()


def test_unknown_poolings_and_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown pooling 'maxx'.*did you mean 'max'"):
        image_logits(torch.zeros(1, 1, 2, 2), "maxx")
    with pytest.raises(ValueError, match=r"\(B, C, h, w\), found \(1, 2\)"):
        image_logits(torch.zeros(1, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"in_channels": 2}, "must be 1 or 3, found 2"), ({"num_classes": 0}, "at least 1, found 0")],
)
def test_wrong_arguments_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ContextLocalizer(TINY, **options)


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(B, 1, H, W\), found \(2, 3, 64, 64\)"):
        network()(images(channels=3))
