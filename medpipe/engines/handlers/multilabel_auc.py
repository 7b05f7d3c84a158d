"""Mean area under the ROC curves of several classes as an ignite metric."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from ignite.metrics import EpochMetric
from monai.utils import CommonKeys as Keys

from medpipe.engines.handlers.image_auc import GatheredMetric
from medpipe.metrics.roc import delong

__all__ = ["multilabel_auc"]


def multilabel_auc(pool: Callable[[torch.Tensor], torch.Tensor]) -> EpochMetric:
    """Unweighted mean of the classes' AUC over those that have positive and negative images; NaN where none has.

    Args:
        pool: From maps (B, classes, h, w) to logits (B, classes).
    """

    def scores_and_labels(output: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        return pool(output[Keys.PRED].float()), output[Keys.LABEL]

    return GatheredMetric(_mean_auc, output_transform=scores_and_labels, check_compute_fn=False)


def _mean_auc(scores: torch.Tensor, labels: torch.Tensor) -> float:
    areas = []
    for k in range(labels.shape[1]):
        known = ~labels[:, k].isnan()
        positive = labels[known, k] == 1
        if positive.any() and not positive.all():
            areas.append(delong(scores[known, k].double().numpy(), positive.numpy()).auc)
    return sum(areas) / len(areas) if areas else math.nan
