"""Adversarial learning with distilling knowledge: the update of a student that has a teacher's fields.

M Q Tran et al., "Light-weight Deformable Registration using Adversarial Learning with Distilling Knowledge", IEEE TMI
2022, https://arxiv.org/abs/2110.01293, and the iterations of https://github.com/aioz-ai/LDR_ALDK: of every three, two update
the student by its reconstruction alone, the third updates the discriminator and then the student by both losses, until
iteration 8,000. The teacher itself is not here: its fields come with the batch, so nothing can change it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ignite.distributed as idist
import torch
from monai.engines import SupervisedTrainer
from monai.utils import CommonKeys as Keys
from torch import Tensor, nn

from medpipe.engines.batches import pair_batch
from medpipe.engines.steps.registration import RegistrationStep, clip_and_step

__all__ = ["DISTILLATIONS", "AldkStep", "distillation_step"]

DISTILLATIONS = ("none", "l2", "aldk")


class AldkStep:
    """Reconstruction in most iterations, discriminator and student in every ``adv_every``-th.

    The teacher's field belongs to the pair as it is, so that iterations that use it do not augment the moving image.

    Args:
        plain: The update of all other iterations, and the reconstruction of these.
        discriminator: One number per field.
        optimizer: Of the discriminator.
        student_loss: As ``medpipe.losses.aldk.StudentAdversarialLoss``.
        discriminator_loss: As ``medpipe.losses.aldk.DiscriminatorLoss``.
        adv_every: Every so many-th iteration is adversarial.
        adv_until: The last iteration that may be.
        adv_warmup: Iterations before the first that may be.

    Raises:
        ValueError: A number is too small, or ``plain`` uses fields itself.
    """

    def __init__(
        self,
        plain: RegistrationStep,
        *,
        discriminator: nn.Module,
        optimizer: torch.optim.Optimizer,
        student_loss: Callable[..., Tensor],
        discriminator_loss: Callable[..., Tensor],
        adv_every: int = 3,
        adv_until: int = 8000,
        adv_warmup: int = 0,
    ) -> None:
        if adv_every < 1 or min(adv_until, adv_warmup) < 0:
            raise ValueError(
                "adv_every must be at least 1, adv_until and adv_warmup at least 0, "
                f"found {adv_every}, {adv_until} and {adv_warmup}"
            )
        if plain.field_loss is not None:
            raise ValueError("the reconstruction uses no fields; distil by l2 or by aldk, not by both")
        self.plain, self.discriminator, self.optimizer = plain, discriminator, optimizer
        self.student_loss, self.discriminator_loss = student_loss, discriminator_loss
        self.adv_every, self.adv_until, self.adv_warmup = adv_every, adv_until, adv_warmup

    def is_adversarial(self, iteration: int) -> bool:
        """Whether an iteration, counted from 1, updates the discriminator."""
        return self.adv_warmup < iteration <= self.adv_until and iteration % self.adv_every == 0

    def __call__(self, engine: SupervisedTrainer, batchdata: dict[str, Any]) -> dict[str, Any]:
        """Update the student once, and before it the discriminator where it is its turn.

        Returns:
            "loss", and parts under "parts", as of ``RegistrationStep``.
        """
        if not self.is_adversarial(engine.state.iteration):
            return self.plain(engine, batchdata)
        batch = pair_batch(batchdata, engine.state.device, engine.non_blocking, augmented=False)
        engine.network.train()
        self.discriminator.train()
        result = engine.network(batch["fixed"], batch["moving"])
        judged = self._update_discriminator(result.field, batch)
        loss, parts = self._update_student(engine, result, batch)
        return {Keys.LOSS: loss, "parts": {**parts, "discriminator": judged}}

    def _update_discriminator(self, field: Tensor, batch: dict[str, Tensor]) -> Tensor:
        self.optimizer.zero_grad()
        loss = self.discriminator_loss(self.discriminator, field, batch["field"], batch["field_given"])
        loss.backward()
        _average_gradients(self.discriminator)
        self.optimizer.step()
        return loss.detach()

    def _update_student(
        self, engine: SupervisedTrainer, result: Any, batch: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        engine.optimizer.zero_grad()
        reconstruction, parts = self.plain.losses(engine, result, batch)
        self.discriminator.requires_grad_(False)  # its parameters take no part, and need no gradient here
        try:
            loss = self.student_loss(
                reconstruction, self.discriminator, result.field, batch["field"], batch["field_given"]
            )
            loss.backward()
        finally:
            self.discriminator.requires_grad_(True)
        clip_and_step(engine, self.plain.clip)
        return loss.detach(), parts


def distillation_step(
    distillation: str,
    *,
    reconstruction: RegistrationStep,
    field_loss: Callable[..., Tensor],
    field_weight: float,
    adversarial: Callable[[RegistrationStep], AldkStep],
) -> RegistrationStep | AldkStep:
    """The update of a student by the name of its distillation.

    Args:
        distillation: ``none``: reconstruction alone; ``l2``: and the squared difference to the teacher's fields;
            ``aldk``.
        reconstruction: The update without a teacher.
        field_loss: Of ``l2``.
        field_weight: Of ``l2``.
        adversarial: Makes the step of ``aldk``.

    Raises:
        ValueError: The name is unknown.
    """
    if distillation not in DISTILLATIONS:
        raise ValueError(f"distillation must be one of {', '.join(DISTILLATIONS)}, found {distillation!r}")
    if distillation == "none":
        return reconstruction
    if distillation == "aldk":
        return adversarial(reconstruction)
    return RegistrationStep(
        label_loss=reconstruction.label_loss,
        label_weight=reconstruction.label_weight,
        field_loss=field_loss,
        field_weight=field_weight,
        unsupervised_weight=reconstruction.unsupervised_weight,
        clip=reconstruction.clip,
    )


def _average_gradients(network: nn.Module) -> None:
    # DistributedDataParallel does not see the gradient of a gradient, as in the penalty.
    if idist.get_world_size() > 1:
        for parameter in network.parameters():
            if parameter.grad is not None:
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= idist.get_world_size()
