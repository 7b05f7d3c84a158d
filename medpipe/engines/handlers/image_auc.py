"""Image-level ROC AUC as an ignite metric."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import torch
from ignite.metrics import EpochMetric
from monai.utils import CommonKeys as Keys
from monai.utils import evenly_divisible_all_gather

from medpipe.errors import RequestError
from medpipe.metrics.roc import delong

__all__ = ["GatheredMetric", "image_auc"]


def image_auc() -> EpochMetric:
    """AUC of the greatest logit of each map against "image_label"; NaN while the set has one class only.

    Of several processes each has its share of the set, and all have the AUC of the whole.
    """
    return GatheredMetric(_auc, output_transform=_scores_and_labels, check_compute_fn=False)


class GatheredMetric(EpochMetric):
    """A metric of all outputs of an epoch, from all processes; ignite's own gathers shares of one size only."""

    def compute(self) -> float:
        scores, labels = torch.cat(self._predictions), torch.cat(self._targets)
        if not scores.isfinite().all():
            raise RequestError("the network's scores are not finite: the training has diverged; lower learning_rate")
        if idist.get_world_size() > 1:
            scores, labels = (evenly_divisible_all_gather(share, concat=True).cpu() for share in (scores, labels))
        return self.compute_fn(scores, labels)


def _scores_and_labels(output: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    return output[Keys.PRED].float().amax(dim=(1, 2, 3)), output[Keys.LABEL]["image_label"]


def _auc(scores: torch.Tensor, labels: torch.Tensor) -> float:
    return delong(scores.double().numpy(), labels.bool().numpy()).auc
