"""Weights of MMQ's authors, in the names of our networks.

Names are those of https://github.com/aioz-ai/MICCAI21_MMQ. A meta-learned network is one list of parameters, ``net.vars.0`` to
``net.vars.17``: of each of four blocks the convolution's weight and bias and the normalisation's weight and bias, then the last
layer; and one list of what its normalisations counted, ``net.vars_bn.0`` to ``net.vars_bn.7``. Whole models carry the encoders
with their last layers, which nothing uses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from .mevf_weights import import_mevf_state_dict
from .mmq import MMQ

__all__ = ["encoder_state_dict", "import_mmq_state_dict"]

_BLOCK = ("convolutions.{}.weight", "convolutions.{}.bias", "norms.{}.weight", "norms.{}.bias")
_COUNTED = ("norms.{}.running_mean", "norms.{}.running_var")
_HEAD = (16, 17)
_AUTHORS = re.compile(r"net\.(vars|vars_bn)\.(\d+)")
_OURS = "encoder."


def encoder_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The encoder alone of one meta-learned network, ours (t<k>/model.pt) or the authors'; without what was counted.

    Args:
        state: Its state dict.

    Raises:
        ValueError: It is neither.
    """
    if any(name.startswith(_OURS) for name in state):
        return {name.removeprefix(_OURS): value for name, value in state.items() if name.startswith(_OURS)}
    found = {name: _encoder_name(name) for name in state}
    if not found or any(ours is None for ours in found.values()):
        raise ValueError("holds no meta-learned network, neither of train_meta nor of MMQ's authors")
    return {ours: state[name] for name, ours in found.items() if ours and "running" not in ours}


def import_mmq_state_dict(reference: Mapping[str, Tensor], network: MMQ) -> dict[str, Tensor]:
    """A whole model of the authors, with SAN or BAN, as a state dict of ours.

    With ``norms="running"`` it takes along what the authors' normalisations counted. Their own answers are with the statistics
    of the batch, ``norms="batch"``.

    Args:
        reference: Their names to tensors.
        network: Ours of the same vocabulary, candidates, attention, profile and encoders; it is not changed.

    Raises:
        ValueError: Entries are no tensors, or names are missing, unexpected or of another shape.
    """
    expected = network.state_dict()
    found: dict[str, Tensor] = {}
    for name, value in reference.items():
        match = re.fullmatch(r"(?:module\.)?maml_v_emb\.(?:(\d+)\.)?(net\..+)", name)
        if match is None:
            found[name.removeprefix("module.")] = value
            continue
        ours = _encoder_name(match[2])
        if ours is None:
            found[name] = value
            continue
        place = f"visual.meta.{match[1] or 0}.{ours}"
        if ours and ("running" not in ours or place in expected):
            found[place] = value
    counters = {name: value for name, value in expected.items() if name.endswith("num_batches_tracked")}
    return import_mevf_state_dict({**found, **counters}, network)


def _encoder_name(name: str) -> str | None:
    """Ours for one of the authors' names; empty for the last layer, None for a name that is not theirs."""
    match = _AUTHORS.fullmatch(name)
    if match is None:
        return None
    number = int(match[2])
    if match[1] == "vars_bn":
        return _COUNTED[number % 2].format(number // 2) if number < 8 else None
    if number in _HEAD:
        return ""
    return _BLOCK[number % 4].format(number // 4) if number < min(_HEAD) else None
