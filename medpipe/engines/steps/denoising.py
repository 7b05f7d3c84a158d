"""Training an auto-encoder to take noise off images, for the ``iteration_update`` of MONAI's trainers."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import SupervisedTrainer
from monai.utils import CommonKeys as Keys

__all__ = ["DenoisingStep"]


class DenoisingStep:
    """Normal noise is added to the images, and what the network makes of them is compared with the images themselves.

    Noise is not clipped to the range of grey values, and comes from torch's own generator on the images' device.

    Args:
        noise: Its standard deviation; images are in [0, 1].

    Raises:
        ValueError: It is negative.
    """

    def __init__(self, *, noise: float = 0.1) -> None:
        if noise < 0:
            raise ValueError(f"noise must not be negative, found {noise}")
        self.noise = noise

    def __call__(self, engine: SupervisedTrainer, batchdata: dict[str, Any]) -> dict[str, Any]:
        """Update the network once.

        Returns:
            "loss", the trainer's ``loss_function`` of reconstruction and image.
        """
        images = torch.as_tensor(batchdata[Keys.IMAGE]).to(engine.state.device, non_blocking=engine.non_blocking)
        engine.network.train()
        engine.optimizer.zero_grad()
        loss = engine.loss_function(engine.network(images + self.noise * torch.randn_like(images)), images)
        loss.backward()
        engine.optimizer.step()
        return {Keys.LOSS: loss.detach()}
