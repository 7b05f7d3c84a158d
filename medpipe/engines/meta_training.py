"""Meta-learning of one network: the trainer of a round, which goes on after its last whole epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from monai.engines import SupervisedTrainer
from torch import Tensor, nn
from torch.nn import functional as F

from medpipe.engines.handlers.epoch_seed import EpochSeed
from medpipe.engines.handlers.epoch_table import EpochTable
from medpipe.engines.handlers.part_means import PartMeans
from medpipe.engines.handlers.progress import ProgressBar
from medpipe.engines.handlers.training_checkpoint import TrainingCheckpoint
from medpipe.engines.steps.meta_learning import MetaLearningStep

__all__ = ["MetaTraining"]


class MetaTraining:
    """Adam on batches of episodes.

    Args:
        step: One update.
        epochs: How many.
        rate: Learning rate.
        device: Where the network is.
        loss: Of the queries.

    Raises:
        ValueError: There is no epoch, or the rate is not above 0.
    """

    def __init__(
        self,
        step: MetaLearningStep,
        *,
        epochs: int = 20,
        rate: float = 0.001,
        device: Any = "cpu",
        loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    ) -> None:
        if epochs < 1 or rate <= 0:
            raise ValueError(f"epochs must be at least 1 and the rate above 0, found {epochs} and {rate}")
        self.step, self.epochs, self.rate, self.device, self.loss = step, epochs, rate, device, loss

    def __call__(
        self, network: nn.Module, batches: Iterable[dict[str, Tensor]], folder: Path, *, seed: int, name: str
    ) -> None:
        """Train the network.

        Args:
            network: As it starts.
            batches: A data set of batches of episodes.
            folder: Where checkpoint.pt and epochs.csv go; a checkpoint there is gone on from.
            seed: Of the episodes.
            name: What the progress bar counts for.
        """
        optimizer = torch.optim.Adam(network.parameters(), lr=self.rate)
        means = PartMeans()
        table = EpochTable(folder, means, optimizer)  # type: ignore[arg-type]
        objects = {"network": network, "optimizer": optimizer, "epoch_table": table}
        trainer = SupervisedTrainer(
            device=self.device,
            max_epochs=self.epochs,
            train_data_loader=torch.utils.data.DataLoader(batches, batch_size=None),  # type: ignore[arg-type]
            network=network,
            optimizer=optimizer,
            loss_function=self.loss,
            iteration_update=self.step,
            decollate=False,
            train_handlers=[EpochSeed(seed), means, table, ProgressBar(name), TrainingCheckpoint(folder, objects)],
        )
        trainer.run()
