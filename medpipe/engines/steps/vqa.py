"""One update of a network that answers questions about images, for the ``iteration_update`` of MONAI's trainers.

A batch is a dictionary as ``medpipe.engines.vqa_batches.vqa_batch`` describes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monai.engines import SupervisedTrainer
from monai.utils import CommonKeys as Keys
from torch import Tensor

from medpipe.engines.steps.registration import clip_and_step
from medpipe.engines.vqa_batches import vqa_batch

__all__ = ["VqaStep"]


class VqaStep:
    """The loss of the answers, and of the reconstruction where the network gives one.

    Gradients are averaged over ``accumulate`` batches, then bounded, then used; the last group of an epoch may be smaller.

    Args:
        reconstruction_loss: Of ``reconstruction`` and ``image``; None leaves reconstructions alone.
        reconstruction_weight: Its weight.
        clip: Largest norm of the gradient; None for no limit.
        accumulate: Batches per update.

    Raises:
        ValueError: The weight is negative, or ``accumulate`` below 1.
    """

    def __init__(
        self,
        *,
        reconstruction_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        reconstruction_weight: float = 0.001,
        clip: float | None = 0.25,
        accumulate: int = 1,
    ) -> None:
        if reconstruction_weight < 0 or accumulate < 1:
            raise ValueError(
                "reconstruction_weight must not be negative and accumulate at least 1, "
                f"found {reconstruction_weight} and {accumulate}"
            )
        self.reconstruction_loss = reconstruction_loss if reconstruction_weight else None
        self.reconstruction_weight = reconstruction_weight
        self.clip, self.accumulate = clip, accumulate

    def __call__(self, engine: SupervisedTrainer, batchdata: dict[str, Any]) -> dict[str, Any]:
        """Update the network, or add to the gradients of the update to come.

        Returns:
            "loss", and its parts before their weights under "parts".
        """
        inputs, targets = vqa_batch(batchdata, engine.state.device, engine.non_blocking)
        length = engine.state.epoch_length
        place = (engine.state.iteration - 1) % length  # of the batch in its epoch, from 0
        first = place - place % self.accumulate
        engine.network.train()
        if place == first:
            engine.optimizer.zero_grad()
        loss, parts = self.losses(engine, engine.network(*inputs), targets)
        (loss / min(self.accumulate, length - first)).backward()  # type: ignore[no-untyped-call]
        if place + 1 in (first + self.accumulate, length):
            clip_and_step(engine, self.clip)
        return {Keys.LOSS: loss.detach(), "parts": parts}

    def losses(
        self, engine: SupervisedTrainer, prediction: dict[str, Tensor], targets: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, with its graph, and its parts, without."""
        parts = {"answers": engine.loss_function(prediction["logits"], targets)}
        loss = parts["answers"]
        if self.reconstruction_loss is not None and "reconstruction" in prediction:
            parts["reconstruction"] = self.reconstruction_loss(prediction["reconstruction"], prediction["image"])
            loss = loss + self.reconstruction_weight * parts["reconstruction"]
        return loss, {name: part.detach() for name, part in parts.items()}
