"""Weights against the imbalance of classes, from the labels of a training set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["positive_weights", "sampling_weights"]


def positive_weights(entries: Sequence[dict[str, Any]], balanced: bool = True) -> list[float] | None:
    """For each class its known negative images by its positive ones; 1 for a class without either.

    With these the positive images of a class weigh as much as its negative ones.

    Args:
        entries: Of a datalist of several labels.
        balanced: None instead where false, so that a config switches them by one option.
    """
    if not balanced:
        return None
    labels = _labels(entries)
    counts = zip((labels == 1).sum(0).tolist(), (labels == 0).sum(0).tolist(), strict=True)
    return [negatives / positives if positives and negatives else 1.0 for positives, negatives in counts]


def sampling_weights(entries: Sequence[dict[str, Any]], balanced: bool = True) -> list[float] | None:
    """For each image how often it is to be drawn, so that rare classes are seen as often as frequent ones.

    An image has the weight of its rarest class, which is the number of images by the number of those with the class. Images
    without any class are a class of their own.

    Args:
        entries: Of a datalist of several labels.
        balanced: As for ``positive_weights``.
    """
    if not balanced:
        return None
    positive = _labels(entries) == 1
    classes = np.column_stack([positive, ~positive.any(axis=1)])
    rarity = len(entries) / np.maximum(classes.sum(axis=0), 1)
    return np.where(classes, rarity, 0.0).max(axis=1).tolist()  # type: ignore[no-any-return]


def _labels(entries: Sequence[dict[str, Any]]) -> np.ndarray:
    return np.array(
        [[np.nan if value is None else value for value in entry["label"]] for entry in entries], dtype=float
    )
