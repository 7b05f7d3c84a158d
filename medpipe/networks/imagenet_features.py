"""Maps of a network for photographs, made from grey images: what encoders of medical images are compared with.

VGG-16: K Simonyan, A Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
https://arxiv.org/abs/1409.1556. ResNet-34: K He, X Zhang, S Ren, J Sun, "Deep Residual Learning for Image Recognition", CVPR
2016, https://arxiv.org/abs/1512.03385. Names of parameters are those of torchvision, whose files of weights load.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from .backbones import context_backbone
from .choices import choose

__all__ = ["IMAGENET", "ImageNetFeatures"]

IMAGENET = ("vgg16", "resnet34")

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the photographs, by colour


class ImageNetFeatures(nn.Module):
    """The last map of VGG-16 or ResNet-34, without what classified photographs.

    A grey image stands for all three colours, normalised as photographs are. It starts at random until weights are loaded into
    ``backbone``. Where no parameter is trained, running means of batch normalisation stay as they are, too.

    Args:
        name: ``vgg16`` or ``resnet34``.

    Raises:
        ValueError: The name is unknown.

    Shape:
        (B, 1, H, W) in [0, 1], sides of 32 or more, to (B, 512, H / 32, W / 32); the ResNet rounds up.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str = "vgg16") -> None:
        super().__init__()
        choose("network for photographs", name, IMAGENET)
        self.backbone = _vgg16() if name == "vgg16" else context_backbone("resnet34", zero_init_last=False)
        self.features = 512
        for key, values in (("mean", _MEAN), ("std", _STD)):
            self.register_buffer(key, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> ImageNetFeatures:
        """Set the mode; of a frozen network evaluation remains."""
        super().train(mode and any(parameter.requires_grad for parameter in self.parameters()))
        return self

    def forward(self, images: Tensor) -> Tensor:
        """The map."""
        found: Tensor = self.backbone((images - self.mean) / self.std)
        return found


def _vgg16() -> nn.Module:
    layers: Any = make_layers(cfgs["D"])
    for layer in layers:
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return nn.Sequential(OrderedDict(features=layers))
