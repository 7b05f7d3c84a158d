"""Orders of labels: those of torchxrayvision, and what they do to a network's outputs."""

from __future__ import annotations

import pytest
import torch

from medpipe.data.nih_chestxray14 import FINDINGS
from medpipe.networks.acm import ContextLocalizer
from medpipe.networks.label_orders import TORCHXRAYVISION, ordered_classes, output_order, reorder_head


def test_the_findings_are_the_same_in_both_orders() -> None:
    assert sorted(FINDINGS) == sorted(TORCHXRAYVISION)
    assert ordered_classes(FINDINGS, "torchxrayvision") == list(TORCHXRAYVISION)
    assert ordered_classes(FINDINGS, "trained") == list(FINDINGS)
    assert output_order(FINDINGS, "trained") is None


def test_some_findings_keep_the_order_of_all() -> None:
    assert ordered_classes(["Mass", "Edema", "Nodule"], "torchxrayvision") == ["Edema", "Nodule", "Mass"]


def test_unknown_classes_and_orders_are_named() -> None:
    with pytest.raises(ValueError, match="no place for the class 'Tube'"):
        output_order(["Tube"], "torchxrayvision")
    with pytest.raises(ValueError, match="did you mean 'torchxrayvision'"):
        output_order(["Mass"], "torchxrayvison")


def test_a_network_returns_its_maps_in_the_order() -> None:
    torch.manual_seed(0)
    network = ContextLocalizer("resnet11_quarter", "none", num_classes=3, output_stride=8).eval()
    images = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        before = network(images)
        assert torch.equal(reorder_head(network, None)(images), before)
        assert torch.equal(reorder_head(network, [2, 0, 1])(images), before[:, [2, 0, 1]])
