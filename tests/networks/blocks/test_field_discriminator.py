"""The discriminator of fields: one probability per field, gradients per field."""

from __future__ import annotations

import pytest
import torch

from medpipe.networks.blocks.field_discriminator import FieldDiscriminator


@pytest.mark.parametrize("kind", ["paper", "code"])
def test_it_gives_one_probability_per_field(kind: str) -> None:
    torch.manual_seed(0)
    net = FieldDiscriminator(64, kind=kind)
    output = net(torch.randn(2, 3, 64, 64, 64) * 5)
    assert output.shape == (2,)
    assert ((output > 0) & (output < 1)).all()


@pytest.mark.parametrize("kind", ["paper", "code"])
def test_a_fields_gradient_does_not_depend_on_the_rest_of_the_batch(kind: str) -> None:
    torch.manual_seed(0)
    net = FieldDiscriminator((32, 32, 64), kind=kind)
    fields = torch.randn(2, 3, 32, 32, 64, requires_grad=True)
    together = torch.autograd.grad(net(fields).sum(), fields)[0]
    alone = torch.autograd.grad(net(fields[:1]).sum(), fields)[0]
    assert together.abs().max() > 0
    assert torch.allclose(together[:1], alone[:1], atol=1e-7)
    assert torch.equal(alone[1], torch.zeros_like(alone[1]))


def test_fields_are_scaled_by_the_size_of_each_axis() -> None:
    torch.manual_seed(0)
    net = FieldDiscriminator((32, 64, 32))
    seen = []
    net.layers[0].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    net(torch.ones(1, 3, 32, 64, 32))
    assert seen[0][0, :, 0, 0, 0].tolist() == [1 / 32, 1 / 64, 1 / 32]


def test_other_sizes_and_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(B, 3, 32, 32, 32\), found \(1, 3, 64, 64, 64\)"):
        FieldDiscriminator(32)(torch.zeros(1, 3, 64, 64, 64))
    with pytest.raises(ValueError, match="multiples of 32, found 48"):
        FieldDiscriminator(48)
    with pytest.raises(ValueError, match="did you mean 'paper'"):
        FieldDiscriminator(32, kind="papr")
