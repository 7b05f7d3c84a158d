"""Orders in which other packages list the findings of chest radiographs."""

from __future__ import annotations

from collections.abc import Sequence

from .choices import choose

__all__ = ["LABEL_ORDERS", "TORCHXRAYVISION", "ordered_classes", "output_order"]

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


def ordered_classes(classes: Sequence[str], order: str) -> list[str]:
    """The names in the wanted order; see ``output_order``."""
    places = output_order(classes, order)
    return list(classes) if places is None else [classes[k] for k in places]
