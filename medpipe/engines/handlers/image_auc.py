"""Image-level ROC AUC as an ignite metric."""

from __future__ import annotations

from typing import Any

import torch
from ignite.metrics import EpochMetric
from monai.utils import CommonKeys as Keys

from medpipe.metrics.roc import delong

__all__ = ["image_auc"]


def image_auc() -> EpochMetric:
    """AUC of the greatest logit of each map against "image_label"; NaN while the set has one class only."""
    return EpochMetric(_auc, output_transform=_scores_and_labels, check_compute_fn=False)


def _scores_and_labels(output: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    return output[Keys.PRED].float().amax(dim=(1, 2, 3)), output[Keys.LABEL]["image_label"]


def _auc(scores: torch.Tensor, labels: torch.Tensor) -> float:
    return delong(scores.double().numpy(), labels.bool().numpy()).auc
