"""Weights of the TensorFlow code: names, layouts, and that a convolution means the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medpipe.networks.ldr import LDR
from medpipe.networks.rcn import RCN
from medpipe.networks.rcn_weights import import_rcn_variables


def variables_of(network: torch.nn.Module, affine: str) -> dict[str, np.ndarray]:
    """The network's weights as TensorFlow would hold them."""
    variables = {}
    for name, tensor in network.state_dict().items():
        parts = name.split(".")
        stem = affine if parts[0] == "affine" else f"deform_stem_{parts[1]}"
        array = tensor.numpy()
        if array.ndim == 5:
            array = np.moveaxis(array, (0, 1), (4, 3))
        variables[f"gaffdfrm/{stem}/{parts[-2]}/{'W' if parts[-1] == 'weight' else 'b'}"] = array
    return variables


@pytest.mark.parametrize("kind", ["rcn", "ldr"])
def test_a_state_dict_comes_back_from_its_tensorflow_form(kind: str) -> None:
    network = RCN(64, n_cascades=2, channels=2) if kind == "rcn" else LDR(64, n_cascades=2, variant="code", channels=2)
    variables = variables_of(network, "affine_stem" if kind == "rcn" else "ldr_util")
    variables["gaffdfrm/deform_stem_0/conv1/W/Adam"] = np.zeros(3)
    variables["global_step"] = np.array(3)
    state = import_rcn_variables({f"{name}:0": value for name, value in variables.items()}, network)
    assert list(state) == list(network.state_dict())
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())


def test_names_are_those_of_the_published_graph() -> None:
    with torch.device("meta"):
        names = [name.replace("weight", "W") for name in RCN(n_cascades=1).state_dict()]
    layers = {name.split(".")[-2] for name in names if name.startswith("dense.0")}
    assert layers == {
        *(f"conv{k}" for k in range(1, 7)),
        *(f"conv{k}_1" for k in range(3, 7)),
        *(f"pred{k}" for k in range(2, 7)),
        *(f"deconv{k}" for k in range(1, 6)),
        *(f"upsamp{k}to{k - 1}" for k in range(1, 7)),
    }
    assert {"affine.heads.conv7_W.W", "affine.heads.conv7_b.W"} <= set(names)


def test_kernels_are_turned_as_the_formulas_of_both_frameworks_ask() -> None:
    network = RCN(64, n_cascades=1, channels=2)
    variables = variables_of(network, "affine_stem")
    kernel = np.zeros_like(variables["gaffdfrm/deform_stem_0/conv1/W"])
    kernel[0, 1, 2, 1, 0] = 5  # tap (0, 1, 2) from channel in 1 to channel out 0
    variables["gaffdfrm/deform_stem_0/conv1/W"] = kernel
    up = np.zeros_like(variables["gaffdfrm/deform_stem_0/deconv1/W"])
    up[3, 0, 1, 1, 6] = 7  # tap (3, 0, 1) to channel out 1 from channel in 6
    variables["gaffdfrm/deform_stem_0/deconv1/W"] = up
    state = import_rcn_variables(variables, network)
    assert state["dense.0.layers.conv1.weight"].nonzero().tolist() == [[0, 1, 0, 1, 2]]
    assert state["dense.0.layers.deconv1.weight"].nonzero().tolist() == [[6, 1, 3, 0, 1]]


def test_what_does_not_fit_is_named() -> None:
    network = RCN(64, n_cascades=1, channels=2)
    variables = variables_of(network, "affine_stem")
    variables.pop("gaffdfrm/deform_stem_0/pred3/b")
    variables["gaffdfrm/deform_stem_1/pred3/b"] = np.zeros(3)
    message = r"1 missing: dense.0.layers.pred3.bias; 1 unexpected: dense.1.layers.pred3.bias"
    with pytest.raises(ValueError, match=message):
        import_rcn_variables(variables, network)
