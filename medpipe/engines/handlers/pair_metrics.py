"""Metrics of registration while training, as ignite metrics: means over the pairs of the validation set.

The figures of an evaluation come from ``medpipe score registration``, on the original grids and in millimetres.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from monai.networks.blocks import Warp
from monai.utils import CommonKeys as Keys
from numpy.typing import NDArray
from torch import Tensor

from medpipe.metrics.jacobian import jacobian_determinant, jacobian_statistics
from medpipe.metrics.overlap import label_overlap

__all__ = ["PAIR_METRICS", "PairMean", "pair_metric"]

Targets = dict[str, Tensor]
IntArray = NDArray[np.int64]


class PairMean(Metric):
    """The mean over all pairs of one number per pair; NaN numbers are left out, NaN where none is left.

    Args:
        values: Gives (B,) of the registration that the network returned and the batch's targets.
    """

    def __init__(self, values: Callable[[Any, Targets], Tensor]) -> None:
        self._values = values
        super().__init__(output_transform=lambda output: (output[Keys.PRED], output[Keys.LABEL]))

    def reset(self) -> None:
        """Forget all pairs."""
        self._sum, self._count, self._seen = 0.0, 0, 0

    def update(self, output: tuple[Any, Targets]) -> None:
        """Take a batch."""
        values = self._values(*output).double()
        known = values[~values.isnan()]
        self._sum, self._count = self._sum + float(known.sum()), self._count + len(known)
        self._seen += len(values)

    def compute(self) -> float:
        """The mean over the pairs of all processes.

        Raises:
            NotComputableError: There was no pair.
        """
        total, count, seen = (idist.all_reduce(value) for value in (self._sum, self._count, self._seen))
        if not seen:
            raise NotComputableError("there is no pair to validate on")
        return float(total / count) if count else float("nan")  # type: ignore[operator]


def dice(result: Any, targets: Targets) -> Tensor:
    """Mean Dice of the labels other than 0 that a pair has; NaN where it has none, or no label maps."""
    if "fixed_label" not in targets or "moving_label" not in targets:
        return torch.full((result.field.shape[0],), float("nan"))
    warped = _NEAREST(targets["moving_label"].float(), result.field)
    maps = (volume.round().long().cpu().numpy() for volume in (targets["fixed_label"], warped, targets["moving_label"]))
    return torch.tensor([_mean_dice(*pair) for pair in zip(*maps, strict=True)])


def _mean_dice(fixed: IntArray, warped: IntArray, moving: IntArray) -> float:
    labels = [int(label) for label in np.union1d(fixed, moving) if label > 0]
    return float(np.nanmean(label_overlap(fixed, warped, moving, labels).dice)) if labels else float("nan")


def correlation(result: Any, targets: Targets) -> Tensor:
    """Pearson's correlation of fixed and warped image over all voxels; 0 where one is constant."""
    pair = [volume.flatten(1).double() for volume in (targets["fixed"], result.warped)]
    fixed, warped = (volume - volume.mean(dim=1, keepdim=True) for volume in pair)
    size = (fixed.square().sum(dim=1) * warped.square().sum(dim=1)).sqrt()
    return torch.where(size > 0, (fixed * warped).sum(dim=1) / size, torch.zeros_like(size))


def folding(result: Any, targets: Targets) -> Tensor:
    """Voxels where the map folds, in percent."""
    fields = result.field.detach().float().cpu().numpy()
    return torch.tensor([jacobian_statistics(jacobian_determinant(field)).fold_pct for field in fields])


def field_error(result: Any, targets: Targets) -> Tensor:
    """Mean distance to the given field in voxels; NaN where none is given."""
    distance = torch.linalg.vector_norm(result.field - targets["field"], dim=1).flatten(1).mean(dim=1)
    return torch.where(targets["field_given"], distance, torch.full_like(distance, float("nan")))


PAIR_METRICS: dict[str, Callable[[Any, Targets], Tensor]] = {
    "dice": dice,
    "correlation": correlation,
    "folding": folding,
    "field_error": field_error,
}

_NEAREST = Warp("nearest", "border")


def pair_metric(name: str) -> PairMean:
    """A metric by name.

    Raises:
        ValueError: It is none of ``PAIR_METRICS``.
    """
    if name not in PAIR_METRICS:
        raise ValueError(f"expected one of {', '.join(PAIR_METRICS)}, found {name!r}")
    return PairMean(PAIR_METRICS[name])
