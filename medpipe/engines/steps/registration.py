"""One update of a registration network, for the ``iteration_update`` of MONAI's trainers.

A batch is a dictionary as ``medpipe.engines.batches.pair_batch`` describes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.engines import SupervisedTrainer
from monai.utils import CommonKeys as Keys
from torch import Tensor

from medpipe.engines.batches import pair_batch

__all__ = ["RegistrationStep", "clip_and_step"]


class RegistrationStep:
    """Unsupervised loss of the trainer, and as wanted the overlap of labels and the distance to a given field.

    A given field belongs to the pair as it is: with ``field_loss`` the moving images of a batch are not augmented where one of
    them has a field.

    Args:
        label_loss: Of field, fixed and moving labels; None leaves labels alone.
        label_weight: Its weight.
        field_loss: Of the found field, the given one and (B,) whether it is given, such as
            ``FieldDistillationLoss``: a teacher's fields, or the known ones of synthetic pairs.
        field_weight: Its weight.
        unsupervised_weight: Of the trainer's ``loss_function``, which takes the registration and the fixed image.
        clip: Largest norm of the gradient; None for no limit.
        bfloat16: Convolutions compute in bfloat16; fields, warps and losses stay in float32.

    Raises:
        ValueError: A weight is negative.
    """

    def __init__(
        self,
        *,
        label_loss: Callable[..., Tensor] | None = None,
        label_weight: float = 1.0,
        field_loss: Callable[..., Tensor] | None = None,
        field_weight: float = 1.0,
        unsupervised_weight: float = 1.0,
        clip: float | None = None,
        bfloat16: bool = False,
    ) -> None:
        weights = (label_weight, field_weight, unsupervised_weight)
        if min(weights) < 0:
            raise ValueError(f"weights must not be negative, found {weights}")
        self.label_loss = label_loss if label_weight else None
        self.field_loss = field_loss if field_weight else None
        self.label_weight, self.field_weight, self.unsupervised_weight = weights
        self.clip, self.bfloat16 = clip, bfloat16

    def __call__(self, engine: SupervisedTrainer, batchdata: dict[str, Any]) -> dict[str, Any]:
        """Update the network once.

        Returns:
            "loss", and its parts before their weights under "parts".
        """
        augmented = self.field_loss is None or not _has_field(batchdata)
        batch = pair_batch(batchdata, engine.state.device, engine.non_blocking, augmented=augmented)
        engine.network.train()
        engine.optimizer.zero_grad()
        with torch.autocast(batch["fixed"].device.type, torch.bfloat16, enabled=self.bfloat16):
            result = engine.network(batch["fixed"], batch["moving"])
        loss, parts = self.losses(engine, result, batch)
        loss.backward()
        clip_and_step(engine, self.clip)
        return {Keys.LOSS: loss.detach(), "parts": parts}

    def losses(
        self, engine: SupervisedTrainer, result: Any, batch: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, with its graph, and its parts, without."""
        parts = {"unsupervised": engine.loss_function(result, batch["fixed"])}
        loss = self.unsupervised_weight * parts["unsupervised"]
        if self.label_loss is not None and "fixed_label" in batch and "moving_label" in batch:
            parts["labels"] = self.label_loss(result.field, batch["fixed_label"], batch["moving_label"])
            loss = loss + self.label_weight * parts["labels"]
        if self.field_loss is not None:
            parts["field"] = self.field_loss(result.field, batch["field"], batch["field_given"])
            loss = loss + self.field_weight * parts["field"]
        return loss, {name: part.detach() for name, part in parts.items()}


def _has_field(batchdata: dict[str, Any]) -> bool:
    """Whether a collated batch holds a field for one of its pairs."""
    return "field" in batchdata and bool(torch.as_tensor(batchdata.get("field_given", True)).any())


def clip_and_step(engine: SupervisedTrainer, clip: float | None) -> None:
    """Bound the norm of the gradient, then update the trainer's network."""
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(engine.network.parameters(), clip)
    engine.optimizer.step()
