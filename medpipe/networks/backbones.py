"""Image backbones that carry a context block: an image to its last feature map.

The backbones are timm's ResNets and MONAI's DenseNet; only the context blocks are put in here. Parameter
names are those of timm and MONAI, so that ordinary ImageNet weights load and only the blocks' own names are
missing from them.

Sources: ResNet (K He et al., CVPR 2016), ResNeXt (S Xie et al., CVPR 2017), DenseNet (G Huang et al., CVPR
    2017); for
the places of the blocks, "Learning Visual Context by Comparison" (https://arxiv.org/abs/2007.07506) with its
code, and "Non-local Neural Networks" (https://arxiv.org/abs/1711.07971), section 4.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import timm
from monai.networks.nets import DenseNet121
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import Tensor, nn

from .blocks import CONTEXT_BLOCKS, context_block
from .choices import choose
from .state_dicts import check_state_dict, read_state_dict

__all__ = ["BACKBONES", "PLACEMENTS", "context_backbone", "context_modules", "load_backbone_weights"]

# Names to timm's names of the weights the papers started from (torchvision's first ones), if there are any.
BACKBONES: dict[str, str | None] = {
    "resnet11_quarter": None,
    "resnet14_quarter": None,
    "resnet18": "resnet18.tv_in1k",
    "resnet34": "resnet34.tv_in1k",
    "resnet50": "resnet50.tv_in1k",
    "resnet101": "resnet101.tv_in1k",
    "resnext101_32x8d": "resnext101_32x8d.tv_in1k",
    "densenet121": "densenet121.tv_in1k",
}

_STRIDES = {"densenet121": (32,), "resnet11_quarter": (8, 16)}

PLACEMENTS = ("every_block", "nl5", "stage4")

_DEFAULT_PLACEMENT = {name: "nl5" if name in ("nl", "cc") else "every_block" for name in CONTEXT_BLOCKS}
_NL5_BLOCKS = {1: 2, 2: 3}  # index of the stage: number of non-local blocks in it
_CLASSIFIERS = ("fc.", "classifier.", "class_layers.")


def context_backbone(
    name: str,
    *,
    context: str = "none",
    placement: str | None = None,
    context_args: Mapping[str, Any] | None = None,
    in_channels: int = 3,
    pretrained: bool = False,
    weights: str | Path | None = None,
    output_stride: int = 32,
    zero_init_last: bool = True,
) -> nn.Module:
    """Build a backbone, with a context block at every place the placement names.

    Placements:
        ``every_block``: ResNets in every block after its last batch norm, before the shortcut is added;
        DenseNet after the third, sixth, ... layer of each dense block, on the concatenation that the layer
        hands on. Default, except for ``nl`` and ``cc``.
        ``nl5``: two blocks in the second stage and three in the third, each behind a residual block (or dense
        layer), evenly spaced: every other block in ResNet-50. Fewer where a stage has fewer blocks. Default
        for ``nl``, ``cc``.
        ``stage4``: the places of ``every_block`` in the last stage only.

    Args:
        name: A key of ``BACKBONES``. ``resnet14_quarter`` has one bottleneck per stage at a quarter of the
            usual widths (512 output channels), for small data and demonstrations; ``resnet11_quarter`` is the same
            without the fourth stage (256 output channels), and sees less of the image at once.
        context: ``none`` or a key of ``medpipe.networks.blocks.CONTEXT_BLOCKS``.
        placement: See above; None takes the default of the context block.
        context_args: Options of the context block.
        in_channels: Channels of the image.
        pretrained: Load torchvision's first ImageNet weights, fetched by timm. Excludes ``weights``.
        weights: ImageNet weights in a local file instead; see ``load_backbone_weights``.
        output_stride: Pixels of the image per cell of the feature map: 8, 16 or 32; below 32 the last stages
            are dilated instead of strided (ResNets only).
        zero_init_last: Start the last batch norm of each residual block at zero, so that the blocks start as
            identity (ResNets only; ImageNet weights replace it). An attend-and-compare module behind that norm
            then starts at a saddle: its K - Q is quadratic in the scale of its input, so it learns little for
            long. False is the better start for training from scratch with ``acm`` in every block.

    Returns:
        A module from (B, in_channels, H, W) to (B, num_features, ceil(H / stride), ceil(W / stride)), up to
        the rounding of DenseNet's pooling, with ``num_features`` as attribute.

    Raises:
        ValueError: A name or option is unknown, or options exclude each other.
    """
    choose("backbone", name, BACKBONES)
    choose("context", context, ["none", *CONTEXT_BLOCKS])
    if context == "none" and (placement is not None or context_args):
        raise ValueError("placement and context_args need a context block, but context is 'none'")
    if pretrained and weights is not None:
        raise ValueError(f"give either pretrained=True or weights, found both (weights={str(weights)!r})")
    if pretrained and BACKBONES[name] is None:
        raise ValueError(f"there are no published ImageNet weights of {name!r}; use pretrained=False")
    backbone = _plain_backbone(name, in_channels, output_stride, zero_init_last)
    if context != "none":
        where = choose("placement", placement or _DEFAULT_PLACEMENT[context], PLACEMENTS)
        _insert(backbone, partial(context_block, context, **dict(context_args or {})), where)
    if pretrained:
        donor = timm.create_model(str(BACKBONES[name]), pretrained=True, in_chans=in_channels)
        _load(backbone, donor.state_dict(), str(BACKBONES[name]))
    if weights is not None:
        load_backbone_weights(backbone, weights)
    return backbone


def context_modules(network: nn.Module) -> dict[str, nn.Module]:
    """The context blocks inside a network: their names in ``named_modules`` to the modules, in order."""
    kinds = tuple(CONTEXT_BLOCKS.values())
    return {name: module for name, module in network.named_modules() if isinstance(module, kinds)}


def load_backbone_weights(backbone: nn.Module, path: str | Path) -> None:
    """Load ImageNet weights into a backbone of ``context_backbone``.

    The file holds a state dict of timm's or torchvision's network of the same name, or of the same backbone.
    Its classifier is left aside. The context blocks may be absent from it as a whole, and the batch counters
    of old torchvision files; everything else must be there.

    Args:
        backbone: The module to load into.
        path: A ``.safetensors`` file or one of ``torch.save``; nothing but tensors is unpickled.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Names are missing, unexpected or of another shape; the message lists them, and nothing is
            loaded.
    """
    _load(backbone, read_state_dict(path), str(path))


def _load(backbone: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    expected = backbone.state_dict()
    found = {name: tensor for name, tensor in state.items() if not name.startswith(_CLASSIFIERS)}
    if not isinstance(backbone, ResNet):
        found = {_monai_name(name): tensor for name, tensor in found.items()}
    blocks = tuple(f"{name}." for name in context_modules(backbone))
    may_lack = {name for name in expected if name.endswith("num_batches_tracked")}
    if not any(name.startswith(blocks) for name in found):
        may_lack |= {name for name in expected if name.startswith(blocks)}
    check_state_dict(found, expected, source=source, may_lack=may_lack)
    backbone.load_state_dict(found, strict=False)


def _monai_name(name: str) -> str:
    """MONAI's name of a DenseNet parameter: others lack ``layers``, old torchvision files have ``norm.1``."""
    return re.sub(r"(denselayer\d+)\.(norm|conv)\.?([12])\.", r"\1.layers.\2\3.", name)


def _plain_backbone(name: str, in_channels: int, output_stride: int, zero_init_last: bool) -> nn.Module:
    allowed = _STRIDES.get(name, (8, 16, 32))
    if output_stride not in allowed:
        raise ValueError(f"output_stride of {name} must be one of {allowed}, found {output_stride}")
    if name == "densenet121":
        return _densenet121(in_channels)
    options: dict[str, Any] = {
        "in_chans": in_channels,
        "output_stride": output_stride,
        "num_classes": 0,
        "global_pool": "",
        "zero_init_last": zero_init_last,
    }
    if name == "resnet14_quarter":
        return ResNet(Bottleneck, (1, 1, 1, 1), channels=(16, 32, 64, 128), **options)
    if name == "resnet11_quarter":
        # No blocks in the fourth stage; its width repeats the third's, which the feature map then has.
        return ResNet(Bottleneck, (1, 1, 1, 0), channels=(16, 32, 64, 64), **options)
    model: nn.Module = timm.create_model(name, pretrained=False, **options)
    return model


def _densenet121(in_channels: int) -> nn.Module:
    # MONAI's, not timm's: its layers hand on the concatenation, so a context block can follow as a child.
    full = DenseNet121(spatial_dims=2, in_channels=in_channels, out_channels=1)
    backbone = nn.Sequential(OrderedDict(features=full.features, relu=nn.ReLU()))
    backbone.num_features = full.class_layers.out.in_features  # type: ignore[union-attr,assignment]
    return backbone


def _insert(backbone: nn.Module, make: partial[nn.Module], placement: str) -> None:
    """Put new context blocks into the places that the placement names."""
    residual = isinstance(backbone, ResNet)
    parent, prefix = (backbone, "layer") if residual else (backbone.get_submodule("features"), "denseblock")
    for index in range(4):
        name = f"{prefix}{index + 1}"
        stage = parent.get_submodule(name)
        units = dict(stage.named_children())
        places = _places(list(units), index, placement, every=1 if residual else 3)
        if residual and placement != "nl5":
            for unit in places:
                _set_after_last_norm(units[unit], make)
        elif places:
            setattr(parent, name, _with_blocks_behind(units, places, make))


def _places(units: list[str], stage: int, placement: str, every: int) -> list[str]:
    """Names of the residual blocks or dense layers of one stage that get a context block."""
    if placement == "nl5":
        count = _NL5_BLOCKS.get(stage, 0)
        step = max(1, len(units) // count) if count else 1
        return units[step - 1 :: step][:count]
    return units[every - 1 :: every] if placement == "every_block" or stage == 3 else []


def _set_after_last_norm(block: nn.Module, make: partial[nn.Module]) -> None:
    assert isinstance(block, (BasicBlock, Bottleneck))
    block.se = make(_width(block))  # timm runs what stands here after the last batch norm


def _with_blocks_behind(units: dict[str, nn.Module], places: list[str], make: partial[nn.Module]) -> nn.Sequential:
    """The stage again, with a child ``<unit>_context`` behind each of the places; other names stay."""
    children: OrderedDict[str, nn.Module] = OrderedDict()
    for name, unit in units.items():
        children[name] = unit
        if name in places:
            children[f"{name}_context"] = make(_width(unit))
    return nn.Sequential(children)


def _width(unit: nn.Module) -> int:
    """Channels that a residual block or a dense layer hands on."""
    if isinstance(unit, (BasicBlock, Bottleneck)):
        norm = unit.bn2 if isinstance(unit, BasicBlock) else unit.bn3
        return int(norm.num_features)
    taken, grown = unit.get_parameter("layers.norm1.weight"), unit.get_parameter("layers.conv2.weight")
    return taken.shape[0] + grown.shape[0]
