"""VGG-16 and ResNet-34 for grey images: their sizes, and torchvision's own networks as an oracle."""

from __future__ import annotations

import pytest
import torch
import torchvision

from medpipe.networks.imagenet_features import ImageNetFeatures
from medpipe.networks.weights import load_backbone

COUNTS = {"vgg16": 14_714_688, "resnet34": 21_284_672}
"""As torchvision's documentation gives them, without the last layers."""


@pytest.mark.parametrize("name", list(COUNTS))
def test_parameters_are_those_of_torchvision_without_the_classifier(name) -> None:
    with torch.device("meta"):
        net = ImageNetFeatures(name)
    assert sum(parameter.numel() for parameter in net.parameters()) == COUNTS[name]


def test_a_file_of_torchvision_gives_torchvisions_map_of_a_grey_image_as_photograph(tmp_path) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.resnet34().eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet34.pth")
    net = load_backbone(ImageNetFeatures("resnet34"), tmp_path / "resnet34.pth").eval()
    grey = torch.rand(2, 1, 40, 64)
    photograph = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])(grey.repeat(1, 3, 1, 1))
    for name, layer in theirs.named_children():
        photograph = layer(photograph)
        if name == "layer4":
            break
    with torch.no_grad():
        found = net(grey)
    assert found.shape == (2, 512, 2, 2)
    assert torch.allclose(found, photograph, atol=1e-4)


def test_a_file_of_vgg16_loads_with_its_classifier_left_aside(tmp_path) -> None:
    net, torch_like = ImageNetFeatures("vgg16"), ImageNetFeatures("vgg16").backbone.state_dict()
    state = {**torch_like, "classifier.0.weight": torch.zeros(2, 2), "classifier.0.bias": torch.zeros(2)}
    torch.save(state, tmp_path / "vgg16.pth")
    load_backbone(net, tmp_path / "vgg16.pth")
    assert all(torch.equal(value, torch_like[name]) for name, value in net.backbone.state_dict().items())
    with torch.device("meta"):
        assert set(torch_like) <= set(torchvision.models.vgg16().state_dict())
    assert net(torch.rand(1, 1, 32, 32)).shape == (1, 512, 1, 1)


def test_a_frozen_network_keeps_its_running_means_in_training() -> None:
    net = ImageNetFeatures("resnet34").requires_grad_(False).train()
    before = net.backbone.state_dict()["bn1.running_mean"].clone()
    net(torch.rand(2, 1, 32, 32))
    assert torch.equal(net.backbone.state_dict()["bn1.running_mean"], before)
    net.requires_grad_(True).train()
    net(torch.rand(2, 1, 32, 32))
    assert not torch.equal(net.backbone.state_dict()["bn1.running_mean"], before)
