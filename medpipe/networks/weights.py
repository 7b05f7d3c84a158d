"""Weight files into whole networks, with errors in the words of a command line."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from medpipe.errors import RequestError
from medpipe.networks.backbones import load_backbone_weights
from medpipe.networks.state_dicts import check_state_dict, read_state_dict

__all__ = ["load_backbone", "load_weights", "start_from"]


def load_weights(network: nn.Module, path: str | Path) -> nn.Module:
    """Load a network's own weights; every name and shape must match.

    Returns:
        The same network, in evaluation mode.

    Raises:
        RequestError: The file is missing, is no flat state_dict, or does not fit; the message says how.
    """
    if not Path(path).is_file():
        raise RequestError(f"weight file '{path}' does not exist; train the bundle, or give weights=FILE")
    source = f"weight file '{path}'"
    try:
        state = read_state_dict(path)
    except Exception as error:  # torch and safetensors raise many kinds on foreign files
        reason = str(error).split("\n", 1)[0][:200]
        raise RequestError(f"{source} holds no plain tensors ({reason}); save a state_dict") from error
    try:
        check_state_dict(state, network.state_dict(), source=source)
    except ValueError as error:
        raise RequestError(
            f"{str(error)[:400]}; give the options that it was trained with (backbone=, context=), "
            "or use 'medpipe import-weights' for the authors' files"
        ) from error
    network.load_state_dict(state)
    return network.eval()


def start_from(network: nn.Module, path: str | Path | None) -> nn.Module:
    """``load_weights`` for a network that is to be trained on; None leaves it as initialised.

    Raises:
        RequestError: As ``load_weights``.
    """
    return network if path is None else load_weights(network, path).train()


def load_backbone(network: nn.Module, path: str | Path | None) -> nn.Module:
    """Load ImageNet weights into ``network.backbone``; None leaves it as initialised.

    Raises:
        RequestError: The file is missing or does not fit the backbone.
    """
    if path is None:
        return network
    try:
        load_backbone_weights(network.backbone, path)  # type: ignore[arg-type]
    except Exception as error:  # torch and safetensors raise many kinds on foreign files
        reason = str(error).split("\n", 1)[0][:400]
        raise RequestError(
            f"pretrained weights '{path}': {reason}; give a state dict of torchvision or timm"
        ) from error
    return network
