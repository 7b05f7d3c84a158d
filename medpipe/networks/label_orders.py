"""Orders in which other packages list the findings of chest radiographs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .choices import choose

__all__ = ["LABEL_ORDERS", "TORCHXRAYVISION", "exported_facts", "ordered_classes", "output_order", "reorder_head"]

TORCHXRAYVISION = (
    "Atelectasis",
    "Consolidation",
    "Infiltration",
    "Pneumothorax",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Effusion",
    "Pneumonia",
    "Pleural_Thickening",
    "Cardiomegaly",
    "Nodule",
    "Mass",
    "Hernia",
)
"""The 14 findings of ChestX-ray14 as ``torchxrayvision.datasets.default_pathologies`` begins."""

LABEL_ORDERS = ("trained", "torchxrayvision")


def output_order(classes: Sequence[str], order: str) -> list[int] | None:
    """Place among ``classes`` of each output in the wanted order; None where nothing changes.

    Args:
        classes: Names in the order of the training.
        order: ``trained`` or ``torchxrayvision``.

    Raises:
        ValueError: The order is unknown, or lacks a class.
    """
    if choose("label order", order, LABEL_ORDERS) == "trained":
        return None
    absent = [name for name in classes if name not in TORCHXRAYVISION]
    if absent:
        raise ValueError(f"{order} has no place for the class {absent[0]!r}; it lists {', '.join(TORCHXRAYVISION)}")
    return sorted(range(len(classes)), key=lambda k: TORCHXRAYVISION.index(classes[k]))


def reorder_head(network: nn.Module, order: Sequence[int] | None) -> nn.Module:
    """Give a network's maps in another order, by the rows of its last convolution, ``network.head``.

    Args:
        network: Changed in place.
        order: Place of each output among those of now; None changes nothing.

    Returns:
        The same network.
    """
    if order is not None:
        head: nn.Conv2d = network.head  # type: ignore[assignment]
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.copy_(parameter[list(order)].clone())
    return network


def exported_facts(classes: Sequence[str], **options: Any) -> dict[str, str]:
    """What an exported classifier says of itself: its classes in the order of the outputs, and options by name."""
    return {"classes": ",".join(classes), **{name: str(value) for name, value in options.items()}}


def ordered_classes(classes: Sequence[str], order: str) -> list[str]:
    """The names in the wanted order; see ``output_order``."""
    places = output_order(classes, order)
    return list(classes) if places is None else [classes[k] for k in places]
