"""Weights of MEVF's authors, in the names of our networks.

Names are those of https://github.com/aioz-ai/MICCAI19-MedVQA. Three kinds of files were published: ``pretrained_maml.weights``,
a pickled dictionary of numpy arrays written by TensorFlow code; ``pretrained_ae.pth``, a state dict; and whole models.

The meta-learned arrays mean something slightly different where they come from: there a convolution pads images of even size
at the bottom and on the right alone, and normalises before ReLU. The authors carry over the convolutions and start the
normalisations afresh, and so do we.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .mevf import DenoisingAutoencoder, MetaEncoder
from .question_answerer import QuestionAnswerer
from .state_dicts import check_flat, check_state_dict

__all__ = ["import_cdae_state_dict", "import_maml_weights", "import_mevf_state_dict"]

_LAYERS = 4
_HEAD = {"w5", "b5"}  # of the meta-learner's own classes
_CDAE = {
    "conv1": "down1",
    "conv2": "down2",
    "conv3": "code",
    "tran_conv1": "up1",
    "conv4": "smooth",
    "tran_conv2": "up2",
    "conv5": "image",
}
_NORMALIZED = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}

_RULES: tuple[tuple[str, str], ...] = (
    (r"w_emb\.emb\.(.+)", r"embedding.words.\1"),
    (r"w_emb\.emb_\.(.+)", r"embedding.augmenting.\1"),
    (r"q_emb\.rnn\.(.+)", r"question.rnn.\1"),
    (r"v_att\.fc11\.(.+)", r"fusion.queries.0.\1"),
    (r"v_att\.fc12\.(.+)", r"fusion.keys.0.\1"),
    (r"v_att\.fc13\.(.+)", r"fusion.scores.0.\1"),
    (r"v_att\.logits\.h_mat_g", r"fusion.attention.parametrizations.maps.original0"),
    (r"v_att\.logits\.h_mat_v", r"fusion.attention.parametrizations.maps.original1"),
    (r"v_att\.logits\.h_bias", r"fusion.attention.bias"),
    (r"v_att\.logits\.v_net\.main\.\d\.(.+)", r"fusion.attention.regions.linear.\1"),
    (r"v_att\.logits\.q_net\.main\.\d\.(.+)", r"fusion.attention.words.linear.\1"),
    (r"b_net\.(\d+)\.v_net\.main\.\d\.(.+)", r"fusion.pooling.\1.regions.linear.\2"),
    (r"b_net\.(\d+)\.q_net\.main\.\d\.(.+)", r"fusion.pooling.\1.words.linear.\2"),
    (r"q_prj\.(\d+)\.main\.\d\.(.+)", r"fusion.projections.\1.linear.\2"),
    (r"classifier\.main\.0\.(.+)", r"classifier.widen.\1"),
    (r"classifier\.main\.3\.(.+)", r"classifier.answers.\1"),
    (r"convert\.(.+)", r"visual.convert.\1"),
)


def import_maml_weights(arrays: Mapping[str, Any], encoder: MetaEncoder) -> dict[str, Tensor]:
    """The meta-learned convolutions as a state dict of our encoder.

    Kernels (height, width, in, out) become (out, in, height, width). Normalisations start at weight 1, bias 0, mean 0 and
    variance 1; the arrays of the meta-learner's own head are left out.

    Args:
        arrays: ``conv1`` to ``conv4`` and ``b1`` to ``b4``: the content of ``pretrained_maml.weights``, which
            ``medpipe.data.plain_pickles.read_plain_pickle`` reads without running it.
        encoder: The network that takes them; it is not changed.

    Raises:
        ValueError: Arrays are missing, unexpected or of another shape.
    """
    unknown = [name for name in arrays if name not in _HEAD and not re.fullmatch(rf"(conv|b)[1-{_LAYERS}]", str(name))]
    if unknown:
        raise ValueError(f"the meta-learned weights hold {', '.join(map(str, unknown[:5]))}; expected conv1.. and b1..")
    state = {name: torch.zeros_like(tensor) for name, tensor in encoder.state_dict().items() if "norms" in name}
    for name, tensor in state.items():
        if name.endswith(("weight", "running_var")):
            tensor.fill_(1)
    for layer in range(1, _LAYERS + 1):
        for key, kind in ((f"conv{layer}", "weight"), (f"b{layer}", "bias")):
            if key not in arrays:
                continue
            array = torch.from_numpy(np.array(arrays[key], np.float32))
            array = array.permute(3, 2, 0, 1).contiguous() if array.ndim == 4 else array
            state[f"convolutions.{layer - 1}.{kind}"] = array
    expected = encoder.state_dict()
    check_state_dict(state, expected, source="the meta-learned weights")
    return {name: state[name] for name in expected}


def import_cdae_state_dict(reference: Mapping[str, Tensor], network: DenoisingAutoencoder) -> dict[str, Tensor]:
    """The authors' auto-encoder (``pretrained_ae.pth``) as a state dict of ours.

    Raises:
        ValueError: Entries are no tensors, or names are missing, unexpected or of another shape.
    """
    check_flat(reference, "the auto-encoder's weights")
    found = {_cdae_name(name): tensor for name, tensor in reference.items()}
    expected = network.state_dict()
    check_state_dict(found, expected, source="the auto-encoder's weights")
    return {name: found[name] for name in expected}


def import_mevf_state_dict(reference: Mapping[str, Tensor], network: QuestionAnswerer) -> dict[str, Tensor]:
    """A whole model of the authors, with SAN or BAN, as a state dict of ours.

    Args:
        reference: Their names to tensors; a prefix ``module.`` of all names is taken off.
        network: Ours of the same vocabulary, candidates, attention and encoders; it is not changed.

    Raises:
        ValueError: Entries are no tensors, or names are missing, unexpected or of another shape.
    """
    check_flat(reference, "the reference state dict")
    prefix = "module." if all(name.startswith("module.") for name in reference) else ""
    expected = network.state_dict()
    found = {_mevf_name(name.removeprefix(prefix)): tensor for name, tensor in reference.items()}
    found = {
        name: tensor.reshape(expected[name].shape) if tensor.numel() == 1 and name in expected else tensor
        for name, tensor in found.items()
    }
    check_state_dict(found, expected, source="the reference state dict")
    return {name: found[name] for name in expected}


def _cdae_name(name: str) -> str:
    layer, _, kind = name.rpartition(".")
    return f"{_CDAE[layer]}.{kind}" if layer in _CDAE else name


def _mevf_name(name: str) -> str:
    if name.startswith("ae_v_emb."):
        return f"visual.autoencoder.{_cdae_name(name.removeprefix('ae_v_emb.'))}"
    if match := re.fullmatch(r"maml_v_emb\.(conv|bn)(\d)\.(.+)", name):
        kind = "convolutions" if match[1] == "conv" else "norms"
        return f"visual.meta.{kind}.{int(match[2]) - 1}.{match[3]}"
    if match := re.fullmatch(r"v_att\.layers\.(\d+)\.(.+)", name):  # three to a hop, from the second hop
        hop, part = divmod(int(match[1]), 3)
        return f"fusion.{('queries', 'keys', 'scores')[part]}.{hop + 1}.{match[2]}"
    for pattern, ours in _RULES:
        if match := re.fullmatch(pattern, name):
            found = match.expand(ours)
            stem, _, last = found.rpartition(".")
            return f"{stem}.{_NORMALIZED.get(last, last)}"
    return name
