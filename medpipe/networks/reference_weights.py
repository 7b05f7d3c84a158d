"""Weights of other projects, in the names of our networks.

The names are those that the checkpoints of https://github.com/mk-minchul/attend-and-compare (folder
``cxr14``) have: torchvision's for the ResNet, ``layerX.Y.module`` for the attend-and-compare modules,
``classifier_conv`` for the head.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

from .state_dicts import check_flat, check_state_dict

__all__ = ["import_acm_state_dict"]

_ACM_PARTS = {
    "add_mod.map_gen.0": "key_map",
    "sub_mod.map_gen.0": "query_map",
    "mul_mod.feature_gen.0": "gate_reduce",
    "mul_mod.feature_gen.2": "gate_expand",
}


def import_acm_state_dict(
    reference: Mapping[str, Tensor], network: nn.Module, *, label: int | None = None
) -> dict[str, Tensor]:
    """Rename the authors' state dict of a ResNet with attend-and-compare modules.

    The released chest X-ray classifier fits
    ``ContextLocalizer("resnet50", "acm", in_channels=3, num_classes=14)``; with ``in_channels=1`` it takes
    grey images.

    Args:
        reference: Their names to tensors: the entry ``state_dict`` of their checkpoint. A prefix ``module.``
            of all names (DataParallel) is taken off.
        label: Take this class alone, counted from 0, of a classifier of several.
        network: Our network of the same architecture.

    Returns:
        A state dict for ``network.load_state_dict``, in the network's order; the network itself is not
        changed.

    Raises:
        ValueError: Entries are no tensors, or names are missing, unexpected or of another shape. The message
            lists them in our names, unexpected ones that have no counterpart in theirs.
    """
    check_flat(reference, "the reference state dict")
    expected = network.state_dict()
    prefix = "module." if all(name.startswith("module.") for name in reference) else ""
    found = {_our_name(name.removeprefix(prefix)): tensor for name, tensor in reference.items()}
    if label is not None:
        found |= {name: _one_class(found[name], label) for name in ("head.weight", "head.bias") if name in found}
    check_state_dict(found, expected, source="the reference state dict")
    return {name: found[name] for name in expected}


def _our_name(name: str) -> str:
    if name.startswith("classifier_conv."):
        return name.replace("classifier_conv.", "head.", 1)
    match = re.fullmatch(r"(layer\d+\.\d+)\.module\.(.+)\.(weight|bias)", name)
    if match and match[2] in _ACM_PARTS:
        return f"backbone.{match[1]}.se.{_ACM_PARTS[match[2]]}.{match[3]}"
    return f"backbone.{name}"


def _one_class(parameter: Tensor, label: int) -> Tensor:
    if not 0 <= label < len(parameter):
        raise ValueError(f"label {label} is none of the {len(parameter)} classes, counted from 0")
    return parameter[label : label + 1].clone()
