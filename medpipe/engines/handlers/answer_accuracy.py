"""Accuracy of answers as an ignite metric."""

from __future__ import annotations

import torch
from ignite.metrics import EpochMetric
from monai.handlers import from_engine
from monai.utils import CommonKeys as Keys

from medpipe.engines.handlers.image_auc import GatheredMetric

__all__ = ["answer_accuracy"]


def answer_accuracy() -> EpochMetric:
    """Mean over questions of the score that the most probable candidate has: with one annotator, the share of right answers.

    Predictions are logits and labels scores of the candidates, both (B, candidates). A question whose true answer is no
    candidate counts as wrong.
    """
    return GatheredMetric(_accuracy, output_transform=from_engine([Keys.PRED, Keys.LABEL]), check_compute_fn=False)


def _accuracy(logits: torch.Tensor, scores: torch.Tensor) -> float:
    return float(scores.gather(1, logits.argmax(dim=1, keepdim=True)).mean())
