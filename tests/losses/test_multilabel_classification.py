"""The loss of several labels: hand-worked values, unknown labels, and a slow loop."""

from __future__ import annotations

import math

import pytest
import torch

from medpipe.losses import MultilabelClassificationLoss
from medpipe.networks.acm import image_logits


def cross_entropy(logit: float, label: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -(label * math.log(p) + (1 - label) * math.log(1 - p))


MAPS = torch.tensor(
    [[[[-1.0, 2.0]], [[0.5, 0.0]]], [[[0.0, -3.0]], [[1.0, 4.0]]]]
)  # two images, two classes, 1 x 2 cells
LABELS = torch.tensor([[1.0, 0.0], [0.0, 1.0]])


def test_hand_worked_images() -> None:
    expected = [cross_entropy(2, 1), cross_entropy(0.5, 0), cross_entropy(0, 0), cross_entropy(4, 1)]
    found = MultilabelClassificationLoss(image_logits)(MAPS, LABELS)
    assert found.item() == pytest.approx(sum(expected) / 4)


def test_unknown_labels_take_no_part() -> None:
    labels = torch.tensor([[1.0, math.nan], [math.nan, math.nan]])
    found = MultilabelClassificationLoss(image_logits)(MAPS, labels)
    assert found.item() == pytest.approx(cross_entropy(2, 1))


def test_without_a_known_label_the_loss_is_zero_with_a_gradient_of_zero() -> None:
    maps = MAPS.clone().requires_grad_()
    loss = MultilabelClassificationLoss(image_logits)(maps, torch.full((2, 2), math.nan))
    loss.backward()
    assert loss.item() == 0
    assert maps.grad is not None
    assert not maps.grad.any()


def test_positive_images_of_a_class_have_its_weight() -> None:
    found = MultilabelClassificationLoss(image_logits, [3.0, 1.0])(MAPS, LABELS)
    expected = [3 * cross_entropy(2, 1), cross_entropy(0.5, 0), cross_entropy(0, 0), cross_entropy(4, 1)]
    assert found.item() == pytest.approx(sum(expected) / 4)


def test_the_orthogonality_term_is_added_in_training_alone() -> None:
    prediction = {"logits": MAPS, "orthogonality": torch.tensor([-1.0, 0.5])}
    loss = MultilabelClassificationLoss(image_logits, orthogonality_weight=0.1)
    assert loss(prediction, LABELS).item() == pytest.approx(loss(MAPS, LABELS).item() + 0.1 * 0.25)


def test_shapes_and_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="labels"):
        MultilabelClassificationLoss(image_logits)(MAPS, LABELS[:, :1])
    with pytest.raises(ValueError, match="at least 0"):
        MultilabelClassificationLoss(image_logits, orthogonality_weight=-1)
