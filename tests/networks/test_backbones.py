"""Backbones with context blocks: counts, places, weights, and one contract over a covering set."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from timm.models.resnet import Bottleneck, ResNet
from torch import Tensor, nn

from medpipe.networks import backbones
from medpipe.networks.backbones import BACKBONES, context_backbone, context_modules, load_backbone_weights
from medpipe.networks.blocks import CONTEXT_BLOCKS, AttendCompare

CLASSES = 1000


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def with_classifier(backbone: nn.Module) -> int:
    return count(backbone) + backbone.num_features * CLASSES + CLASSES


def randomise(module: nn.Module) -> None:
    """Weights and batch statistics unlike their start values, so that no part is idle."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
                tensor.uniform_(0.5, 1.5)
            elif tensor.ndim == 1:
                tensor.normal_(std=0.1)


# Counts of the paper's networks.


def test_resnet50_with_1000_classes_has_25557032_parameters() -> None:
    assert with_classifier(context_backbone("resnet50")) == 25_557_032


def test_resnet50_with_16_modules_has_26239656_parameters() -> None:
    backbone = context_backbone("resnet50", context="acm")
    assert with_classifier(backbone) == 26_239_656
    modules = context_modules(backbone)
    assert len(modules) == 16
    assert {module.groups for module in modules.values()} == {32}
    later = [count(module) for name, module in modules.items() if not name.startswith("layer1.")]
    assert (len(later), sum(later)) == (13, 673_600)


def test_resnet101_with_33_modules_has_45850856_parameters() -> None:
    backbone = context_backbone("resnet101", context="acm")
    assert with_classifier(backbone) == 45_850_856
    assert len(context_modules(backbone)) == 33


def test_densenet121_gains_301536_parameters_in_19_modules() -> None:
    backbone = context_backbone("densenet121", context="acm")
    assert count(backbone) - count(context_backbone("densenet121")) == 301_536
    widths = [module.channels for module in context_modules(backbone).values()]
    assert widths == [160, 256, 224, 320, 416, 512, *range(352, 1025, 96), *range(608, 993, 96)]


def test_resnet14_quarter_is_small_and_every_width_can_be_grouped() -> None:
    backbone = context_backbone("resnet14_quarter", context="acm")
    assert count(backbone) < 1_000_000
    assert [module.channels for module in context_modules(backbone).values()] == [64, 128, 256, 512]


def test_resnet11_quarter_is_resnet14_quarter_without_the_fourth_stage() -> None:
    backbone = context_backbone("resnet11_quarter", context="acm", output_stride=16)
    assert [module.channels for module in context_modules(backbone).values()] == [64, 128, 256]
    assert backbone.num_features == 256
    assert backbone(torch.zeros(1, 3, 64, 64)).shape == (1, 256, 4, 4)
    longer = dict(context_backbone("resnet14_quarter", context="acm").named_parameters())
    for name, parameter in backbone.named_parameters():
        assert parameter.shape == longer[name].shape
    with pytest.raises(ValueError, match=r"must be one of \(8, 16\), found 32"):
        context_backbone("resnet11_quarter")


# Places.


@pytest.mark.parametrize(
    ("name", "placement", "expected"),
    [
        ("resnet50", "nl5", ["layer2.1", "layer2.3", "layer3.1", "layer3.3", "layer3.5"]),
        ("resnet101", "nl5", ["layer2.1", "layer2.3", "layer3.6", "layer3.13", "layer3.20"]),
        ("resnet14_quarter", "nl5", ["layer2.0", "layer3.0"]),
    ],
)
def test_nl5_stands_behind_blocks_of_the_middle_stages(name: str, placement: str, expected: list[str]) -> None:
    backbone = context_backbone(name, context="se", placement=placement)
    assert list(context_modules(backbone)) == [f"{place}_context" for place in expected]


def test_stage4_takes_the_last_stage_only() -> None:
    residual = context_backbone("resnet50", context="cc", placement="stage4")
    assert list(context_modules(residual)) == ["layer4.0.se", "layer4.1.se", "layer4.2.se"]
    dense = context_modules(context_backbone("densenet121", context="se", placement="stage4"))
    layers = [f"features.denseblock4.denselayer{n}_context" for n in (3, 6, 9, 12, 15)]
    assert list(dense) == layers


@pytest.mark.parametrize("context", list(CONTEXT_BLOCKS))
def test_the_default_place_follows_the_context(context: str) -> None:
    modules = context_modules(context_backbone("resnet14_quarter", context=context))
    every_block = [f"layer{stage}.0.se" for stage in (1, 2, 3, 4)]
    behind = ["layer2.0_context", "layer3.0_context"]
    assert list(modules) == (behind if context in ("nl", "cc") else every_block)


def test_basic_blocks_are_followed_at_the_width_of_their_second_norm() -> None:
    modules = context_modules(context_backbone("resnet18", context="acm"))
    assert [m.channels for m in modules.values()] == [64, 64, 128, 128, 256, 256, 512, 512]


def test_the_place_is_the_one_of_timms_attention_layers() -> None:
    ours = context_backbone("resnet14_quarter", context="acm")
    randomise(ours)

    def attention(channels: int, **_: object) -> nn.Module:
        return AttendCompare(channels)

    options = {"num_classes": 0, "global_pool": "", "channels": (16, 32, 64, 128)}
    timms = ResNet(Bottleneck, (1, 1, 1, 1), block_args={"attn_layer": attention}, **options)
    timms.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(ours.eval()(x), timms.eval()(x))


def test_options_reach_every_block() -> None:
    backbone = context_backbone("resnet14_quarter", context="acm", context_args={"groups": 8, "mode": "px"})
    assert {(m.groups, m.mode) for m in context_modules(backbone).values()} == {(8, "px")}


# Weights.


def saved(tmp_path: Path, state: dict[str, Tensor]) -> Path:
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    return path


def timm_model(name: str) -> nn.Module:
    model = timm.create_model(name, num_classes=7)
    randomise(model)
    return model


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "densenet121"])
def test_ordinary_weights_give_timms_features(name: str, tmp_path: Path) -> None:
    model = timm_model(name).eval()
    backbone = context_backbone(name, weights=saved(tmp_path, model.state_dict())).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = model.forward_features(x)
        assert expected.abs().max() > 0
        assert torch.allclose(backbone(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "context"), [("resnet50", "acm"), ("resnet18", "nl"), ("densenet121", "acm")])
def test_ordinary_weights_load_with_only_the_blocks_missing(name: str, context: str, tmp_path: Path) -> None:
    state = timm_model(name).state_dict()
    backbone = context_backbone(name, context=context)
    before = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}
    load_backbone_weights(backbone, saved(tmp_path, state))
    blocks = tuple(context_modules(backbone))
    floats = {key: tensor for key, tensor in backbone.state_dict().items() if tensor.is_floating_point()}
    kept = {key for key, tensor in floats.items() if torch.equal(tensor, before[key])}
    assert kept == {key for key in floats if key.startswith(blocks)}


def test_the_old_names_of_torchvisions_densenet_are_understood(tmp_path: Path) -> None:
    state = timm_model("densenet121").state_dict()
    old = {}
    for key, tensor in state.items():
        for number in "12":
            key = key.replace(f".norm{number}.", f".norm.{number}.").replace(f".conv{number}.", f".conv.{number}.")
        if not key.endswith("num_batches_tracked"):
            old[key] = tensor
    backbone = context_backbone("densenet121")
    load_backbone_weights(backbone, saved(tmp_path, old))
    loaded = backbone.state_dict()["features.denseblock3.denselayer7.layers.norm2.weight"]
    assert torch.equal(loaded, state["features.denseblock3.denselayer7.norm2.weight"])


def test_weights_with_the_blocks_load_whole(tmp_path: Path) -> None:
    trained = context_backbone("resnet14_quarter", context="acm").eval()
    randomise(trained)
    path = saved(tmp_path, trained.state_dict())
    again = context_backbone("resnet14_quarter", context="acm", weights=path).eval()
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(again(x), trained(x))


def drop(key: str) -> Callable[[dict[str, Tensor]], None]:
    return lambda state: state.__delitem__(key)


def add(key: str) -> Callable[[dict[str, Tensor]], None]:
    return lambda state: state.update({key: torch.zeros(3)})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop("layer3.0.bn2.running_mean"), "1 missing: layer3.0.bn2.running_mean$"),
        (add("layer5.0.conv1.weight"), "1 unexpected: layer5.0.conv1.weight$"),
        (
            add("conv1.weight"),
            r"1 of another shape: conv1.weight \(found \(3,\), expected \(64, 3, 7, 7\)\)$",
        ),
        (drop("layer2.0.se.key_map.bias"), "1 missing: layer2.0.se.key_map.bias$"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_change_nothing(
    damage: Callable[[dict[str, Tensor]], None], message: str, tmp_path: Path
) -> None:
    backbone = context_backbone("resnet14_quarter", context="acm")
    state = {key: torch.full_like(tensor, 2) for key, tensor in backbone.state_dict().items()}
    damage(state)
    before = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_backbone_weights(backbone, saved(tmp_path, state))
    assert all(torch.equal(tensor, before[key]) for key, tensor in backbone.state_dict().items())


def test_pretrained_takes_timms_published_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    donor = timm_model("resnet18")
    asked = []

    def create(name: str, *, pretrained: bool, **options: object) -> nn.Module:
        asked.append((name, pretrained))
        return donor if pretrained else original(name, pretrained=False, **options)

    original = timm.create_model
    monkeypatch.setattr(backbones.timm, "create_model", create)
    backbone = context_backbone("resnet18", context="acm", pretrained=True)
    assert ("resnet18.tv_in1k", True) in asked
    assert torch.equal(backbone.layer4[1].bn2.weight, donor.layer4[1].bn2.weight)


@pytest.mark.parametrize("name", [name for name, tag in BACKBONES.items() if tag])
def test_the_published_weights_exist_in_timm(name: str) -> None:
    assert BACKBONES[name] in timm.list_pretrained()


@pytest.mark.parametrize(("options", "start"), [({}, 0), ({"zero_init_last": False}, 1)])
def test_residual_blocks_start_as_identity_unless_switched_off(options: dict[str, bool], start: int) -> None:
    backbone = context_backbone("resnet14_quarter", context="acm", **options)
    weights = [backbone.get_submodule(f"layer{n}.0.bn3").weight for n in (1, 2, 3, 4)]
    assert all((weight == start).all() for weight in weights)


# Sizes.


@pytest.mark.parametrize(("stride", "cells"), [(8, 8), (16, 4), (32, 2)])
def test_the_output_stride_sets_the_grid(stride: int, cells: int) -> None:
    for name in ("resnet14_quarter", "resnet18"):
        features = context_backbone(name, output_stride=stride)(torch.randn(2, 3, 64, 64))
        assert features.shape == (2, 512, cells, cells)


def test_the_number_of_image_channels_can_be_chosen() -> None:
    for name in ("resnet14_quarter", "densenet121"):
        backbone = context_backbone(name, in_channels=1).eval()
        assert backbone(torch.randn(1, 1, 64, 64)).shape[1] == backbone.num_features


# Refusals.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet5"}, r"unknown backbone 'resnet5'.*densenet121; did you mean 'resnet50'"),
        ({"name": "resnet18", "context": "amc"}, r"unknown context 'amc'.*none, acm.*did you mean 'acm'"),
        ({"name": "resnet18", "context": "acm", "placement": "stage5"}, "placement 'stage5'.*'stage4'"),
        (
            {"name": "resnet18", "context": "se", "context_args": {"groups": 8}},
            "option of context block 'se'",
        ),
        ({"name": "resnet18", "placement": "nl5"}, "need a context block"),
        ({"name": "resnet18", "context_args": {"groups": 8}}, "need a context block"),
        ({"name": "resnet18", "output_stride": 4}, r"\(8, 16, 32\), found 4"),
        ({"name": "densenet121", "output_stride": 16}, r"one of \(32,\), found 16"),
        ({"name": "resnet14_quarter", "pretrained": True}, "no published ImageNet weights"),
        ({"name": "resnet18", "pretrained": True, "weights": "a.pth"}, "either pretrained=True or weights"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        context_backbone(**arguments)


# The contract: every backbone, every context and every placement occurs, not every combination.

COVERING = [
    *[("resnet14_quarter", context, None) for context in ("none", *CONTEXT_BLOCKS)],
    ("resnet14_quarter", "acm", "nl5"),
    ("resnet11_quarter", "acm", None),
    ("resnet14_quarter", "nl", "every_block"),
    ("resnet14_quarter", "cc", "stage4"),
    ("resnet18", "acm", None),
    ("resnet18", "gc", "nl5"),
    ("resnet34", "gc", "stage4"),
    ("resnet50", "acm", None),
    ("resnet50", "cc", None),
    ("resnet101", "nl", None),
    ("resnext101_32x8d", "se", "stage4"),
    ("densenet121", "acm", None),
    ("densenet121", "srm", "stage4"),
    ("densenet121", "nl", None),
]


def test_the_covering_set_covers_every_backbone_and_context() -> None:
    assert {name for name, _, _ in COVERING} == set(BACKBONES)
    assert {context for _, context, _ in COVERING} == {"none", *CONTEXT_BLOCKS}


@pytest.mark.parametrize(("name", "context", "placement"), COVERING)
def test_maps_images_to_features_with_gradient_and_survives_saving(
    name: str, context: str, placement: str | None
) -> None:
    stride = 16 if name == "resnet11_quarter" else 32
    backbone = context_backbone(name, context=context, placement=placement, output_stride=stride)
    randomise(backbone)
    x = torch.randn(2, 3, 64, 64)
    y = backbone(x)
    assert y.shape == (2, backbone.num_features, 64 // stride, 64 // stride)
    y.square().mean().backward()
    for parameter in backbone.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    blocks = context_modules(backbone).values()
    assert all(any(p.grad.any() for p in block.parameters()) for block in blocks)
    assert bool(blocks) is (context != "none")

    buffer = io.BytesIO()
    torch.save(backbone.state_dict(), buffer)
    buffer.seek(0)
    other = context_backbone(name, context=context, placement=placement, output_stride=stride)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    with torch.no_grad():
        assert torch.equal(other.eval()(x), backbone.eval()(x))
