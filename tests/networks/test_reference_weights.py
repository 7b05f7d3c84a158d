"""The authors' names to ours, with a made-up state dict in their names."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from medpipe.networks.acm import ContextLocalizer
from medpipe.networks.reference_weights import import_acm_state_dict

TINY = "resnet14_quarter"


def block_names(stage: int) -> list[str]:
    prefix = f"layer{stage}.0."
    names = [f"{prefix}conv{n}.weight" for n in (1, 2, 3)]
    for norm in ("bn1", "bn2", "bn3"):
        names += [f"{prefix}{norm}.{part}" for part in NORM]
    for part in ("add_mod.map_gen.0", "sub_mod.map_gen.0", "mul_mod.feature_gen.0", "mul_mod.feature_gen.2"):
        names += [f"{prefix}module.{part}.weight", f"{prefix}module.{part}.bias"]
    if stage > 1:
        names += [f"{prefix}downsample.0.weight", *[f"{prefix}downsample.1.{part}" for part in NORM]]
    return names


NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def reference_state(seed: int = 0) -> dict[str, Tensor]:
    """A state dict in the authors' names, with the shapes of a small network written out by hand."""
    names = ["conv1.weight", *[f"bn1.{part}" for part in NORM]]
    for stage in (1, 2, 3, 4):
        names += block_names(stage)
    names += ["classifier_conv.weight", "classifier_conv.bias"]
    torch.manual_seed(seed)
    return {name: torch.rand(shape(name)) if shape(name) else torch.tensor(7) for name in names}


def shape(name: str) -> tuple[int, ...]:
    if name.startswith("classifier_conv"):
        return (14, 512, 1, 1) if name.endswith("weight") else (14,)
    if name.endswith("num_batches_tracked"):
        return ()
    if not name.startswith("layer"):
        return (64, 3, 7, 7) if name == "conv1.weight" else (64,)
    stage = int(name[5])
    width, out = 8 * 2**stage, 32 * 2**stage
    taken = 64 if stage == 1 else out // 2
    kernels = {
        "conv1.weight": (width, taken, 1, 1),
        "conv2.weight": (width, width, 3, 3),
        "conv3.weight": (out, width, 1, 1),
        "downsample.0.weight": (out, taken, 1, 1),
        "module.add_mod.map_gen.0.weight": (32, out // 32, 1, 1),
        "module.sub_mod.map_gen.0.weight": (32, out // 32, 1, 1),
        "module.mul_mod.feature_gen.0.weight": (out // 2, out // 32, 1, 1),
        "module.mul_mod.feature_gen.2.weight": (out, out // 64, 1, 1),
    }
    part = name.split(".", 2)[2]
    if part in kernels:
        return kernels[part]
    if "map_gen" in part:
        return (32,)
    if "feature_gen.0" in part:
        return (out // 2,)
    return (width,) if part.startswith(("bn1", "bn2")) else (out,)


def network() -> ContextLocalizer:
    return ContextLocalizer(TINY, "acm", num_classes=14)


def test_every_tensor_arrives_under_our_name() -> None:
    reference, net = reference_state(), network()
    ours = import_acm_state_dict(reference, net)
    net.load_state_dict(ours)
    assert len(ours) == len(reference)
    pairs = {
        "backbone.conv1.weight": "conv1.weight",
        "backbone.layer2.0.downsample.1.running_var": "layer2.0.downsample.1.running_var",
        "backbone.layer3.0.se.key_map.weight": "layer3.0.module.add_mod.map_gen.0.weight",
        "backbone.layer3.0.se.query_map.bias": "layer3.0.module.sub_mod.map_gen.0.bias",
        "backbone.layer3.0.se.gate_reduce.weight": "layer3.0.module.mul_mod.feature_gen.0.weight",
        "backbone.layer3.0.se.gate_expand.weight": "layer3.0.module.mul_mod.feature_gen.2.weight",
        "head.bias": "classifier_conv.bias",
    }
    for name, theirs in pairs.items():
        assert torch.equal(net.state_dict()[name], reference[theirs])


def test_the_imported_network_computes_the_authors_formula() -> None:
    reference, net = reference_state(), network()
    net.load_state_dict(import_acm_state_dict(reference, net))
    module = net.backbone.layer4[0].se
    x = torch.randn(1, 512, 3, 3)
    theirs = {key.removeprefix("layer4.0.module."): t for key, t in reference.items() if "layer4.0.module" in key}
    conv = torch.nn.functional.conv2d
    mean = x.mean((2, 3), keepdim=True)
    pooled = []
    for part in ("add_mod", "sub_mod"):
        logits = conv(x - mean, theirs[f"{part}.map_gen.0.weight"], theirs[f"{part}.map_gen.0.bias"], groups=32)
        weights = logits.flatten(2).softmax(2).repeat_interleave(16, dim=1)
        pooled.append(((x - mean).flatten(2) * weights).sum(2)[:, :, None, None])
    first, second = ([theirs[f"mul_mod.feature_gen.{n}.{kind}"] for kind in ("weight", "bias")] for n in (0, 2))
    gate = conv(conv(mean, *first, groups=32).relu(), *second, groups=32).sigmoid()
    assert torch.allclose(module(x), (x + pooled[0] - pooled[1]) * gate, atol=1e-5)
    assert torch.allclose(module.last_orthogonality, (pooled[0] * pooled[1]).mean((1, 2, 3)), atol=1e-5)


def test_the_prefix_of_data_parallel_is_taken_off() -> None:
    reference, net = reference_state(), network()
    plain = import_acm_state_dict(reference, net)
    prefixed = import_acm_state_dict({f"module.{name}": t for name, t in reference.items()}, net)
    assert all(torch.equal(plain[name], prefixed[name]) for name in plain)


def test_all_differences_are_listed_and_the_network_stays_as_it_is() -> None:
    reference, net = reference_state(), network()
    del reference["layer1.0.module.sub_mod.map_gen.0.bias"]
    reference["fc.weight"] = torch.zeros(1)
    reference["layer1.0.module.extra.weight"] = torch.zeros(1)
    reference["classifier_conv.bias"] = torch.zeros(2)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(ValueError, match="does not fit") as raised:
        import_acm_state_dict(reference, net)
    message = str(raised.value)
    assert "1 missing: backbone.layer1.0.se.query_map.bias" in message
    assert "2 unexpected: backbone.fc.weight, backbone.layer1.0.module.extra.weight" in message
    assert "1 of another shape: head.bias (found (2,), expected (14,))" in message
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_a_whole_checkpoint_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"no tensors: state_dict, epoch\. .*the part with the weights"):
        import_acm_state_dict({"state_dict": reference_state(), "epoch": 3}, network())
