from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from medpipe.errors import RequestError
from medpipe.networks.weights import load_backbone, load_weights


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_weights_come_back_exactly_and_the_network_is_ready_to_infer(tmp_path, suffix) -> None:
    source, target = network(), network()
    path = tmp_path / f"w.{suffix}"
    save_file(source.state_dict(), path) if suffix == "safetensors" else torch.save(source.state_dict(), path)
    assert load_weights(target, path) is target
    assert not target.training
    for name, tensor in source.state_dict().items():
        torch.testing.assert_close(target.state_dict()[name], tensor, rtol=0, atol=0)


def test_a_missing_file_says_what_to_do(tmp_path) -> None:
    with pytest.raises(RequestError, match="does not exist; train the bundle"):
        load_weights(network(), tmp_path / "none.pt")


def test_other_names_and_shapes_are_listed_and_nothing_is_loaded(tmp_path) -> None:
    target = network()
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    state = network().state_dict()
    state["0.weight"] = torch.zeros(2, 1, 5, 5)
    state["extra"] = state.pop("0.bias")
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(RequestError, match=r"does not fit the network; 1 missing: 0.bias; 1 unexpected: extra; 1 of"):
        load_weights(target, tmp_path / "w.pt")
    for name, tensor in before.items():
        torch.testing.assert_close(target.state_dict()[name], tensor, rtol=0, atol=0)


def test_a_file_that_is_no_state_dict_is_refused(tmp_path) -> None:
    (tmp_path / "w.pt").write_bytes(b"words")
    with pytest.raises(RequestError, match="holds no plain tensors"):
        load_weights(network(), tmp_path / "w.pt")
    torch.save([1, 2], tmp_path / "l.pt")
    with pytest.raises(RequestError, match="holds no plain tensors"):
        load_weights(network(), tmp_path / "l.pt")


def test_no_pretrained_file_leaves_the_backbone_as_it_is() -> None:
    target = network()
    assert load_backbone(target, None) is target


def test_a_pretrained_file_that_does_not_fit_is_named(tmp_path) -> None:
    from medpipe.networks.acm import ContextLocalizer

    torch.save({"x": torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(RequestError, match="pretrained weights .*w.pt"):
        load_backbone(ContextLocalizer("resnet18", "none"), tmp_path / "w.pt")
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(
        RequestError, match=r"pretrained weights .*notes.json.*give a state dict of torchvision or timm"
    ):
        load_backbone(ContextLocalizer("resnet18", "none"), tmp_path / "notes.json")
