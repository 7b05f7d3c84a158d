"""The layers with one magnitude for the whole matrix, against torch's older form and the formula."""

import warnings

import pytest
import torch
from torch import nn

from medpipe.networks.blocks.answer_classifier import AnswerClassifier
from medpipe.networks.blocks.masked_softmax import masked_softmax
from medpipe.networks.blocks.weight_normalized import Projection, normalized_linear


def test_the_weight_is_a_direction_times_one_magnitude() -> None:
    layer = normalized_linear(5, 3)
    names = {name: tuple(tensor.shape) for name, tensor in layer.state_dict().items()}
    assert names["parametrizations.weight.original0"] == ()
    magnitude = layer.parametrizations.weight.original0
    assert magnitude.item() == pytest.approx(layer.weight.norm().item(), rel=1e-6)
    before = layer.weight.clone()
    with torch.no_grad():
        layer.parametrizations.weight.original1.mul_(7)
    assert torch.allclose(layer.weight, before, atol=1e-6)
    with torch.no_grad():
        layer.parametrizations.weight.original0.mul_(2)
    assert torch.allclose(layer.weight, 2 * before, atol=1e-6)


def test_it_computes_and_loads_what_the_older_form_did() -> None:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = nn.utils.weight_norm(nn.Linear(5, 3), dim=None)
    new = normalized_linear(5, 3)
    new.load_state_dict(old.state_dict())  # weight_g and weight_v
    x = torch.randn(4, 5)
    assert torch.equal(new(x), old(x))


def test_a_projection_drops_projects_and_rectifies() -> None:
    torch.manual_seed(0)
    block = Projection(6, 4).eval()
    x = torch.randn(2, 3, 6)
    assert torch.allclose(block(x), torch.relu(block.linear(x)))
    plain = Projection(6, 4, activation=False).eval()
    assert plain(x).min() < 0
    assert not torch.equal(block.train()(x), block(x))


def test_the_classifier_trains_through_its_dropout() -> None:
    torch.manual_seed(0)
    net = AnswerClassifier(8, 5)
    assert sum(p.numel() for p in net.parameters()) == 8 * 16 + 16 + 1 + 16 * 5 + 5 + 1
    logits = net(torch.randn(3, 8))
    assert logits.shape == (3, 5)
    logits.sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_the_softmax_over_a_mask_is_that_over_what_is_left() -> None:
    scores = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    mask = torch.tensor([True, True, False, True])[None, None, :, None].expand(2, 1, 4, 1)
    found = masked_softmax(scores, mask, dims=2)
    left = scores[:, :, [0, 1, 3]].flatten(2).softmax(-1).view(2, 3, 3, 5)
    assert torch.allclose(found[:, :, [0, 1, 3]], left)
    assert torch.equal(found[:, :, 2], torch.zeros(2, 3, 5, dtype=torch.float64))


def test_nothing_there_gives_zeros_and_no_nan() -> None:
    scores = torch.randn(2, 3, requires_grad=True)
    found = masked_softmax(scores, torch.zeros(2, 3, dtype=torch.bool))
    assert torch.equal(found, torch.zeros(2, 3))
    found.sum().backward()
    assert scores.grad.isfinite().all()
