from __future__ import annotations

import pytest
import torch
from torch import nn

from medpipe.errors import RequestError
from medpipe.networks.deployment.signature import signature_of
from medpipe.networks.ldr import LDR


def data_format(**inputs) -> dict:
    return {"inputs": inputs, "outputs": {"pred": {}}}


def image(*shape, channels=1) -> dict:
    return {"num_channels": channels, "spatial_shape": list(shape)}


def test_names_and_shapes_are_those_of_the_metadata() -> None:
    found = signature_of(nn.Identity(), data_format(left=image(8, 6, channels=3), right=image(4)))
    assert found.inputs == {"left": (3, 8, 6), "right": (1, 4)}
    assert found.outputs == ("pred",)
    assert found.dynamic_batch


@pytest.mark.parametrize(
    ("size", "shape"), [(16, (1, 16, 16)), ([16, 32], (1, 16, 32)), ([3, 16, 32], (3, 16, 32)), (None, (1, 8, 8))]
)
def test_the_size_of_the_config_comes_before_the_metadatas(size, shape) -> None:
    assert signature_of(nn.Identity(), data_format(image=image(8, 8)), size).inputs == {"image": shape}


def test_a_registration_takes_one_pair_and_gives_the_warped_image_and_the_field() -> None:
    network = LDR(16, initial="none", channels=1)
    found = signature_of(network, data_format(image=image(16, 16, 16, channels=2)))
    assert found.inputs == {"fixed": (1, 16, 16, 16), "moving": (1, 16, 16, 16)}
    assert found.outputs == ("warped", "field")
    assert not found.dynamic_batch


def test_random_inputs_come_from_the_seed() -> None:
    found = signature_of(nn.Identity(), data_format(image=image(8, 8)))
    first, again, other = (found.random_inputs(2, seed)[0] for seed in (1, 1, 2))
    assert first.shape == (2, 1, 8, 8)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        data_format(),
        {"inputs": {"image": image(8, 8)}},
        data_format(image=image("*", 8)),
        {"inputs": [], "outputs": {}},
    ],
)
def test_metadata_that_say_too_little_are_refused(facts) -> None:
    with pytest.raises(RequestError, match="network_data_format must give"):
        signature_of(nn.Identity(), facts)
