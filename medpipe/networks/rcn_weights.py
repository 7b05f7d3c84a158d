"""TensorFlow weights of recursive cascades and of the student's published code, in the names of our networks.

The variables are those of https://github.com/microsoft/Recursive-Cascaded-Networks (``gaffdfrm/affine_stem/conv1/W``,
``gaffdfrm/deform_stem_0/upsamp1to0/W``) and of https://github.com/aioz-ai/LDR_ALDK (``.../ldr_util/...`` for the
initial affine network). TensorFlow itself is not needed: any reader of its checkpoints gives the dictionary.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .blocks.cascade import Cascade
from .state_dicts import check_state_dict

__all__ = ["import_rcn_variables"]

_VARIABLE = re.compile(r"(?:.*/)?(affine_stem|ldr_util|deform_stem_(\d+))/(\w+)/(W|b)(?::0)?")
_HEADS = ("conv7_W", "conv7_b")


def import_rcn_variables(variables: Mapping[str, Any], network: Cascade) -> dict[str, Tensor]:
    """Rename and turn TensorFlow variables into a state dict of our cascade.

    Kernels (k, k, k, in, out) become (out, in, k, k, k), those of transposed convolutions (k, k, k, out, in) become
    (in, out, k, k, k): the same permutation. Variables of the optimiser and of other parts of their graph are left
    out.

    Args:
        variables: Names to arrays.
        network: ``RCN``, or ``LDR`` of variant ``code``, of the same architecture.

    Returns:
        A state dict for ``network.load_state_dict``; the network itself is not changed.

    Raises:
        ValueError: Variables are missing, unexpected or of another shape; the message lists them in our names.
    """
    found: dict[str, Tensor] = {}
    for name, value in variables.items():
        match = _VARIABLE.fullmatch(name)
        if match is None:
            continue
        _, number, layer, kind = match.groups()
        place = f"dense.{int(number)}.layers" if number else f"affine.{'heads' if layer in _HEADS else 'layers'}"
        array = torch.from_numpy(np.array(value, dtype=np.float32))
        if array.ndim == 5:
            array = array.permute(4, 3, 0, 1, 2).contiguous()
        found[f"{place}.{layer}.{'weight' if kind == 'W' else 'bias'}"] = array
    expected = network.state_dict()
    check_state_dict(found, expected, source="the TensorFlow checkpoint")
    return {name: found[name] for name in expected}
