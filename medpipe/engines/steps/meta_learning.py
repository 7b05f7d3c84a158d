"""Model-agnostic meta-learning (MAML): weights from which few gradient steps on few images lead to a good classifier.

Paper: C Finn, P Abbeel, S Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017,
https://arxiv.org/abs/1703.03400. With ``first_order`` the gradient of the adaptation itself is left out, as in their section
5.2 and in the meta-models that MMQ published; without, it is differentiated through.

A batch holds episodes, each a small classification task:

- ``support`` (episodes, N, C, H, W) and ``support_label`` (episodes, N): what the weights are adapted on,
- ``query`` (episodes, M, C, H, W) and ``query_label`` (episodes, M): what the adapted weights are judged on.

Episodes are taken one after the other, and each one's graph is freed before the next: on a CPU that is several times faster
than ``torch.func.vmap`` over them, takes a fraction of the memory, and stays clear of its wrong second derivatives of batch
normalisation (torch 2.13). Normalisations use the statistics of their batch and leave the running ones alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from monai.engines import SupervisedTrainer
from monai.utils import CommonKeys as Keys
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

__all__ = ["Adaptation", "MetaLearningStep", "episodes_of"]

Weights = dict[str, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


class Adaptation:
    """Gradient steps on the support images of an episode; the network itself stays as it is.

    Args:
        steps: How many.
        rate: Their learning rate.
        first_order: Take the gradients of the steps as constants.
        loss: Of logits and labels, by default the cross-entropy.

    Raises:
        ValueError: A number is negative.
    """

    def __init__(
        self, *, steps: int = 5, rate: float = 0.01, first_order: bool = False, loss: Loss = F.cross_entropy
    ) -> None:
        if steps < 0 or rate < 0:
            raise ValueError(f"steps and rate must not be negative, found {steps} and {rate}")
        self.steps, self.rate, self.first_order, self.loss = steps, rate, first_order, loss

    def weights(self, network: nn.Module, support: Tensor, labels: Tensor) -> Weights:
        """The adapted weights by name, with the graph that leads to them from the network's own.

        Args:
            network: Its parameters that require gradients are adapted.
            support: (N, C, H, W).
            labels: (N,).
        """
        found: Weights = {name: value for name, value in network.named_parameters() if value.requires_grad}
        for _ in range(self.steps):
            loss = self.loss(self.logits(network, found, support), labels)
            gradients = torch.autograd.grad(
                loss, list(found.values()), create_graph=not self.first_order, materialize_grads=True
            )
            found = {
                name: weight - self.rate * gradient
                for (name, weight), gradient in zip(found.items(), gradients, strict=True)
            }
        return found

    @staticmethod
    def logits(network: nn.Module, weights: Weights, images: Tensor) -> Tensor:
        """What the network says with other weights; its running statistics are not touched.

        Args:
            network: In the mode that it is to have.
            weights: Some of its parameters by name.
            images: (N, C, H, W).
        """
        buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
        found: Tensor = functional_call(network, {**weights, **buffers}, (images,))
        return found

    def query_logits(self, network: nn.Module, episode: dict[str, Tensor]) -> Tensor:
        """Logits (M, classes) of an episode's query images after adapting on its support images."""
        adapted = self.weights(network, episode["support"], episode["support_label"])
        return self.logits(network, adapted, episode["query"])


class MetaLearningStep:
    """One update of the weights from which episodes start, for the ``iteration_update`` of MONAI's trainers.

    The loss is the mean over episodes of the query loss after adaptation (the trainer's ``loss_function``). One process.

    Args:
        adaptation: How an episode is adapted to.
    """

    def __init__(self, adaptation: Adaptation) -> None:
        self.adaptation = adaptation

    def __call__(self, engine: SupervisedTrainer, batchdata: dict[str, Any]) -> dict[str, Any]:
        """Update the network once.

        Returns:
            "loss", and "accuracy" on the query images under "parts".
        """
        engine.network.train()
        engine.optimizer.zero_grad()
        loss, right = self.accumulate(engine.network, engine.loss_function, batchdata, engine.state.device)
        engine.optimizer.step()
        return {Keys.LOSS: loss, "parts": {"accuracy": right}}

    def accumulate(
        self, network: nn.Module, loss_function: Loss, batchdata: dict[str, Any], device: Any = None
    ) -> tuple[Tensor, Tensor]:
        """Add the meta-gradient of a batch of episodes to the gradients of the network.

        Returns:
            The mean query loss and the mean query accuracy, without a graph.
        """
        episodes = list(episodes_of(batchdata, device))
        losses, right = [], []
        for episode in episodes:
            logits = self.adaptation.query_logits(network, episode)
            loss = loss_function(logits, episode["query_label"])
            (loss / len(episodes)).backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
            right.append((logits.detach().argmax(dim=1) == episode["query_label"]).float().mean())
        return torch.stack(losses).mean(), torch.stack(right).mean()


def episodes_of(batchdata: dict[str, Any], device: Any = None) -> Iterator[dict[str, Tensor]]:
    """The episodes of a batch one by one, on the device.

    Raises:
        ValueError: A part is missing, or the parts hold different numbers of episodes.
    """
    names = ("support", "support_label", "query", "query_label")
    missing = [name for name in names if name not in batchdata]
    if missing:
        raise ValueError(f"a batch of episodes lacks {', '.join(missing)}")
    parts = {name: torch.as_tensor(batchdata[name]).to(device) for name in names}
    lengths = {name: len(part) for name, part in parts.items()}
    if len(set(lengths.values())) != 1 or not lengths["support"]:
        raise ValueError(f"a batch must hold as many episodes in each part, at least one, found {lengths}")
    for number in range(lengths["support"]):
        yield {name: part[number] for name, part in parts.items()}
